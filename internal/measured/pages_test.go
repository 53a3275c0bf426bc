// SPDX-License-Identifier: Apache-2.0

package measured

import (
	"cmp"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/pagetest"
	"github.com/ds2-lab/alps/internal/tree"
)

// record is that of the tree, and which of its rows pages say.
type record struct {
	t    *testing.T
	rows map[string]Row
	said map[string]bool
}

// row is what was measured under a name on a kernel of kernels.yaml, with so many CPUs.
func (r record) row(name, kernel string, cpus int) Row {
	r.t.Helper()
	key := Row{Name: name, Kernel: kernel, CPUs: cpus}.key()
	row, ok := r.rows[key]
	if !ok {
		r.t.Errorf("%s has no %s: docs/rig.md says how to record it", Path, key)
	}
	r.said[key] = true
	return row
}

// share writes a part of 1 as pages do: .500, 1.000.
func share(digits int, part float64) string {
	return strings.TrimPrefix(fmt.Sprintf("%.*f", digits, part), "0")
}

// version is a release without what its packager added.
func (r Row) version() string { return regexp.MustCompile(`^[0-9.]*[0-9]`).FindString(r.Release) }

// month is when a row was measured, as November 2026.
func (r Row) month() string {
	day, err := time.Parse(time.DateOnly, r.Date)
	if err != nil {
		return err.Error()
	}
	return day.Format("January 2006")
}

// Pages say what the record has, and the record has nothing else.
func TestPagesSayWhatWasMeasured(t *testing.T) {
	root, err := tree.Root()
	require.NoError(t, err)
	all, err := Read(filepath.Join(root, Path))
	require.NoError(t, err)
	r := record{t, map[string]Row{}, map[string]bool{}}
	for _, row := range all {
		r.rows[row.key()] = row
	}
	r.costOfSteady()
	r.orderBetweenCPUs()
	r.changing()
	r.switches()
	r.weights()
	r.agent()
	r.clocks()
	for _, row := range all {
		if !r.said[row.key()] {
			t.Errorf("%s: no page says %s: take the row out, or have a page and this test say it", Path, row.key())
		}
	}
}

func (r record) costOfSteady() {
	for _, cpus := range []int{1, 4} {
		get := func(name string) float64 { return r.row("hooks/"+name, "6.1", cpus).Value }
		rank, steady := get("rank/decision"), get("steady/decision")
		pagetest.Says(r.t, "docs/kernel.md", fmt.Sprintf("| %d | decision | %.0f ns | %.0f ns | %.1f |", cpus, rank, steady, steady/rank))
		rank, steady = get("rank/switch"), get("steady/switch")
		pagetest.Says(r.t, "docs/kernel.md", fmt.Sprintf("| %d | context switch | %.0f ns, %.1f decisions | %.0f ns, %.1f decisions | %.1f |",
			cpus, rank, get("rank/decisions-per-switch"), steady, get("steady/decisions-per-switch"), steady/rank))
	}
}

func (r record) orderBetweenCPUs() {
	get := func(name string) float64 { return r.row("order/"+name, "6.1", 4).Value }
	for key, where := range map[string]string{
		"mixed": "a first one and a last one on each CPU",
		"apart": "the first ones on two CPUs, the last ones on the other two",
	} {
		pagetest.Says(r.t, "docs/kernel.md", fmt.Sprintf("| %s | %s | %s |", where, share(3, get(key+"/cfs")), share(3, get(key+"/ranked"))))
	}
	pagetest.Says(r.t, "docs/kernel.md", fmt.Sprintf("Every CPU is busy (%s).", share(3, min(get("mixed/busy"), get("apart/busy")))))
}

func (r record) changing() {
	var shares []float64
	waits := map[int]float64{}
	for _, cpus := range []int{1, 4} {
		for _, order := range []string{"in-order", "slices-only"} {
			shares = append(shares, r.row("changing/"+order+"/share", "6.1", cpus).Value)
			waits[cpus] = max(waits[cpus], r.row("changing/"+order+"/wait", "6.1", cpus).Value)
		}
	}
	pagetest.Says(r.t, "docs/kernel.md", fmt.Sprintf("The changed one has %s to %s of the CPU. Its sibling waited %.0f ms at most on four CPUs, which is a slice and a tick, and %.0f ms on one",
		share(2, slices.Min(shares)), share(2, slices.Max(shares)), waits[4], waits[1]))
}

func (r record) switches() {
	get := func(name string) Row { return r.row("switch/"+name, "7.3", 2) }
	of := func(name string) string { return pagetest.Thousands(int64(math.Round(get(name).Value))) }
	for name, scheduler := range map[string]string{
		"eevdf": "EEVDF, the kernel's own", "simple": "scx_simple", "flatcg": "scx_flatcg", "alps-others": "alps, both processes are others'",
		"alps-functions": "alps, both are functions' processes, each wake-up a busy period, weighed by a table of 16 steps",
	} {
		row := get(name)
		pagetest.Says(r.t, "docs/sched_ext.md", fmt.Sprintf("| %s | %s |", scheduler, of(name)),
			fmt.Sprintf("A switch between them on kernel %s, in instructions", row.version()),
			fmt.Sprintf("Measured once, in %s, by `%s`", row.month(), row.Test),
			fmt.Sprintf("a guest with %d CPUs", row.CPUs))
	}
	pagetest.Says(r.t, "docs/sched_ext.md", fmt.Sprintf("scx_userland has %s there", of("userland")))
}

func (r record) weights() {
	get := func(name string) string { return share(2, r.row("weights/"+name+"/functions", "7.3", 2).Value) }
	pagetest.Says(r.t, "docs/sched_ext.md", fmt.Sprintf("`TestGuestScxWeightsOfServices`: functions of weight 300 have %s of a CPU", get("services")),
		fmt.Sprintf("`TestGuestScxWeightsOfEachCPU`, where functions have %s of a CPU beside one other task", get("each-cpu")))
}

func (r record) agent() {
	row := r.row("agent/decision", "7.3", 1)
	pagetest.Says(r.t, "docs/delegation.md", fmt.Sprintf("about %s instructions", pagetest.Thousands(1000*int64(math.Round(row.Value/1000)))),
		fmt.Sprintf("measured in %s by `%s`, with %d CPU and kernel %s", row.month(), row.Test, row.CPUs, row.version()))
}

func (r record) clocks() {
	var late []float64
	for _, cpus := range []int{1, 2, 4, 8} {
		late = append(late, r.row("timer/late", "6.1", cpus).Value)
	}
	pagetest.Says(r.t, "docs/virtual-time.md", fmt.Sprintf("the median of 150 is %.0f to %.0f µs late with 1 to 8 CPUs", slices.Min(late), slices.Max(late)))
}

// Every test of the record is there, and runs by the commands with which docs/rig.md records anew.
func TestTestsOfTheRecordAreThere(t *testing.T) {
	root, err := tree.Root()
	require.NoError(t, err)
	all, err := Read(filepath.Join(root, Path))
	require.NoError(t, err)
	var tests strings.Builder
	require.NoError(t, filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "guest_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		tests.Write(text)
		return err
	}))
	page, err := os.ReadFile(filepath.Join(root, "docs", "rig.md"))
	require.NoError(t, err)
	by := map[string]string{} // the tests that docs/rig.md names for a kernel
	for _, m := range regexp.MustCompile(`(?m)^    go run mage.go test:guest -kernel=(\S+) (.*) -record$`).FindAllStringSubmatch(string(page), -1) {
		by[m[1]] += m[2]
	}
	within := map[string]string{"TestGuestTimers": "TestGuestVirtualTime"}
	for _, row := range all {
		require.Contains(t, tests.String(), "func "+row.Test+"(", "%s names it", Path)
		require.Contains(t, by[row.Kernel], cmp.Or(within[row.Test], row.Test), "docs/rig.md does not say how to record %s anew", row.key())
	}
}
