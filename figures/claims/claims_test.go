// SPDX-License-Identifier: Apache-2.0

package claims

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/figuretest"
	"github.com/ds2-lab/alps/figures/paper"
)

// A place that a claim misspells would make it untested for ever.
func TestEveryClaimAsksForWhatThereIs(t *testing.T) {
	root := t.TempDir()
	figuretest.Complete(t, root)
	require.GreaterOrEqual(t, len(All), 25)
	l := dataset.NewLibrary(root)
	grids := readGrids(t, l)
	out, err := Judge(All, l, grids)
	require.NoError(t, err)
	ids := map[string]bool{}
	for _, j := range out {
		require.False(t, ids[j.ID], j.ID)
		ids[j.ID] = true
		require.NotEmpty(t, j.Text+j.Source, j.ID)
		require.NotEmpty(t, j.Paper, j.ID)
		if j.Verdict == NotTested {
			// 40 and 10 invocations have no 99th percentile.
			require.Contains(t, j.Reason, "of 200 invocations for the p99", j.ID)
			continue
		}
		require.NotContains(t, j.Simulated+j.Measured, "NaN", j.ID)
		require.NotEmpty(t, j.Simulated+j.Measured, j.ID)
	}
}

func readGrids(t *testing.T, l *dataset.Library) map[string]*dataset.Grid {
	t.Helper()
	out := map[string]*dataset.Grid{}
	for _, g := range dataset.Grids {
		_, err := g.Read(l)
		require.NoError(t, err)
		out[g.Name] = &g
	}
	return out
}

func TestVerdicts(t *testing.T) {
	c := claim{ID: "c", Text: "shorter", Source: "text", Paper: "−30 %", check: less("fig06 huawei 90 alps all", "fig06 huawei 90 cfs all", "mean", 30)}
	rounds := func(engine string, cfs, alps float64) (out []results.Result) {
		for round := 1; round <= dataset.MinRounds; round++ {
			out = append(out, figuretest.Made(engine, "huawei", "cfs", round, cfs), figuretest.Made(engine, "huawei", "alps", round, alps))
		}
		return out
	}
	good := func(engine string) []results.Result {
		return rounds(engine, 4, 1)
	}
	bad := func(engine string) []results.Result {
		return rounds(engine, 1, 4)
	}
	// In one round alps is slower than cfs, over all of them it is quicker.
	unsteady := func(engine string) []results.Result {
		return append(good(engine)[:4], figuretest.Made(engine, "huawei", "cfs", 3, 1), figuretest.Made(engine, "huawei", "alps", 3, 2.5))
	}
	type runs func(string) []results.Result
	for _, x := range []struct {
		sim, vm         runs
		verdict, reason string
	}{
		{nil, nil, NotTested, "Not simulated: nothing of fig06. Not measured: nothing of fig06."},
		{good, nil, HoldsInSim, "Not measured: nothing of fig06."},
		{bad, nil, DoesNotHold, "Not measured: nothing of fig06."},
		{nil, good, Holds, "Not simulated: nothing of fig06."},
		{good, good, Holds, ""},
		{bad, good, Holds, "Simulation disagrees."},
		{nil, bad, DoesNotHold, "Not simulated: nothing of fig06."},
		{good, bad, DoesNotHold, "Simulation disagrees."},
		{bad, bad, DoesNotHold, ""},
		{func(e string) []results.Result { return good(e)[:1] }, nil, NotTested, "Not simulated: no alps on huawei at 90 % in fig06; 1 of 3 rounds of cfs on huawei at 90 % in fig06. Not measured: nothing of fig06."},
		// What one round shows and another does not is within noise.
		{good, unsteady, HoldsInSim, "What was measured is within noise."},
		{bad, unsteady, DoesNotHold, "What was measured is within noise."},
		{nil, unsteady, NotTested, "Not simulated: nothing of fig06. What was measured is within noise."},
		{unsteady, nil, DoesNotHold, "What was simulated is within noise. Not measured: nothing of fig06."},
	} {
		root := t.TempDir()
		if x.sim != nil {
			figuretest.Shows(t, root, "fig06", 0.9, x.sim(results.EngineSim)...)
		}
		if x.vm != nil {
			figuretest.Shows(t, root, "fig06", 0.9, x.vm(results.EngineVM)...)
		}
		out, err := Judge([]claim{c}, dataset.NewLibrary(root), nil)
		require.NoError(t, err)
		require.Equal(t, x.verdict, out[0].Verdict)
		require.Equal(t, x.reason, out[0].Reason)
		require.Equal(t, x.verdict != NotTested && x.sim != nil, out[0].Simulated != "")
		require.Equal(t, x.vm != nil, out[0].Measured != "")
	}
	for _, where := range []string{"fig06 huawei alps all", "fig06 huawei ninety alps all"} {
		_, err := Judge([]claim{{ID: "bad", check: about(where, "mean", 1, 1)}}, dataset.NewLibrary(t.TempDir()), nil)
		require.ErrorContains(t, err, "claim bad: place")
	}
}

// Where first come, first served is judged otherwise than by rank, the claim says so.
func TestVerdictOnTheArtifact(t *testing.T) {
	c := claim{ID: "c", check: less("fig06 huawei 90 alps all", "fig06 huawei 90 cfs all", "mean", 30), reason: "It is so."}
	for _, x := range []struct {
		alps, artifact  float64 // times of waiting beside CFS's 4
		verdict, reason string
	}{
		{1, 1, HoldsInSim, `^Not measured: nothing of fig06. It is so.$`},
		{1, 40, HoldsInSim, `It is so. Of alps-artifact it does not hold: simulated \d+ → \d+ ms, `},
		{40, 1, DoesNotHold, `It is so. Of alps-artifact it holds in simulation only: simulated \d+ → \d+ ms, −`},
	} {
		root := t.TempDir()
		var runs []results.Result
		for round := 1; round <= dataset.MinRounds; round++ {
			runs = append(runs, figuretest.Sim("cfs", round, 4), figuretest.Sim("alps", round, x.alps), figuretest.Sim(paper.Artifact, round, x.artifact))
		}
		figuretest.Shows(t, root, "fig06", 0.9, runs...)
		out, err := Judge([]claim{c}, dataset.NewLibrary(root), nil)
		require.NoError(t, err)
		require.Equal(t, x.verdict, out[0].Verdict)
		require.Regexp(t, x.reason, out[0].Reason)
	}
}

// A direction alone is not enough.
func TestAnEffectNeedsItsSize(t *testing.T) {
	root := t.TempDir()
	figuretest.Shows(t, root, "fig06", 0.9, figuretest.Sim("cfs", 1, 2), figuretest.Sim("alps", 1, 1), figuretest.Sim("cfs", 2, 2), figuretest.Sim("alps", 2, 1), figuretest.Sim("cfs", 3, 2), figuretest.Sim("alps", 3, 1))
	e := newEvidence(dataset.NewLibrary(root), results.EngineSim, nil)
	a, b := "fig06 huawei 90 alps all", "fig06 huawei 90 cfs all"
	cut := 100 * (1 - e.of(a, "mean")/e.of(b, "mean"))
	require.Greater(t, cut, 10.0)
	for paper, want := range map[float64]bool{cut: true, cut*1.5 - 0.1: true, cut*1.5 + 0.1: false} {
		seen, ok := less(a, b, "mean", paper)(e)
		require.Equal(t, want, ok, seen)
	}
	rise := 100 * (e.of(b, "mean")/e.of(a, "mean") - 1)
	for paper, want := range map[float64]bool{rise*1.5 - 0.1: true, rise*1.5 + 0.1: false} {
		_, ok := more(b, a, "mean", paper)(e)
		require.Equal(t, want, ok)
	}
	_, ok := falling("mean", b, a)(e)
	require.True(t, ok)
	_, ok = falling("mean", a, b)(e)
	require.False(t, ok)
	_, ok = within("mean", rise/100+0.01, a, b)(e)
	require.True(t, ok)
	_, ok = within("mean", rise/100-0.01, a, b)(e)
	require.False(t, ok)
	// Of two exponential waits, one twice as long on average, that one is longer in two of three pairs.
	require.InDelta(t, 200.0/3, e.slower("fig06", "huawei", 90, "cfs", "alps"), 5)
	require.InDelta(t, 100.0/3, e.slower("fig06", "huawei", 90, "alps", "cfs"), 5)
	require.Zero(t, e.slower("fig06", "huawei", 90, "cfs", "cfs"))
	require.Empty(t, e.lacking)
}

// A line per claim, whatever is in its text.
func TestClaimsTSV(t *testing.T) {
	got := TSV([]Judged{
		{claim: claim{ID: "a", Text: "one\n\ttwo", Paper: "−57 %"}, Verdict: Holds, Measured: "−49 %", Simulated: "−50 %"},
		{claim: claim{ID: "b", Text: "three"}, Verdict: NotTested},
	})
	require.Equal(t, "id\tverdict\tmeasured\tsimulated\tpaper\ttext\na\tholds\t−49 %\t−50 %\t−57 %\tone two\nb\tnot tested here\t\t\t\tthree\n", got)
}
