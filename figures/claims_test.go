package figures

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
)

// complete writes runs of all that the claims ask for.
func complete(t *testing.T, root string) {
	t.Helper()
	tables(t, root)
	for figure, at := range map[string]struct {
		load              float64
		workloads, series string
	}{
		"fig01": {0.9, "huawei azure", "cfs fifo rr sfs srpt"},
		"fig02": {0.9, "huawei", "cfs sfs srpt srpt-eb random random40"},
		"fig03": {0.9, "huawei", "srpt"},
		"fig06": {0.9, "huawei azure", "rr fifo cfs sfs alps alps-artifact srpt"},
		"fig07": {0.9, "huawei azure", "rr fifo cfs sfs alps alps-artifact srpt"},
		"fig08": {0.9, "huawei azure", "cfs alps alps-artifact"},
		"fig09": {0.8, "huawei", "both overload unpredictability none"},
		"fig10": {0.7, "huawei", "avg lr rf ewma"},
		"fig11": {0.7, "huawei", "5s 10s 15s 30s"},
		"fig12": {0.7, "huawei", "alpha-1 alpha-2 alpha-5 alpha-10"},
		"fig13": {0.7, "huawei", "beta-0.1 beta-1 beta-2 beta-5"},
		"fig14": {0.7, "huawei", "gamma-1 gamma-2 gamma-5 gamma-10"},
		"fig15": {0.9, "fib15", "cfs alps ghost-cfs ghost-alps"},
		"order": {0.9, "huawei azure", "off fifo strict bounded like-artifact"},
	} {
		var runs []results.Result
		for _, w := range strings.Fields(at.workloads) {
			for _, s := range strings.Fields(at.series) {
				runs = append(runs, made(results.EngineSim, w, s, 1, 1), made(results.EngineSim, w, s, 2, 1), made(results.EngineSim, w, s, 3, 1))
			}
		}
		shows(t, root, figure, at.load, runs...)
	}
	var series []results.Series
	for _, load := range []float64{0.8, 0.7} {
		for _, w := range []string{"huawei", "azure"} {
			for _, s := range []string{"cfs", "alps", artifact} {
				for round := 1; round <= minRounds; round++ {
					series = append(series, results.Series{Name: s, Workload: w, Load: load, Round: round, Key: made(results.EngineSim, w, s, round, 1).Run.Key})
				}
			}
		}
	}
	require.NoError(t, results.WritePlan(root, results.EngineSim, "fig05", series))
}

// A place that a claim misspells would make it untested for ever.
func TestEveryClaimAsksForWhatThereIs(t *testing.T) {
	root := t.TempDir()
	complete(t, root)
	require.GreaterOrEqual(t, len(claims), 25)
	l := newLibrary(root)
	grids := readGrids(t, l)
	out, err := judgeAll(claims, l, grids)
	require.NoError(t, err)
	ids := map[string]bool{}
	for _, j := range out {
		require.False(t, ids[j.ID], j.ID)
		ids[j.ID] = true
		require.NotEmpty(t, j.Text+j.Source, j.ID)
		require.NotEmpty(t, j.Paper, j.ID)
		if j.Verdict == notTested {
			// 40 and 10 invocations have no 99th percentile.
			require.Contains(t, j.Reason, "of 200 invocations for the p99", j.ID)
			continue
		}
		require.NotContains(t, j.Simulated+j.Measured, "NaN", j.ID)
		require.NotEmpty(t, j.Simulated+j.Measured, j.ID)
	}
}

func readGrids(t *testing.T, l *library) map[string]*grid {
	t.Helper()
	out := map[string]*grid{}
	for _, g := range grids {
		_, err := g.read(l)
		require.NoError(t, err)
		out[g.name] = &g
	}
	return out
}

func TestVerdicts(t *testing.T) {
	c := claim{ID: "c", Text: "shorter", Source: "text", Paper: "−30 %", check: less("fig06 huawei 90 alps all", "fig06 huawei 90 cfs all", "mean", 30)}
	rounds := func(engine string, cfs, alps float64) (out []results.Result) {
		for round := 1; round <= minRounds; round++ {
			out = append(out, made(engine, "huawei", "cfs", round, cfs), made(engine, "huawei", "alps", round, alps))
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
		return append(good(engine)[:4], made(engine, "huawei", "cfs", 3, 1), made(engine, "huawei", "alps", 3, 2.5))
	}
	type runs func(string) []results.Result
	for _, x := range []struct {
		sim, vm         runs
		verdict, reason string
	}{
		{nil, nil, notTested, "Not simulated: nothing of fig06. Not measured: nothing of fig06."},
		{good, nil, holdsInSim, "Not measured: nothing of fig06."},
		{bad, nil, doesNotHold, "Not measured: nothing of fig06."},
		{nil, good, holds, "Not simulated: nothing of fig06."},
		{good, good, holds, ""},
		{bad, good, holds, "Simulation disagrees."},
		{nil, bad, doesNotHold, "Not simulated: nothing of fig06."},
		{good, bad, doesNotHold, "Simulation disagrees."},
		{bad, bad, doesNotHold, ""},
		{func(e string) []results.Result { return good(e)[:1] }, nil, notTested, "Not simulated: no alps on huawei at 90 % in fig06; 1 of 3 rounds of cfs on huawei at 90 % in fig06. Not measured: nothing of fig06."},
		// What one round shows and another does not is within noise.
		{good, unsteady, holdsInSim, "What was measured is within noise."},
		{bad, unsteady, doesNotHold, "What was measured is within noise."},
		{nil, unsteady, notTested, "Not simulated: nothing of fig06. What was measured is within noise."},
		{unsteady, nil, doesNotHold, "What was simulated is within noise. Not measured: nothing of fig06."},
	} {
		root := t.TempDir()
		if x.sim != nil {
			shows(t, root, "fig06", 0.9, x.sim(results.EngineSim)...)
		}
		if x.vm != nil {
			shows(t, root, "fig06", 0.9, x.vm(results.EngineVM)...)
		}
		out, err := judgeAll([]claim{c}, newLibrary(root), nil)
		require.NoError(t, err)
		require.Equal(t, x.verdict, out[0].Verdict)
		require.Equal(t, x.reason, out[0].Reason)
		require.Equal(t, x.verdict != notTested && x.sim != nil, out[0].Simulated != "")
		require.Equal(t, x.vm != nil, out[0].Measured != "")
	}
	for _, where := range []string{"fig06 huawei alps all", "fig06 huawei ninety alps all"} {
		_, err := judgeAll([]claim{{ID: "bad", check: about(where, "mean", 1, 1)}}, newLibrary(t.TempDir()), nil)
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
		{1, 1, holdsInSim, `^Not measured: nothing of fig06. It is so.$`},
		{1, 40, holdsInSim, `It is so. Of alps-artifact it does not hold: simulated \d+ → \d+ ms, `},
		{40, 1, doesNotHold, `It is so. Of alps-artifact it holds in simulation only: simulated \d+ → \d+ ms, −`},
	} {
		root := t.TempDir()
		var runs []results.Result
		for round := 1; round <= minRounds; round++ {
			runs = append(runs, sim("cfs", round, 4), sim("alps", round, x.alps), sim(artifact, round, x.artifact))
		}
		shows(t, root, "fig06", 0.9, runs...)
		out, err := judgeAll([]claim{c}, newLibrary(root), nil)
		require.NoError(t, err)
		require.Equal(t, x.verdict, out[0].Verdict)
		require.Regexp(t, x.reason, out[0].Reason)
	}
}

// A direction alone is not enough.
func TestAnEffectNeedsItsSize(t *testing.T) {
	root := t.TempDir()
	shows(t, root, "fig06", 0.9, sim("cfs", 1, 2), sim("alps", 1, 1), sim("cfs", 2, 2), sim("alps", 2, 1), sim("cfs", 3, 2), sim("alps", 3, 1))
	e := newEvidence(newLibrary(root), results.EngineSim, nil)
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
	got := claimsTSV([]judged{
		{claim: claim{ID: "a", Text: "one\n\ttwo", Paper: "−57 %"}, Verdict: holds, Measured: "−49 %", Simulated: "−50 %"},
		{claim: claim{ID: "b", Text: "three"}, Verdict: notTested},
	})
	require.Equal(t, "id\tverdict\tmeasured\tsimulated\tpaper\ttext\na\tholds\t−49 %\t−50 %\t−57 %\tone two\nb\tnot tested here\t\t\t\tthree\n", got)
}
