// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/experiments/loadgen"
	"github.com/ds2-lab/alps/experiments/results"
)

var costs = guest.Costs{
	"fib":            {Function: "fib", Size: 14, Base: 2 * time.Millisecond, PerRound: 500 * time.Microsecond},
	"floatOperation": {Function: "floatOperation", Size: 1000, Base: 2 * time.Millisecond, PerRound: time.Millisecond},
}

func TestTheBurstIsMoreThanTheCPUCanDo(t *testing.T) {
	reqs, demand, err := burst(costs)
	require.NoError(t, err)
	require.True(t, slices.IsSortedFunc(reqs, func(a, b loadgen.Request) int { return int(a.Due - b.Due) }))
	var sum time.Duration
	byPort := map[string]int{}
	for i, r := range reqs {
		require.Equal(t, i+1, r.ID)
		require.Less(t, r.Due, span)
		sum += costs[r.Function].CPU(r.Rounds)
		byPort[r.Port]++
	}
	require.Equal(t, sum, demand)
	require.Equal(t, map[string]int{"5002": 60, "5020": 12, "5021": 3}, byPort)
	require.Greater(t, demand, span*13/10, "else hardly anything waits")
	require.Less(t, demand, span*2, "the burst is short")
	_, _, err = burst(guest.Costs{"fib": costs["fib"]})
	require.EqualError(t, err, "function floatOperation was not calibrated")
}

func TestTheTableComparesTheMeans(t *testing.T) {
	inv := func(group string, ms ...int64) (list []results.Invocation) {
		for _, m := range ms {
			list = append(list, results.Invocation{Group: group, SendNS: 5e9, ArriveNS: 6e9, EndNS: 5e9 + m*1e6})
		}
		return list
	}
	var out bytes.Buffer
	require.NoError(t, table(&out, []outcome{
		{"EEVDF", slices.Concat(inv("G1", 100, 300), inv("G2", 400), inv("G3", 3200))},
		{"steady", slices.Concat(inv("G1", 40, 60), inv("G2", 300), inv("G3", 3600))},
	}))
	require.Equal(t, `  from the request to the end  EEVDF mean  longest  steady mean  longest  change of the mean
         60 short, 40 ms each      200 ms   300 ms        50 ms    60 ms               -75 %
       12 medium, 150 ms each      400 ms   400 ms       300 ms   300 ms               -25 %
         3 long, 1600 ms each     3200 ms  3200 ms      3600 ms  3600 ms               +12 %
                          all     1000 ms  3200 ms      1000 ms  3600 ms                +0 %
`, out.String())
}
