// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/loadgen"
)

// The CPU time that requests demand, by the functions' costs, over the CPU time that
// there is, is the load asked for.
func TestRequestsGiveTheLoad(t *testing.T) {
	first := runSetOf(t, "fig06", "", nil).Runs[0]
	costs := map[string]loadgen.Cost{}
	for fn, size := range loadgen.Unit {
		costs[fn] = loadgen.Cost{Function: fn, Size: size, Base: 9 * time.Millisecond, PerRound: 400 * time.Microsecond}
	}
	reqs, err := first.Requests(costs, 3)
	require.NoError(t, err)
	var work time.Duration
	for _, r := range reqs {
		work += costs[r.Function].CPU(r.Rounds)
		require.Equal(t, loadgen.Unit[r.Function], r.Size)
	}
	last := reqs[len(reqs)-1].Due
	span := last + last/time.Duration(len(reqs)-1)
	require.InEpsilon(t, 0.9, float64(work)/float64(span)/3, 1e-3)

	// From the middle on, drift asks the same functions for more or fewer rounds.
	runs := runSetOf(t, "mispredict", "", func(p *config.Profile) { p.Only, p.Rounds.V = nil, 3 }).Runs
	reqs, err = runs[slices.IndexFunc(runs, func(r *Run) bool { return r.Workload == "drift" })].Requests(costs, 1)
	require.NoError(t, err)
	asked := map[string]map[int]bool{}
	for i, r := range reqs {
		at := fmt.Sprint(r.Function, r.UID, r.Port, i >= len(reqs)/2)
		if asked[at] == nil {
			asked[at] = map[int]bool{}
		}
		asked[at][r.Rounds] = true
	}
	rounds := func(ms int) map[int]bool {
		return map[int]bool{costs["fib"].Rounds(time.Duration(ms) * time.Millisecond): true}
	}
	require.Equal(t, []map[int]bool{rounds(329), rounds(79)}, []map[int]bool{asked["fib185018false"], asked["fib185018true"]})
	require.Len(t, asked["floatOperation205020true"], 1)
	require.NotEqual(t, asked["floatOperation205020false"], asked["floatOperation205020true"])
	delete(costs, "fib")
	_, err = first.Requests(costs, 3)
	require.ErrorContains(t, err, "fib was not calibrated")
}

// In the deployment paper, too, each workload has about the load that the run is named after: Azure's requests once came
// by the client's factor for Huawei's, at 1.41 of the CPU time that there is.
func TestTheClientGivesAboutTheLoad(t *testing.T) {
	costs := map[string]loadgen.Cost{}
	for fn, size := range loadgen.Unit {
		costs[fn] = loadgen.Cost{Function: fn, Size: size, PerRound: time.Millisecond}
	}
	seen := map[string]bool{}
	for _, r := range runSetOf(t, "headline", "", func(p *config.Profile) { p.Only, p.Invocations.V = nil, 3000 }).Runs {
		reqs, err := r.Requests(costs, 24)
		require.NoError(t, err)
		var work time.Duration
		for _, q := range reqs {
			work += costs[q.Function].CPU(q.Rounds)
		}
		require.InEpsilon(t, r.Load, float64(work)/float64(reqs[len(reqs)-1].Due)/24, 0.05, r.Workload)
		seen[r.Workload] = true
	}
	require.Equal(t, map[string]bool{"huawei": true, "azure": true}, seen)
}
