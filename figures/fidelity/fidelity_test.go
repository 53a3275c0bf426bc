// SPDX-License-Identifier: Apache-2.0

package fidelity

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/figuretest"
	"github.com/ds2-lab/alps/figures/paper"
	"github.com/ds2-lab/alps/figures/stats"
)

func TestFidelity(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	require.ErrorContains(t, Write(root, out), "simulate first (experiments:run -engine=sim all)")

	stuck := figuretest.Like(t, "huawei", "rr", 1)
	stuck.Run.Valid, stuck.Run.Invalid = false, []string{"the load does not drain"}
	cfs := figuretest.Like(t, "huawei", "cfs", 1.1)
	figuretest.Plan(t, root, "fig06", map[string]results.Result{"cfs": cfs, "rr": stuck, paper.Artifact: figuretest.Like(t, "huawei", "alps", 0.5), "alps": figuretest.Like(t, "huawei", "alps", 0.9)}, "rr", "cfs", paper.Artifact, "alps")
	figuretest.Plan(t, root, "fig05", map[string]results.Result{"cfs": cfs}, "cfs")
	figuretest.Plan(t, root, "order", map[string]results.Result{"fifo": figuretest.Like(t, "huawei", "alps", 1.3), "strict": figuretest.Like(t, "huawei", "alps", 0.9)}, "fifo", "strict")
	figuretest.Plan(t, root, "choices", map[string]results.Result{"cfs-fitted": cfs, "alps-artifact-fitted": figuretest.Like(t, "huawei", "alps", 0.5), "cfs-no-lag": figuretest.Like(t, "huawei", "cfs", 3)}, "cfs-fitted", "alps-artifact-fitted", "cfs-no-lag")
	figuretest.Plan(t, root, "tails", map[string]results.Result{"cfs": cfs}, "cfs")
	figuretest.Plan(t, root, "load", map[string]results.Result{"cfs": cfs}, "cfs")
	numbers, err := paper.Numbers()
	require.NoError(t, err)
	for _, o := range numbers {
		if !o.OfCurve() && !o.OfBar() && o.Figure != paper.Curves {
			figuretest.Plan(t, root, o.Figure, map[string]results.Result{"cfs": cfs}, "cfs")
		}
	}
	f, err := newFidelity(root)
	require.NoError(t, err)
	require.Len(t, f.Runs, 6, "a run in two figures is one")
	// Of the other figures only cfs is planned.
	unplanned := strings.Join(f.Unplanned, "\n")
	require.Contains(t, unplanned, "alps on huawei at 90 % in fig07: switches_p50 2\n")
	require.NotContains(t, unplanned, "\ncfs on huawei at 90 % in fig07")

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
	require.Regexp(t, `^\d+ → \d+ ms and 10\.0 → 200\.0 %$`, f.page().Undone("cfs", "no-lag"))
	require.Regexp(t, `(?m)^\| cfs \| \d+ \| \d+ \| 573 \|`, f.tails(), "1.1 of the paper's p99 of G1, 521.2")
	require.Contains(t, f.loads(), "| huawei | cfs | 10.0 % |")
	// 1.3 of the paper's ALPS beside 1.1 of its CFS. Requests are sent when processes begin, so both measures change alike.
	require.Regexp(t, `(?m)^\| huawei \| alps, fifo \| \d+ \| -\d+ % \| \d+ \| -\d+ % \|$`, f.ends())
	require.Equal(t, f.page().Change("huawei", "fifo", "turnaround"), f.page().Change("huawei", "fifo", "request"))

	require.Equal(t, "| scheduler | huawei, 90 % |", strings.Split(f.curves(), "\n")[0])
	require.Contains(t, f.ratios(), "| huawei | cfs | G1 | 100 | 204 (1.10) |")

	require.ErrorContains(t, Write(root, out), "never or index is not there: simulate first")
	figuretest.BeyondTables(t, root)
	require.NoError(t, Write(root, out))
	require.FileExists(t, filepath.Join(out, "never.md"))
	page, err := os.ReadFile(filepath.Join(out, "fidelity.md"))
	require.NoError(t, err)
	for _, want := range []string{f.bars(), f.curves(), f.orders(), f.ratios(), "6 runs of 400 invocations; seeds from 1 on", "0123456789ab", "fig06: rr on huawei: the load does not drain", "\n**In the paper, and of no series that is planned:** " + f.Unplanned[0] + "\n"} {
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
		got, n := oursOf(t, c.group, c.stat, r, &base)
		require.InDelta(t, c.want, got, 1e-9, c.stat)
		require.Equal(t, c.n, n, c.stat)
	}
	got, _ := oursOf(t, "all", "saved_p50", r, nil)
	require.True(t, math.IsNaN(got))
	var f fidelity
	require.ErrorContains(t, f.add(paper.Position{}, paper.Number{Position: paper.Position{Figure: "fig99"}, Stat: "median"}, stats.Distribution{}), `fig99: stat "median"`)
	numbers, err := paper.Numbers()
	require.NoError(t, err)
	for _, n := range numbers {
		oursOf(t, n.Group, n.Stat, r, &base)
	}
}

// oursOf is our value of a number, and how many are behind it.
func oursOf(t *testing.T, group, stat string, r results.Result, base *results.Result) (float64, int) {
	var f fidelity
	what, _ := dataset.SplitStat(stat)
	require.NoError(t, f.add(paper.Position{}, paper.Number{Stat: stat}, dataset.Measure(what, group, r, base)))
	return f.Values[0].Ours, f.Values[0].N
}

// The page says which figures' runs are shorter than the others.
func TestLengthsNameWhatIsShorter(t *testing.T) {
	f := fidelity{Lengths: []length{{15000, "fig06"}, {15000, "fig05"}, {1000, "fig15"}, {3000, "tails"}}}
	require.Equal(t, "15,000 invocations, but those of tails of 3,000, and those of fig15 of 1,000", f.lengths())
	f.Lengths = f.Lengths[:2]
	require.Equal(t, "15,000 invocations", f.lengths())
}

// Rounds of one series are one value, their mean.
func TestAverage(t *testing.T) {
	v := func(series, stat string, ours float64) paper.Compared {
		return paper.Compared{Position: paper.Position{Figure: "f", Workload: "w", LoadPct: 90, Group: "G1", Series: series}, Stat: stat, Ours: ours, Paper: 5, N: 10}
	}
	f := fidelity{Values: []paper.Compared{v("a", "p50", 1), v("b", "p50", 2), v("a", "p50", 4), v("a", "p75", 9), v("a", "p50", 7)}}
	f.average()
	a := v("a", "p50", 4)
	a.N = 30
	require.Equal(t, []paper.Compared{a, v("b", "p50", 2), v("a", "p75", 9)}, f.Values)
}

func TestMedianDeviation(t *testing.T) {
	require.True(t, math.IsNaN(medianDeviation(nil)))
	three := []paper.Compared{{Ours: 90, Paper: 100}, {Ours: 300, Paper: 100}, {Ours: math.NaN(), Paper: 1}, {Ours: 120, Paper: 100}}
	require.InDelta(t, 20, medianDeviation(three), 1e-9)
	require.InDelta(t, 25, medianDeviation(append(three, paper.Compared{Ours: 70, Paper: 100})), 1e-9)
}

// A number whose series was planned and is not valid is not called unplanned.
func TestUnplanned(t *testing.T) {
	stuck, cfs := figuretest.Like(t, "huawei", "rr", 1), figuretest.Like(t, "huawei", "cfs", 1)
	planned := []results.Series{{Name: "rr", Load: 0.9, Result: stuck}, {Name: "cfs", Load: 0.9, Result: cfs}}
	of := func(series string) paper.Number {
		return paper.Number{Position: paper.Position{Figure: "fig07", Workload: "huawei", LoadPct: 90, Group: results.All, Series: series}, Stat: "p50", Value: 12, Unit: "ms"}
	}
	var f fidelity
	require.NoError(t, f.addOthers("fig07", planned, planned[1:], []paper.Number{of("rr"), of("cfs"), of("sfs")}))
	require.Len(t, f.Values, 1)
	require.Len(t, f.Unplanned, 1)
	require.Regexp(t, `^sfs on huawei at 90 % in fig07: p50 12 ms$`, f.Unplanned[0])
}

// A single number is the mean over the rounds, each beside the base of its own.
func TestSingleNumbersAreOfEveryRound(t *testing.T) {
	var all []results.Series
	for round, ms := range []int64{10, 30} {
		for name, length := range map[string]int64{"cfs": 2 * ms, "sfs": ms} {
			r := figuretest.Like(t, "huawei", name, 1)
			for i := range r.Invocations {
				r.Invocations[i].EndNS = r.Invocations[i].ArriveNS + length*1e6
			}
			all = append(all, results.Series{Name: name, Load: 0.9, Round: round + 1, Result: r})
		}
	}
	of := func(stat string) paper.Number {
		return paper.Number{Position: paper.Position{Figure: "fig07", Workload: "huawei", LoadPct: 90, Group: results.All, Series: "sfs"}, Stat: stat, Value: 12, Unit: "ms"}
	}
	var f fidelity
	require.NoError(t, f.addOthers("fig07", all, all, []paper.Number{of("mean"), of("saved_mean")}))
	f.average()
	require.Len(t, f.Values, 2)
	require.InDelta(t, 20, f.Values[0].Ours, 1e-9)
	require.Equal(t, 2*len(all[0].Result.Invocations), f.Values[0].N)
	require.InDelta(t, 50, f.Values[1].Ours, 1e-9, "half of its own round's")
}
