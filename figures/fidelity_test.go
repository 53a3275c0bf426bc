package figures

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
)

// like makes a run whose groups have the percentiles of the paper's bars times
// a factor.
func like(t *testing.T, workload, scheduler string, factor float64) results.Result {
	paper, err := paperFig06()
	require.NoError(t, err)
	r := results.Result{Run: results.Run{Key: scheduler + "-" + workload + "-" + num(factor, 2), Engine: results.EngineSim, Workload: workload, Scheduler: scheduler,
		LoadAsked: 0.9, Valid: true, Invalid: []string{}, Errors: []string{}, CPUs: 24, Seed: 1, Sim: &results.Sim{Model: "0123456789abcdef"}}}
	for _, g := range results.Groups {
		s := paper[workload][g][scheduler]
		for _, x := range []struct {
			n  int
			ms float64
		}{{50, s.P50}, {25, s.P75}, {15, s.P90}, {10, s.P99}} {
			for range x.n {
				r.Invocations = append(r.Invocations, results.Invocation{ID: len(r.Invocations) + 1, Group: g, EndNS: int64(x.ms * factor * 1e6), Status: results.OK})
			}
		}
	}
	r.Run.Invocations = len(r.Invocations)
	return r
}

func plan(t *testing.T, root, experiment string, series map[string]results.Result, names ...string) {
	var shown []results.Series
	for _, name := range names {
		r := series[name]
		require.NoError(t, results.Write(results.Dir(root, results.EngineSim, r.Run.Key), r))
		shown = append(shown, results.Series{Name: name, Load: r.Run.LoadAsked, Key: r.Run.Key})
	}
	require.NoError(t, results.WritePlan(root, results.EngineSim, experiment, shown))
}

func TestFidelity(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	require.ErrorContains(t, Fidelity(Options{Results: root, Out: out}), "simulate first (experiments:run -engine=sim all)")

	stuck := like(t, "huawei", "rr", 1)
	stuck.Run.Valid, stuck.Run.Invalid = false, []string{"the load does not drain"}
	cfs := like(t, "huawei", "cfs", 1.1)
	plan(t, root, "fig06", map[string]results.Result{"cfs": cfs, "rr": stuck, artifact: like(t, "huawei", "alps", 0.5), "alps": like(t, "huawei", "alps", 0.9)}, "rr", "cfs", artifact, "alps")
	plan(t, root, "fig05", map[string]results.Result{"cfs": cfs}, "cfs")
	plan(t, root, "order", map[string]results.Result{"fifo": like(t, "huawei", "alps", 1.3), "strict": like(t, "huawei", "alps", 0.9)}, "fifo", "strict")
	plan(t, root, "choices", map[string]results.Result{"cfs-fitted": cfs, "alps-artifact-fitted": like(t, "huawei", "alps", 0.5), "cfs-no-lag": like(t, "huawei", "cfs", 3)}, "cfs-fitted", "alps-artifact-fitted", "cfs-no-lag")
	plan(t, root, "tails", map[string]results.Result{"cfs": cfs}, "cfs")
	plan(t, root, "load", map[string]results.Result{"cfs": cfs}, "cfs")
	others, err := paperOthers()
	require.NoError(t, err)
	for _, o := range others {
		if o.Figure != "fig05" {
			plan(t, root, o.Figure, map[string]results.Result{"cfs": cfs}, "cfs")
		}
	}
	f, err := newFidelity(root)
	require.NoError(t, err)
	require.Len(t, f.Runs, 6, "a run in two figures is one")

	rows := strings.Split(f.bars(), "\n")
	require.Equal(t, "| workload | scheduler | all | G1 | G2 | G3 | G4 |", rows[0])
	require.Regexp(t, `^\| huawei \| cfs \| 10\.0 % \| 10\.0 % `, rows[2])
	require.Regexp(t, `^\| huawei \| alps-artifact \| 50\.0 % \| 50\.0 % `, rows[3], "the plots are not compared with alps, whose order is another")
	require.Len(t, rows, 5, "what is not valid is not compared")

	rows = strings.Split(f.orders(), "\n")
	require.Regexp(t, `^\| huawei \| fifo \| 30\.0 % \| 1\.30 \| 1\.30 \|`, rows[2])
	require.Regexp(t, `^\| huawei \| strict \| \*\*10\.0 %\*\* \| 0\.90 \| 0\.90 \|`, rows[3])

	rows = strings.Split(f.choices(), "\n")
	require.Equal(t, "| choice | cfs | alps-artifact |", rows[0])
	require.Regexp(t, `^\| fitted \| 10\.0 % \(\d+ ms\) \| 50\.0 % \(\d+ ms\) \|$`, rows[2])
	require.Regexp(t, `^\| no-lag \| 200\.0 % \(\d+ ms\) \|  \|$`, rows[3])
	require.Regexp(t, `(?m)^\| cfs \| \d+ \| \d+ \| 573 \|`, f.tails(), "1.1 of the paper's p99 of G1, 521.2")
	require.Contains(t, f.loads(), "| huawei | cfs | 10.0 % |")
	// 1.3 of the paper's ALPS beside 1.1 of its CFS; nothing but the process counts here.
	require.Regexp(t, `(?m)^\| huawei \| alps, fifo \| \d+ \| -\d+ % \| \d+ \| -\d+ % \|$`, f.ends())
	require.Equal(t, f.page().Change("huawei", "fifo", "turnaround"), f.page().Change("huawei", "fifo", "request"))

	require.Equal(t, "| scheduler | huawei, 90 % |", strings.Split(f.curves(), "\n")[0])
	require.Contains(t, f.ratios(), "| huawei | cfs | G1 | 100 | 204 (1.10) |")

	require.ErrorContains(t, Fidelity(Options{Results: root, Out: out}), "never or index is not there: simulate first")
	beyondTables(t, root)
	require.NoError(t, Fidelity(Options{Results: root, Out: out}))
	require.FileExists(t, filepath.Join(out, "never.md"))
	page, err := os.ReadFile(filepath.Join(out, "fidelity.md"))
	require.NoError(t, err)
	for _, want := range []string{f.bars(), f.curves(), f.orders(), f.ratios(), "6 runs of 400 invocations, seeds from 1 on", "0123456789ab", "fig06: rr on huawei: the load does not drain"} {
		require.Contains(t, string(page), want)
	}
	table, err := os.ReadFile(filepath.Join(out, "fidelity.tsv"))
	require.NoError(t, err)
	require.Contains(t, string(table), "\nfig06\thuawei\t90\tG1\tcfs\tp50\tms\t203.9\t185.4\t1.100\t100\n")
	require.Contains(t, string(table), "\nfig05\thuawei\t90\tG1\tcfs\tp99.5\tms\t")
}

func TestSingleNumbers(t *testing.T) {
	run := func(scale int64) results.Result {
		r := results.Result{Slices: []results.Slices{{Group: "G1", Length: 4 * time.Millisecond, Count: 60}, {Group: "G1", Length: 9 * time.Millisecond, Count: 10}, {Group: "G2", Length: 5 * time.Millisecond, Count: 30}}}
		for i := range 10 {
			r.Invocations = append(r.Invocations, results.Invocation{Group: []string{"G1", "G2"}[i%2], SendNS: 1e6, ArriveNS: 2e6, EndNS: 2e6 + scale*int64(i+1)*1e6, SwitchesInvol: i, Status: results.OK})
		}
		return r
	}
	r, base := run(1), run(3)
	for _, c := range []struct {
		stat, group string
		want        float64
		n           int
	}{
		{"mean", "all", 5.5, 10}, {"p50", "all", 5, 10}, {"p90", "G1", 9, 5}, {"switches_p50", "all", 4, 10},
		{"slice_p50", "all", 4, 100}, {"slice_p75", "all", 5, 100}, {"slice_p91", "all", 9, 100}, {"slice_p50", "G2", 5, 30},
		{"saved_p50", "all", 100 * 2 / 3.0, 10}, // i instead of 3i
		{"saved+11ms_p50", "all", 100 * 2 * 5 / (3*5 + 11.0), 10},
	} {
		got, n, err := other{Group: c.group, Stat: c.stat}.measure(r, &base)
		require.NoError(t, err)
		require.InDelta(t, c.want, got, 1e-9, c.stat)
		require.Equal(t, c.n, n, c.stat)
	}
	got, _, err := other{Group: "all", Stat: "saved_p50"}.measure(r, nil)
	require.NoError(t, err)
	require.True(t, math.IsNaN(got))
	_, _, err = other{Figure: "fig99", Group: "all", Stat: "median"}.measure(r, nil)
	require.ErrorContains(t, err, `fig99: stat "median"`)
	others, err := paperOthers()
	require.NoError(t, err)
	for _, o := range others {
		_, _, err := o.measure(r, &base)
		require.NoError(t, err)
	}
}

func TestPaperCurves(t *testing.T) {
	curves, err := paperFig05()
	require.NoError(t, err)
	require.Len(t, curves, 96)
	bars, err := paperFig06()
	require.NoError(t, err)
	for c, points := range curves {
		require.Len(t, points, 24)
		last := 0.0
		for _, p := range points {
			require.GreaterOrEqual(t, p.MS, last, "%v", c)
			last = p.MS
		}
		// Two plots of one run.
		if c.LoadPct == 90 {
			p50 := points[10]
			require.InDelta(t, 0.5, p50.Quantile, 0)
			require.InEpsilon(t, bars[c.Workload][c.Group][c.Scheduler].P50, p50.MS, 0.06, "%v", c)
		}
	}
}

// Rounds of one series are one value, their mean.
func TestAverage(t *testing.T) {
	v := func(series, stat string, ours float64) value {
		return value{Figure: "f", Workload: "w", LoadPct: 90, Group: "G1", Series: series, Stat: stat, Ours: ours, Paper: 5, N: 10}
	}
	f := fidelity{Values: []value{v("a", "p50", 1), v("b", "p50", 2), v("a", "p50", 4), v("a", "p75", 9), v("a", "p50", 7)}}
	f.average()
	a := v("a", "p50", 4)
	a.N = 30
	require.Equal(t, []value{a, v("b", "p50", 2), v("a", "p75", 9)}, f.Values)
}

func TestMedianDeviation(t *testing.T) {
	require.True(t, math.IsNaN(medianDeviation(nil)))
	three := []value{{Ours: 90, Paper: 100}, {Ours: 300, Paper: 100}, {Ours: math.NaN(), Paper: 1}, {Ours: 120, Paper: 100}}
	require.InDelta(t, 20, medianDeviation(three), 1e-9)
	require.InDelta(t, 25, medianDeviation(append(three, value{Ours: 70, Paper: 100})), 1e-9)
}
