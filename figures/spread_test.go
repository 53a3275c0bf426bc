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
	d := spreadOver([]dist{round(80, 100), round(), round(100, 120)})
	require.EqualValues(t, 2, d.n(), "a round without such invocations has no mean")
	require.Equal(t, 2, d.rounds)
	require.InDelta(t, -10, d.quantile(0), 1e-9)
	require.InDelta(t, 10, d.quantile(1), 1e-9)
	require.Zero(t, spreadOver([]dist{round(), round()}).n())

	r := results.Result{Invocations: []results.Invocation{{Group: "G1", EndNS: 9e6, CPUNS: 5e6, Status: results.OK}}}
	require.InDelta(t, 5, measure(whatCPU, results.All, r, nil).mean(), 1e-9)
}
