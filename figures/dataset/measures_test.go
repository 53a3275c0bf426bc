// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/figuretest"
	"github.com/ds2-lab/alps/figures/paper"
	"github.com/ds2-lab/alps/figures/stats"
)

func TestSpreadOverRounds(t *testing.T) {
	round := func(ms ...int64) stats.Distribution {
		var r results.Result
		for _, v := range ms {
			r.Invocations = append(r.Invocations, results.Invocation{Group: "G1", EndNS: v * 1e6, CPUNS: v * 5e5, Status: results.OK})
		}
		return Measure(Spread, "G1", r, nil)
	}
	d := spreadOver([]stats.Distribution{round(80, 100), round(100, 120)})
	require.EqualValues(t, 2, d.N())
	require.Equal(t, 2, d.Rounds)
	require.InDelta(t, -10, d.Quantile(0), 1e-9)
	require.InDelta(t, 10, d.Quantile(1), 1e-9)

	r := results.Result{Invocations: []results.Invocation{{Group: "G1", EndNS: 9e6, CPUNS: 5e6, Status: results.OK}}}
	require.InDelta(t, 5, Measure(CPUTime, results.All, r, nil).Mean(), 1e-9)
}

// An invocation that used no CPU time waited, but not in relation to it; one that took no time under CFS saved nothing.
func TestNoMeasureIsInfinite(t *testing.T) {
	r := results.Result{Invocations: []results.Invocation{
		{Group: "G1", EndNS: 9e6, CPUNS: 0, Status: results.OK}, {Group: "G1", CPUNS: 0, Status: results.OK}, {Group: "G1", EndNS: 9e6, CPUNS: 6e6, Status: results.OK}}}
	wait := Measure(Wait, "G1", r, nil)
	require.EqualValues(t, 1, wait.N())
	require.InDelta(t, 50, wait.Mean(), 1e-9)
	base := results.Result{Invocations: []results.Invocation{
		{Group: "G1", EndNS: 18e6, Status: results.OK}, {Group: "G1", Status: results.OK}, {Group: "G1", EndNS: 18e6, Status: results.OK}}}
	saved := Measure(Saved, "G1", r, &base)
	require.EqualValues(t, 2, saved.N())
	require.InDelta(t, 50, saved.Mean(), 1e-9)
	require.EqualValues(t, 3, Measure(SavedFixed, "G1", r, &base).N())
}

// A round without such invocations has no mean, and no part in the draws.
func TestRoundsWithoutAGroup(t *testing.T) {
	root := t.TempDir()
	without := figuretest.Sim("cfs", 2, 1)
	for i := range without.Invocations {
		without.Invocations[i].Group = "G1"
	}
	figuretest.Shows(t, root, "fig06", 0.9, figuretest.Sim("cfs", 1, 1), without, figuretest.Sim("cfs", 3, 1))
	l := NewLibrary(root)
	s, err := l.Figure("fig06", results.EngineSim)
	require.NoError(t, err)
	at := paper.Position{Figure: "fig06", Workload: "huawei", LoadPct: 90, Group: "G4", Series: "cfs"}
	require.EqualValues(t, 2, l.Distribution(s, at, Spread).N())
	d := l.Distribution(s, at, Turnaround)
	require.Equal(t, 2, d.Rounds)
	intervals, err := d.Bootstrap([]string{"mean"})
	require.NoError(t, err)
	require.Greater(t, intervals[0].Hi, intervals[0].Lo)
}
