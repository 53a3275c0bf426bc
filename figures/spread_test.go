package figures

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
)

func TestSpreadOverRounds(t *testing.T) {
	round := func(ms ...int64) dist {
		var r results.Result
		for _, v := range ms {
			r.Invocations = append(r.Invocations, results.Invocation{Group: "G1", EndNS: v * 1e6, CPUNS: v * 5e5, Status: results.OK})
		}
		return measure(whatSpread, "G1", r, nil)
	}
	d := spreadOver([]dist{round(80, 100), round(100, 120)})
	require.EqualValues(t, 2, d.n())
	require.Equal(t, 2, d.rounds)
	require.InDelta(t, -10, d.quantile(0), 1e-9)
	require.InDelta(t, 10, d.quantile(1), 1e-9)

	r := results.Result{Invocations: []results.Invocation{{Group: "G1", EndNS: 9e6, CPUNS: 5e6, Status: results.OK}}}
	require.InDelta(t, 5, measure(whatCPU, results.All, r, nil).mean(), 1e-9)
}

// A round without such invocations has no mean, and no part in the draws.
func TestRoundsWithoutAGroup(t *testing.T) {
	root := t.TempDir()
	without := sim("cfs", 2, 1)
	for i := range without.Invocations {
		without.Invocations[i].Group = "G1"
	}
	shows(t, root, "fig06", 0.9, sim("cfs", 1, 1), without, sim("cfs", 3, 1))
	l := newLibrary(root)
	s, err := l.get("fig06", results.EngineSim)
	require.NoError(t, err)
	at := place{"fig06", "huawei", 90, "G4", "cfs"}
	require.EqualValues(t, 2, l.dist(s, at, whatSpread).n())
	d := l.dist(s, at, whatTurnaround)
	require.Equal(t, 2, d.rounds)
	intervals, err := d.bootstrap([]string{"mean"})
	require.NoError(t, err)
	require.Greater(t, intervals[0].hi, intervals[0].lo)
}
