// SPDX-License-Identifier: Apache-2.0

package claims

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/figuretest"
	"github.com/ds2-lab/alps/figures/paper"
	"github.com/ds2-lab/alps/figures/stats"
)

// byID is the claim of an id.
func byID(t *testing.T, id string) Claim {
	t.Helper()
	i := slices.IndexFunc(All, func(c Claim) bool { return c.ID == id })
	require.GreaterOrEqual(t, i, 0, id)
	return All[i]
}

// asked is the verdict on a claim whose numbers are made up: a value for each series, whatever the statistic.
func asked(t *testing.T, id string, values map[string]float64) finding {
	t.Helper()
	e := newEvidence(nil, results.EngineSim, nil)
	e.plotted = func(at paper.Position, _ string) float64 {
		require.Contains(t, values, at.Series)
		return values[at.Series]
	}
	f := byID(t, id).check(e)
	require.NoError(t, e.err)
	return f
}

// A claim of an order holds if there is that order: series that are alike are in none.
func TestAnOrderIsStrict(t *testing.T) {
	for _, c := range []struct {
		cfs, sfs, alps, srpt float64
		want                 Verdict
	}{{11, 8, 2, 1, Holds}, {8, 0, 0, 0, Fails}, {15, 2, 0, 0, Fails}, {3, 3, 2, 1, Fails}, {3, 4, 2, 1, Fails}} {
		f := asked(t, "switches-order", map[string]float64{"cfs": c.cfs, "sfs": c.sfs, "alps": c.alps, "srpt": c.srpt})
		require.Equal(t, c.want, f.verdict, f.seen)
	}
}

// In the paper the medians of longer functions fall further than that of the short ones, so nothing here may say that
// these gain most.
func TestTheShortDoNotGainMost(t *testing.T) {
	ref, err := paper.NewReference()
	require.NoError(t, err)
	median := func(group, series string) float64 {
		at := paper.Position{Figure: paper.Bars, Workload: "huawei", LoadPct: paper.BarsLoad, Group: group, Series: series}
		return ref.At(at)[0].Value
	}
	fall := func(group string) float64 { return 1 - median(group, "alps")/median(group, "cfs") }
	require.Greater(t, fall("G3"), fall("G1"))
	texts := byID(t, "g1-p50").Text
	for _, file := range []string{"README.md", "docs/findings.md", "docs/report/claims.tsv"} {
		text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(file)))
		require.NoError(t, err)
		texts += string(text)
	}
	require.NotRegexp(t, `(?i)gains? most`, texts)
}

// Each fine-tuning alone must be better than none, and both better than either.
func TestEachFineTuningIsAsked(t *testing.T) {
	for _, c := range []struct {
		overload, unpredictability, both float64
		want                             Verdict
	}{{99, 97, 88, Holds}, {80, 120, 110, Opposite}, {99, 120, 88, Opposite}, {120, 97, 88, Opposite}, {80, 97, 88, Opposite}, {99, 80, 88, Opposite}} {
		f := asked(t, "tuning-each", map[string]float64{"none": 106, "overload": c.overload, "unpredictability": c.unpredictability, "both": c.both})
		require.Equal(t, c.want, f.verdict, f.seen)
	}
}

// A learner's update that is dear, or others that differ as much as the forest adds, do not bear the claims out.
func TestUpdatesOfLearners(t *testing.T) {
	for _, c := range []struct {
		avg, lr, ewma, rf float64 // ms
		cheap, dear       Verdict
	}{
		{0.44, 0.44, 0.40, 10.5, Holds, Holds},
		{419, 422, 420, 533, Holds, Holds}, // the paper's
		{419, 440, 420, 533, Holds, Fails},
		{0.4, 0.4, 0.4, 0.3, Holds, Fails},
		{419, 422, 420, 1200, Fails, Holds},
	} {
		g := &dataset.Grid{Name: "table2"}
		for l, ms := range map[string]float64{"avg": c.avg, "lr": c.lr, "rf": c.rf, "ewma": c.ewma} {
			g.Cells = append(g.Cells, dataset.Cell{Row: l, Column: "5000", Ours: ms})
		}
		for id, want := range map[string]Verdict{"update-cheap": c.cheap, "forest-dear": c.dear} {
			f := byID(t, id).check(newEvidence(nil, results.EngineVM, map[string]*dataset.Grid{"table2": g}))
			require.Equal(t, want, f.verdict, "%s: %s", id, f.seen)
		}
	}
}

// Two intervals with other verdicts have other texts: an end that is not zero does not print as zero.
func TestTextsShowWhatVerdictsHangOn(t *testing.T) {
	e := newEvidence(nil, results.EngineSim, nil)
	below, spanning := stats.Interval{Lo: 0.9641, Hi: 0.9999}, stats.Interval{Lo: 0.9641, Hi: 1.00001}
	cut := func(ratio stats.Interval) stats.Interval { return stats.Interval{Lo: 1 - ratio.Hi, Hi: 1 - ratio.Lo} }
	require.Equal(t, Smaller, classify(0.018, cut(below), 0.13))
	require.Equal(t, NoEffect, classify(0.018, cut(spanning), 0.13))
	require.Equal(t, " (−3.6 to −0.01 %)", e.between(below))
	require.Equal(t, " (−3.6 to +0.001 %)", e.between(spanning))
	require.Equal(t, " (−0.004 % to 1.9 %)", e.around(stats.Interval{Lo: -0.004, Hi: 1.9}, "saved_p50"))
	require.Equal(t, "74 → 74 ms, +0.01 %", fromTo(74, 74.0074, "p50"))

	// Nor does a number print as a threshold that it is not at.
	at := func(c check, values map[string]float64) finding {
		e := newEvidence(nil, results.EngineSim, nil)
		e.plotted = func(at paper.Position, _ string) float64 { return values[at.Series] }
		return c(e)
	}
	for _, c := range []struct {
		check   check
		alps    float64
		seen    string
		holdsTo string
		verdict Verdict
	}{
		{less("fig06 huawei 90 alps all", "fig06 huawei 90 cfs all", "mean", 41.8), 720.9, "1,000 → 721 ms, −27.91 %", "from −27.9 %", Holds},
		{less("fig06 huawei 90 alps all", "fig06 huawei 90 cfs all", "mean", 41.8), 721.2, "1,000 → 721 ms, −27.88 %", "from −27.9 %", Smaller},
		{noWorse("fig06 huawei 90 alps all", "fig06 huawei 90 cfs all", "mean"), 1010.4, "1,000 → 1,010 ms, +1.04 %", "up to +1.0 %", Opposite},
		{positive("fig08 huawei 90 alps all", "saved_p50", 42), 27.6, "27.6 %", "from 28.0 %", Smaller},
		{about("fig03 huawei 90 alps G1", "slice_p50", 4, 0.25), 5.04, "5.04 ms", "4 ms ± 25 %", Fails},
		{within("mean", 0.02, "fig10 huawei 70 cfs all", "fig10 huawei 70 alps all"), 1020.4, "1,000, 1,020 ms: 2.04 % apart", "within 2 %", Fails},
		{falling("mean", "fig07 huawei 90 cfs all", "fig07 huawei 90 alps all"), 999.8123, "1,000, 999.8", "each below the one before it", Holds},
		{doneWithin(1000, "60 % or more", []float64{60}, func(s []float64) bool { return s[0] >= 60 }, "fig06 azure 90 alps G4"), 59.7123, "59.7 %", "60 % or more", Fails},
	} {
		f := at(c.check, map[string]float64{"cfs": 1000, "alps": c.alps})
		require.Equal(t, finding{c.seen, c.holdsTo, c.verdict}, f)
	}
}

// An interval over the blocks of one run is not called one over rounds, and a verdict by it is marked.
func TestOneRoundIsSaid(t *testing.T) {
	large := func(rounds ...int) (Judged, Effect) {
		root := t.TempDir()
		var runs []results.Result
		for _, r := range rounds {
			runs = append(runs, figuretest.VM("cfs", r, 4), figuretest.VM("alps", r, 1))
		}
		figuretest.Shows(t, root, paper.Headline, 0.9, runs...)
		l := dataset.NewLibrary(root)
		out, err := Judge([]Claim{byID(t, "mean-huawei-cfs")}, l, nil)
		require.NoError(t, err)
		f, err := Change(l, results.EngineVM, "headline huawei 90 alps all", "headline huawei 90 cfs all", "mean")
		require.NoError(t, err)
		return out[0], f
	}
	one, f := large(1)
	require.True(t, one.Large.OneRound())
	require.False(t, one.Measured.OneRound(), "nothing of the other runs")
	require.Regexp(t, `\(.+ to .+ %, within one run\)$`, one.Large.Seen)
	require.Regexp(t, `\(.+ to .+ %, within one run\)$`, f.Text())
	require.Contains(t, TSV([]Judged{one}), one.Large.Seen+"\t1\t")
	three, f := large(1, 2, 3)
	require.False(t, three.Large.OneRound())
	require.NotContains(t, three.Large.Seen+f.Text(), "one run")
	require.Contains(t, TSV([]Judged{three}), three.Large.Seen+"\t3\t")
}

// SRPT never runs in a guest: a claim on what was computed says so, and is measured only if something else ran.
func TestComputedRunsAreSaidToBe(t *testing.T) {
	root := t.TempDir()
	var runs []results.Result
	for round := 1; round <= dataset.MinRounds; round++ {
		base, oracle := figuretest.VM("cfs", round, 4), figuretest.VM("srpt", round, 1)
		oracle.Run.Parameters = map[string]any{"on": base.Run.Key}
		runs = append(runs, base, oracle)
	}
	for _, figure := range []string{"fig01", "fig03", paper.Headline} {
		figuretest.Shows(t, root, figure, 0.9, runs...)
	}
	out, err := Judge([]Claim{byID(t, "slices-g1"), byID(t, "slower-cfs"), {ID: "both", check: less("fig01 huawei 90 srpt all", "fig01 huawei 90 cfs all", "mean", 10)}}, dataset.NewLibrary(root), nil)
	require.NoError(t, err)
	alone, pairs, both := out[0], out[1], out[2]
	require.Equal(t, NotDone, alone.Measured.Verdict)
	require.Empty(t, alone.Measured.Seen)
	require.Regexp(t, `^Nothing that ran is asked, only SRPT computed from CFS's run: \d+ ms\.$`, strings.Join(alone.Measured.Lacks, " "))
	require.Empty(t, alone.Measured.Command, "no run makes it")
	require.Equal(t, NotDone, alone.Large.Verdict)
	require.True(t, alone.Large.Apart)
	for _, j := range []Judged{pairs, both} {
		for _, a := range []Answer{j.Measured, j.Large} {
			require.NotEqual(t, NotDone, a.Verdict)
			require.Regexp(t, `; SRPT computed from CFS's run$`, a.Seen)
		}
	}
}

// What lacks invocations is made by the profile that has them, for the next quick run would lack them again.
func TestACommandMakesWhatLacks(t *testing.T) {
	root := t.TempDir()
	var runs []results.Result
	for round := 1; round <= dataset.MinRounds; round++ {
		runs = append(runs, figuretest.VM("cfs", round, 1), figuretest.VM("srpt", round, 2))
	}
	figuretest.Shows(t, root, "fig06", 0.9, runs...)
	out, err := Judge([]Claim{byID(t, "srpt-starves"), byID(t, "mean-huawei-sfs")}, dataset.NewLibrary(root), nil)
	require.NoError(t, err)
	require.Contains(t, strings.Join(out[0].Measured.Lacks, " "), "the p99 needs 200")
	require.Equal(t, "go run mage.go experiments:run -profile=paper fig06", out[0].Measured.Command)
	require.Equal(t, "go run mage.go experiments:run -profile=quick fig06", out[1].Measured.Command)
}
