package figures

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
)

// golden compares byte for byte. A mismatch leaves name.got beside it;
// GOLDEN_UPDATE=1 rewrites.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("GOLDEN_UPDATE") == "1" {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "GOLDEN_UPDATE=1 writes it")
	if string(want) != string(got) {
		ext := filepath.Ext(name)
		left := strings.TrimSuffix(path, ext) + ".got" + ext
		require.NoError(t, os.WriteFile(left, got, 0o644))
		t.Fatalf("%s differs: see %s", path, left)
	}
}

// fixed makes a run by a seed: the shapes matter, not the numbers.
func fixed(scheduler string, round int, scale float64) results.Result {
	rng := rand.New(rand.NewPCG(uint64(round), uint64(len(scheduler))))
	r := results.Result{Run: results.Run{Experiment: "fig06", Key: fmt.Sprintf("%s-r%d", scheduler, round), Engine: results.EngineVM, Workload: "huawei",
		Scheduler: scheduler, Round: round, Kernel: "6.1.0-alps", KernelFallback: true, Accelerator: "tcg", CPUs: 2, FunctionCPUs: 1, Invocations: 260,
		Valid: true, Invalid: []string{}, Errors: []string{}, LoadAsked: 0.9, LoadAchieved: 0.91, TimeFactor: 1, Profile: "smoke"}}
	for g, n := range []int{150, 60, 40, 10} {
		for i := range n {
			base := []float64{70, 120, 326, 2500}[g]
			d := int64(base * scale * (1 + rng.ExpFloat64()) * 1e6)
			at := int64(i+1) * 1e8
			r.Invocations = append(r.Invocations, results.Invocation{ID: len(r.Invocations) + 1, Function: "f", UID: "1", Group: results.Groups[g], N: 1,
				SendNS: at - 1e6, ArriveNS: at, StartNS: at + 1e5, EndNS: at + d, CPUNS: int64(base * 1e6), SwitchesVol: 1, SwitchesInvol: int(rng.IntN(9)), Status: results.OK})
		}
	}
	return r
}

func TestFig06Golden(t *testing.T) {
	runs := []results.Result{fixed("cfs", 1, 2), fixed("alps", 1, 1), fixed("cfs", 2, 2), fixed("alps", 2, 1)}
	f, err := newFig06(runs, results.EngineVM)
	require.NoError(t, err)
	golden(t, "fig06.tsv", []byte(f.tsv()))
	svg, err := f.svg()
	require.NoError(t, err)
	golden(t, "fig06.svg", svg)
	png, err := f.png()
	require.NoError(t, err)
	require.Equal(t, "\x89PNG", string(png[:4]))
}

func TestPercentilesAreHonest(t *testing.T) {
	f, err := newFig06([]results.Result{fixed("cfs", 1, 2)}, results.EngineVM)
	require.NoError(t, err)
	_, ok := f.find("G1", "p99", "cfs")
	require.False(t, ok, "150 samples have no 99th percentile")
	b, ok := f.find("G1", "max", "cfs")
	require.True(t, ok)
	require.Equal(t, "", num(b.PaperMS, 1), "a maximum is not compared with the paper's percentile")
	f, err = newFig06([]results.Result{fixed("cfs", 1, 2), fixed("cfs", 2, 2)}, results.EngineVM)
	require.NoError(t, err)
	b, ok = f.find("G1", "p99", "cfs")
	require.True(t, ok)
	require.Equal(t, 300, b.N)
	require.InDelta(t, 521.2, b.PaperMS, 1e-9)
}

func write(t *testing.T, root string, runs ...results.Result) []string {
	var keys []string
	for _, r := range runs {
		require.NoError(t, results.Write(filepath.Join(root, "fig06", r.Run.Key), r))
		keys = append(keys, r.Run.Key)
	}
	return keys
}

func TestDrawSaysWhatIsMissingAndWhatIsNotValid(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	_, err := Draw(Options{Results: root, Out: out})
	require.ErrorContains(t, err, "run an experiment first")

	bad := fixed("alps", 2, 1)
	bad.Run.Valid, bad.Run.Invalid = false, []string{"3 events were lost"}
	keys := write(t, root, fixed("cfs", 1, 2), fixed("alps", 1, 1), bad)
	require.NoError(t, results.WritePlan(root, "fig06", append(keys, "cfs-r2")))
	page, err := Draw(Options{Results: root, Out: out})
	require.ErrorContains(t, err, "run cfs-r2 is missing")
	require.ErrorContains(t, err, "alps-r2 is not valid and not drawn: 3 events were lost")
	html, err := os.ReadFile(page)
	require.NoError(t, err)
	for _, want := range []string{"Missing: cfs-r2", "3 events were lost", "not the paper's 5.18-rc5"} {
		require.True(t, strings.Contains(string(html), want), want)
	}
	for _, remote := range []string{`src="http`, `href="http`, "url(http", "@import"} {
		require.False(t, strings.Contains(string(html), remote), "the page needs no network: %s", remote)
	}
	table, err := os.ReadFile(filepath.Join(out, "fig06.tsv"))
	require.NoError(t, err)
	require.Contains(t, string(table), "\t150\n", "only the valid run counts")
}

func TestRunsUnderOtherConditionsAreNotPooled(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	other := fixed("alps", 1, 1)
	other.Run.Accelerator = "kvm"
	require.NoError(t, results.WritePlan(root, "fig06", write(t, root, fixed("cfs", 1, 2), other)))
	_, err := Draw(Options{Results: root, Out: out})
	require.ErrorContains(t, err, `runs differ in accelerator`)
}
