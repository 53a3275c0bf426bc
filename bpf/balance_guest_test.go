// SPDX-License-Identifier: Apache-2.0

package bpf_test

import (
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/internal/cgrouptest"
	"github.com/ds2-lab/alps/internal/measured"
)

// The order holds within a runqueue, and CFS moves tasks between runqueues by their weights, not by
// their ranks. So each CPU serves its own functions in order, and a first one may wait where a last one runs elsewhere.
func TestGuestOrderAcrossCPUs(t *testing.T) {
	cpus := runtime.NumCPU()
	for _, x := range []struct {
		name  string
		key   string          // in the names of what is measured
		cpu   func(i int) int // where the i-th of each kind begins
		first float64         // what those who come first have at least of all CPU time
	}{
		{"one first and one last on each CPU", "mixed", func(i int) int { return i }, 0.7}, // less than 1, should CFS exchange two
		{"first and last ones on CPUs of their own", "apart", func(i int) int { return i / 2 }, 0.45},
	} {
		t.Run(x.name, func(t *testing.T) {
			b := load(t, bpf.Options{})
			t.Setenv("ALPS_CPU", "-1") // in the end nobody is bound to a CPU
			p := cgrouptest.NewParent(t)
			var dirs []string
			var free []int
			everywhere := make([]int, cpus)
			policy := map[string]bpf.Entry{}
			group := func(name string, bias time.Duration, cpu int) {
				dir := p.Group(name)
				hog := p.Hog(dir)
				cgrouptest.KeepOnCPU(t, hog.PID, cpu)
				policy[dir] = bpf.Entry{BiasUS: uint32(bias.Microseconds()), SliceUS: 100_000}
				dirs, free = append(dirs, dir), append(free, hog.PID)
			}
			for i := range cpus {
				everywhere[i] = i
				group("first"+strconv.Itoa(i), time.Millisecond, x.cpu(i))
			}
			for i := range cpus {
				group("last"+strconv.Itoa(i), time.Hour/2, cpus-1-x.cpu(i))
			}
			time.Sleep(500 * time.Millisecond)
			for _, pid := range free {
				cgrouptest.KeepOnCPU(t, pid, everywhere...)
			}
			firsts := func(d time.Duration) (part float64, shares []float64) {
				shares = cgrouptest.Shares(t, dirs, d)
				for _, s := range shares[:cpus] {
					part += s
				}
				return part, shares
			}
			plain, _ := firsts(2 * time.Second)
			require.NoError(t, b.AttachHooks())
			rule(t, b, policy)
			time.Sleep(500 * time.Millisecond)
			before, begun := usages(t, dirs), time.Now()
			ranked, shares := firsts(3 * time.Second)
			busy := float64(usages(t, dirs)-before) / float64(time.Since(begun)) / float64(cpus)
			t.Logf("%d CPUs, as many functions that come first and as many that come last: shares %.3f", cpus, shares)
			if cpus > 1 { // with one CPU it is the order within a runqueue
				measured.Print(t, "order/"+x.key+"/cfs", plain, "cpu-share")
				measured.Print(t, "order/"+x.key+"/ranked", ranked, "cpu-share")
				measured.Print(t, "order/"+x.key+"/busy", busy, "cpu-share")
			}
			require.InDelta(t, 0.5, plain, 0.1)
			require.Greater(t, ranked, x.first)
			require.Greater(t, busy, 0.9)
		})
	}
}

func usages(t *testing.T, dirs []string) (sum time.Duration) {
	for _, dir := range dirs {
		sum += cgrouptest.Usage(t, dir)
	}
	return sum
}
