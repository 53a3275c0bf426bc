package figures

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
		t.Errorf("%s differs: see %s", path, left)
	}
}

// made makes a run by its round: the shapes matter, not the numbers. Times are
// the functions' own times scale.
func made(engine, workload, scheduler string, round int, scale float64) results.Result {
	rng := rand.New(rand.NewPCG(uint64(round), uint64(len(scheduler))))
	r := results.Result{Run: results.Run{Key: fmt.Sprintf("%s-%s-%s-%.2f-r%d", engine, workload, scheduler, scale, round), Engine: engine, Workload: workload,
		Scheduler: scheduler, Round: round, Seed: uint64(round), CPUs: 24, FunctionCPUs: 24, Invocations: 260,
		Valid: true, Invalid: []string{}, Errors: []string{}, LoadAsked: 0.9, LoadAchieved: 0.91, TimeFactor: 1}}
	if engine == results.EngineVM {
		r.Run.Kernel, r.Run.KernelFallback, r.Run.Accelerator, r.Run.CPUs, r.Run.FunctionCPUs = "6.1.0-alps", true, "tcg", 2, 1
	} else {
		r.Run.Sim = &results.Sim{Model: "0123456789abcdef"}
	}
	var turns results.Turns
	for g, n := range []int{150, 60, 40, 10} {
		for range n {
			cpu := []float64{40, 120, 326, 2500}[g]
			d := int64(cpu * (1 + scale*rng.ExpFloat64()) * 1e6)
			at := int64(len(r.Invocations)+1) * 1e8
			r.Invocations = append(r.Invocations, results.Invocation{ID: len(r.Invocations) + 1, Function: "f", UID: "1", Group: results.Groups[g], N: 1,
				SendNS: at - 1e6, ArriveNS: at, StartNS: at + 1e5, EndNS: at + d, CPUNS: int64(cpu * 1e6), SwitchesVol: 1, SwitchesInvol: int(scale * float64(rng.IntN(9))), Status: results.OK})
			turns.Add(results.Groups[g], time.Duration(d/int64(1+rng.IntN(9))))
		}
	}
	r.Slices = turns.Slices()
	return r
}

// shows writes runs of one engine and the plan that names them.
func shows(t *testing.T, root, experiment string, load float64, runs ...results.Result) {
	t.Helper()
	engine := runs[0].Run.Engine
	var series []results.Series
	for _, r := range runs {
		require.NoError(t, results.Write(results.Dir(root, engine, r.Run.Key), r))
		series = append(series, results.Series{Name: r.Run.Scheduler, Workload: r.Run.Workload, Load: load, Round: r.Run.Round, Key: r.Run.Key})
	}
	require.NoError(t, results.WritePlan(root, engine, experiment, series))
}

func sim(scheduler string, round int, scale float64) results.Result {
	return made(results.EngineSim, "huawei", scheduler, round, scale)
}

func vm(scheduler string, round int, scale float64) results.Result {
	return made(results.EngineVM, "huawei", scheduler, round, scale)
}

func TestGoldenPictures(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	two := []results.Result{sim("cfs", 1, 4), sim("alps", 1, 1), sim(artifact, 1, 2), sim("cfs", 2, 4), sim("alps", 2, 1), sim(artifact, 2, 2)}
	for figure, load := range map[string]float64{"fig01": 0.9, "fig05": 0.8, "fig06": 0.9, "fig07": 0.9, "fig08": 0.9} {
		shows(t, root, figure, load, two...)
	}
	shows(t, root, "fig03", 0.9, sim("srpt", 1, 1))
	shows(t, root, "fig09", 0.8, sim("both", 1, 1), sim("none", 1, 2))
	shows(t, root, "fig06", 0.9, vm("cfs", 1, 4), vm("alps", 1, 1))
	_, err := Draw(Options{Results: root, Out: out})
	require.NoError(t, err)
	for _, name := range []string{"fig01-sim", "fig03-sim", "fig05-sim", "fig06-sim", "fig06-vm", "fig07-sim", "fig08-sim", "fig09-sim"} {
		for _, ext := range []string{".tsv", ".svg"} {
			data, err := os.ReadFile(filepath.Join(out, name+ext))
			require.NoError(t, err)
			golden(t, name+ext, data)
		}
		for ext, magic := range map[string]string{".png": "\x89PNG", ".pdf": "%PDF"} {
			data, err := os.ReadFile(filepath.Join(out, name+ext))
			require.NoError(t, err)
			require.Equal(t, magic, string(data[:4]))
		}
	}
}

func TestGoldenTables(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	tables(t, root)
	_, err := Draw(Options{Results: root, Out: out})
	require.NoError(t, err)
	for _, name := range []string{"table1.md", "table1.tsv", "table2.md", "table2.tsv", "table3.md", "table3.tsv"} {
		data, err := os.ReadFile(filepath.Join(out, name))
		require.NoError(t, err)
		golden(t, name, data)
	}
}

// tables writes what the engine host would.
func tables(t *testing.T, root string) {
	t.Helper()
	groups := results.Table{Columns: []string{"workload", "group", "invocations", "share_pct"}}
	for w, shares := range map[string][]string{"huawei": {"69.74", "23.23", "6.03", "1.00"}} {
		for i, g := range results.Groups {
			groups.Rows = append(groups.Rows, []string{w, g, "1", shares[i]})
		}
	}
	for i, g := range results.Groups {
		groups.Rows = append(groups.Rows, []string{"azure", g, "1", []string{"42.00", "16.40", "24.20", "17.40"}[i]})
	}
	cost := results.Table{Columns: []string{"workload", "learner", "records", "median_us", "min_us", "updates"}}
	for l, us := range map[string]string{"avg": "273.0", "lr": "282.9", "rf": "6692.4", "ewma": "276.7"} {
		cost.Rows = append(cost.Rows, []string{"huawei", l, "5000", us, us, "99"})
	}
	// Maps have no order; a table has.
	for i := range cost.Rows {
		for j := range i {
			if cost.Rows[i][1] < cost.Rows[j][1] {
				cost.Rows[i], cost.Rows[j] = cost.Rows[j], cost.Rows[i]
			}
		}
	}
	hooks := results.Table{Columns: []string{"what", "in", "value"}, Rows: [][]string{
		{"system call", "instructions in the guest", "310"},
		{"context switch, stock kernel", "instructions in the guest", "4800"},
		{"context switch, hooks asked, entry", "instructions in the guest", "7300"},
		{"order hook, entry", "instructions in the guest", "265"},
		{"order hook, entry", "calls per switch", "0.996"},
		{"order hook, entry", "ns on this host", "29"},
		{"slice hook, entry", "calls per switch", "1.01"},
		{"slice hook, entry", "ns on this host", "28.5"},
		{"both hooks, per decision", "ns on this host", "57.6"},
	}}
	for name, table := range map[string]*results.Table{"table1": &groups, "table2": &cost, "table3": &hooks} {
		run := results.Run{Key: name, Engine: results.EngineHost, Valid: true, Parameters: map[string]any{"cpu": "a processor"}}
		require.NoError(t, results.Write(results.Dir(root, results.EngineSim, name), results.Result{Run: run, Table: table}))
		require.NoError(t, results.WritePlan(root, results.EngineSim, name, []results.Series{{Name: name, Key: name}}))
	}
}

func TestDrawSaysWhatIsMissingAndWhatIsNotValid(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	_, err := Draw(Options{Results: root, Out: out})
	require.ErrorContains(t, err, "run an experiment first")

	bad := vm("alps", 2, 1)
	bad.Run.Valid, bad.Run.Invalid = false, []string{"3 events were lost"}
	lost := []results.Result{vm("cfs", 2, 2), vm("cfs", 3, 2)}
	shows(t, root, "fig06", 0.9, vm("cfs", 1, 2), vm("alps", 1, 1), bad, lost[0], lost[1])
	for _, l := range lost {
		require.NoError(t, os.RemoveAll(results.Dir(root, results.EngineVM, l.Run.Key)))
	}
	gone := sim("sfs", 1, 2)
	shows(t, root, "fig02", 0.9, sim("cfs", 1, 2), gone)
	require.NoError(t, os.RemoveAll(results.Dir(root, results.EngineSim, gone.Run.Key)))
	page, err := Draw(Options{Results: root, Out: out})
	require.ErrorContains(t, err, "fig06, vm: 2 of 5 runs are missing: cfs on huawei at 90 %, rounds 2, 3")
	require.ErrorContains(t, err, "alps on huawei at 90 %, round 2 ("+bad.Run.Key+"): 3 events were lost")
	require.ErrorContains(t, err, "fig02, sim: 1 of 2 runs are missing: sfs on huawei at 90 %, round 1")
	html, err := os.ReadFile(page)
	require.NoError(t, err)
	for _, want := range []string{"2 of 5 runs are missing: cfs on huawei at 90 %, rounds 2, 3", "3 events were lost", "not the paper&#39;s 5.18-rc5", "Not measured yet", "Not run yet"} {
		require.Contains(t, string(html), want)
	}
	for _, remote := range []string{`src="http`, `href="http`, "url(http", "@import", "<script"} {
		require.NotContains(t, string(html), remote, "the page needs no network")
	}
	picture, err := os.ReadFile(filepath.Join(out, "fig06-vm.svg"))
	require.NoError(t, err)
	require.Contains(t, string(picture), "2 of 5 runs are missing: cfs on huawei at 90 %, rounds 2, 3")
	table, err := os.ReadFile(filepath.Join(out, "fig06-vm.tsv"))
	require.NoError(t, err)
	require.Contains(t, string(table), "\t150\n", "only the valid run counts")
	require.NotContains(t, string(table), "\t300\n")
}

func TestRunsUnderOtherConditionsAreNotPooled(t *testing.T) {
	for want, change := range map[string]func(*results.Run){
		"differ in accelerator":                                func(r *results.Run) { r.Accelerator = "kvm" },
		"differ in kernel":                                     func(r *results.Run) { r.Kernel = "5.18" },
		"of alps on huawei at 90 % differ in parameters":       func(r *results.Run) { r.Parameters = map[string]any{"order": "off"} },
		"on huawei at 90 % differ in invocations: 260 and 100": func(r *results.Run) { r.Invocations = 100 },
	} {
		root, out := t.TempDir(), t.TempDir()
		shows(t, root, "fig06", 0.9, vm("cfs", 1, 2))
		_, err := Draw(Options{Results: root, Out: out})
		require.NoError(t, err)
		other := vm("alps", 2, 1)
		change(&other.Run)
		shows(t, root, "fig06", 0.9, vm("cfs", 1, 2), vm("alps", 1, 1), other)
		page, err := Draw(Options{Results: root, Out: out})
		require.ErrorContains(t, err, want)
		html, err := os.ReadFile(page)
		require.NoError(t, err)
		require.Contains(t, string(html), "they are not pooled")
		_, err = os.Stat(filepath.Join(out, "fig06-vm.svg"))
		require.ErrorIs(t, err, os.ErrNotExist, "nor is an old picture left")
	}
	root, out := t.TempDir(), t.TempDir()
	first, second := vm("alps", 1, 1), vm("alps", 2, 1)
	first.Run.Parameters, second.Run.Parameters = map[string]any{"costs": 1}, map[string]any{"costs": 2}
	shows(t, root, "fig06", 0.9, first, second)
	_, err := Draw(Options{Results: root, Out: out})
	require.NoError(t, err, "what functions cost is measured at every boot")

	root = t.TempDir()
	other := sim("alps", 1, 1)
	other.Run.Sim = &results.Sim{Model: "another"}
	shows(t, root, "fig06", 0.9, sim("cfs", 1, 2), other)
	_, err = Draw(Options{Results: root, Out: out})
	require.ErrorContains(t, err, "fig06, sim: runs differ in model")
}

func TestPercentilesAreHonest(t *testing.T) {
	ref, err := newReference()
	require.NoError(t, err)
	laneOf := func(rounds ...results.Result) lane {
		var ds []dist
		for _, r := range rounds {
			ds = append(ds, measure(whatTurnaround, "G1", r, nil))
		}
		where := place{"fig06", "huawei", 90, "G1", "cfs"}
		return lane{place: where, dist: pool(ds), paper: ref.of(where, whatTurnaround)}
	}
	one := laneOf(vm("cfs", 1, 2))
	require.Contains(t, barStats(one), "max", "150 samples have no 99th percentile")
	require.NotContains(t, figure{kind: barRows}.stats(one), "p99", "nor is there one for the paper's sake")
	require.Equal(t, "", num(one.paperOf("max"), 1), "a maximum is not compared with the paper's percentile")
	require.Contains(t, figure{kind: barRows}.stats(one), "p90")
	few := newDist([]sample{{value: 1, count: 12}}, 0)
	require.True(t, few.has("p75") && few.has("mean") && few.has("max"))
	require.False(t, few.has("p90"), "one in twelve is no ninetieth percentile")
	two := laneOf(vm("cfs", 1, 2), vm("cfs", 2, 2))
	require.Contains(t, barStats(two), "p99")
	require.EqualValues(t, 300, two.dist.n())
	require.InDelta(t, 521.2, two.paperOf("p99"), 1e-9)
}

func TestSetups(t *testing.T) {
	root := t.TempDir()
	read := func(r results.Result) results.Result {
		dir := results.Dir(root, r.Run.Engine, r.Run.Key)
		require.NoError(t, results.Write(dir, r))
		at := time.Date(2026, 11, 24, 23, 58+r.Run.Round, 30, 0, time.UTC)
		require.NoError(t, os.Chtimes(filepath.Join(dir, "run.json"), at, at))
		r, err := results.Read(dir)
		require.NoError(t, err)
		return r
	}
	nothing, err := setups([]results.Result{read(sim("cfs", 1, 2))})
	require.NoError(t, err)
	require.Equal(t, []setup{{results.EngineVM, []string{"Nothing yet."}}, {results.EngineSim, []string{"1 run on 24 cores, written 2026-11-24 23:59 UTC"}}}, nothing)
	bad, computed := vm("alps", 3, 1), vm("srpt", 1, 1)
	bad.Run.Valid, bad.Run.Invalid = false, []string{"3 events were lost"}
	computed.Run.Parameters = map[string]any{"on": "cfs"}
	all, err := setups([]results.Result{read(vm("cfs", 1, 2)), read(bad), read(computed)})
	require.NoError(t, err)
	require.Contains(t, all[0].Lines[0], "2 runs, 1 of them not valid and not drawn, and 1 computed on them, written 2026-11-24 23:59 to 2026-11-25 00:01 UTC")
	require.Contains(t, all[0].Lines[1], "kernel 6.1.0-alps; QEMU with tcg; 2 CPUs, 1 for the functions")
}

// Every experiment is shown, but for those that docs/fidelity.md is about.
func TestEveryExperimentIsShown(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "experiments", "*.yaml"))
	require.NoError(t, err)
	require.Greater(t, len(files), 20)
	shown := []string{"profiles", "choices", "load", neverFigure, indexFigure}
	for _, f := range catalog {
		shown = append(shown, f.name)
	}
	for _, g := range grids {
		shown = append(shown, g.name)
	}
	for _, f := range files {
		require.Contains(t, shown, strings.TrimSuffix(filepath.Base(f), ".yaml"))
	}
}

// A partial measurement names a few, not hundreds.
func TestLacks(t *testing.T) {
	s := set{found: make([]results.Series, 3)}
	require.Empty(t, s.lacks(4))
	for _, name := range []string{"cfs", "sfs", "alps"} {
		s.missing = append(s.missing, results.Series{Name: name, Workload: "huawei", Load: 0.9, Round: 2})
	}
	require.Equal(t, "3 of 6 runs are missing: cfs on huawei at 90 %, round 2; and 2 more", s.lacks(1))
}

// Another kernel is drawn where the plan has it, computed runs are called so.
func TestOtherKernelsAndComputedRuns(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	newer := vm("eevdf", 1, 2)
	newer.Run.Kernel, newer.Run.KernelName, newer.Run.KernelFallback, newer.Run.Scheduler, newer.Run.ConfigDigest = "6.12.1", "6.12", false, "cfs", "other"
	base, oracle := vm("cfs", 1, 2), vm("srpt", 1, 1)
	oracle.Run.Parameters = map[string]any{"on": base.Run.Key}
	// What the figure shows of the four, with the kernel that the plan says eevdf has.
	draw := func(kernel string) (string, error) {
		var series []results.Series
		for _, x := range []struct {
			results.Result
			name, kernel string
		}{{base, "cfs", ""}, {newer, "eevdf", kernel}, {vm("alps", 1, 1), "alps", ""}, {oracle, "srpt", ""}} {
			require.NoError(t, results.Write(results.Dir(root, results.EngineVM, x.Run.Key), x.Result))
			series = append(series, results.Series{Name: x.name, Workload: "huawei", Load: 0.9, Round: 1, Kernel: x.kernel, Key: x.Run.Key})
		}
		require.NoError(t, results.WritePlan(root, results.EngineVM, "fig06", series))
		_, err := Draw(Options{Results: root, Out: out})
		svg, _ := os.ReadFile(filepath.Join(out, "fig06-vm.svg"))
		return string(svg), err
	}
	_, err := draw("")
	require.ErrorContains(t, err, "differ in kernel")
	_, err = draw("6.6")
	require.ErrorContains(t, err, "of eevdf on huawei at 90 % are planned for kernel 6.6 and ran on 6.12")
	svg, err := draw("6.12")
	require.NoError(t, err)
	for _, want := range []string{"eevdf (kernel 6.12)", "srpt (computed on cfs)", "eevdf: kernel 6.12.1", "measured under cfs: srpt", "kernel 6.1.0-alps (not"} {
		require.Contains(t, svg, want)
	}
}

// A grey copy can be read, and so can the colour-blind.
func TestStylesDiffer(t *testing.T) {
	seven := []string{"rr", "fifo", "cfs", "sfs", "alps", artifact, "srpt"}
	seen := map[string]string{}
	for i, a := range seven {
		for _, b := range seven[:i] {
			d := brightness(styles[a].colour) - brightness(styles[b].colour)
			require.Greater(t, d*d, 64.0, "%s and %s", a, b)
		}
		d := fmt.Sprint(styles[a].dashes)
		require.Empty(t, seen[d], "%s has the dashes of", a)
		seen[d] = a
	}
	require.Equal(t, styles["fifo"], styleOf("fifo", "fifo", 3))
	require.NotEqual(t, styles["fifo"], styleOf("fifo", "alps", 1), "an order of ALPS")
}
