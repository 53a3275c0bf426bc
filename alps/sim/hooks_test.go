// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/model"
)

// steered starts alps with a policy that stays.
func steered(t *testing.T, c Config, order string, ranks []int, slice time.Duration, invocations []Invocation) *machine {
	s := Spec{Name: "alps", Order: order}
	require.NoError(t, check(c, &s, invocations))
	m, err := start(c, s, invocations)
	require.NoError(t, err)
	a := m.sched.(*alpsClass)
	for i, rank := range ranks {
		a.biases[i], a.slices[i] = a.biasOf(rank), int64(slice)
	}
	m.updater, m.updateAt = nil, never
	watch(t, m)
	return m
}

// A function that the platform's process interrupts within its time slice goes on
// before its siblings, although no order is set (alps_held).
func TestInterruptedTimeSliceGoesOn(t *testing.T) {
	c := Config{Cores: 1, Functions: functions(2), Platform: Platform{CPU: 3 * ms}}
	work := []Invocation{{Function: 0, CPU: 150 * ms}}
	for i := range 10 { // each interrupts function 0, and leaves a sibling
		work = append(work, Invocation{Function: 1, Arrive: time.Duration(5+10*i) * ms, CPU: 2 * ms})
	}
	interrupted := func(slice time.Duration) (r Result) {
		m := steered(t, c, model.OrderOff, []int{1, 1}, slice, work)
		require.NoError(t, m.run(t.Context()))
		return m.result()
	}
	r := interrupted(200 * ms)
	require.Greater(t, r.Outcomes[0].Invol, int32(5), "the platform interrupts it")
	for i, o := range r.Outcomes[1:] {
		require.GreaterOrEqual(t, o.Start, r.Outcomes[0].End, "sibling %d", i)
	}
	require.Less(t, interrupted(0).Outcomes[1].Start, 20*ms, "without a slice CFS lets the sibling in")
}

// A task that preempts runs at once, although the time slice that it ends has just begun.
func TestPreemptionEndsATimeSliceThatHasJustBegun(t *testing.T) {
	c := Config{Cores: 1, Functions: functions(2)}
	work := []Invocation{{Function: 0, CPU: 50 * ms}, {Function: 1, CPU: 20 * ms}}
	m := steered(t, c, model.OrderStrict, []int{2, 1}, 0, work)
	require.NoError(t, m.run(t.Context()))
	require.Equal(t, []time.Duration{70 * ms, 20 * ms}, ends(m.result()))
}

// SFS: who has used the slice yields to all that are fresh, whatever their
// number; those go in the order in which they came.
func TestSFSServesTheFreshFirst(t *testing.T) {
	s := Spec{Name: "sfs"}
	c := Config{Cores: 1, Functions: functions(13)}
	work := []Invocation{{Function: 0, CPU: 200 * ms}}
	for i := range 12 {
		work = append(work, Invocation{Function: 1 + i, Arrive: time.Duration(5*i) * ms, CPU: 20 * ms})
	}
	require.NoError(t, check(c, &s, work))
	m, err := start(c, s, work)
	require.NoError(t, err)
	m.sched.(*sfsClass).SFS = model.SFS{Fresh: model.MinBias, Late: model.StrictStep, Slice: 50 * ms}
	m.updater, m.updateAt = nil, never
	watch(t, m)
	require.NoError(t, m.run(t.Context()))
	r := m.result()
	require.Equal(t, 440*ms, r.Outcomes[0].End, "it is done last")
	for i, o := range r.Outcomes[2:] {
		require.GreaterOrEqual(t, o.Start, r.Outcomes[1+i].Start, "by arrival")
	}
	require.InDelta(t, 50, float64(r.Outcomes[1].Start)/1e6, 4, "after the slice of the one before, to a tick")
}

// The slice is the mean gap at one of the cores, learnt of what ended.
func TestSFSLearnsTheGap(t *testing.T) {
	for _, cores := range []int{1, 4} {
		var work []Invocation
		for i := range 1200 {
			work = append(work, Invocation{Function: i % 2, Arrive: time.Duration(i) * 10 * ms, CPU: 5 * ms})
		}
		s := Spec{Name: "sfs", Gaps: 2}
		c := Config{Cores: cores, Functions: functions(2)}
		require.NoError(t, check(c, &s, work))
		m, err := start(c, s, work)
		require.NoError(t, err)
		sfs := m.sched.(*sfsClass)
		require.NoError(t, m.run(t.Context()))
		require.Equal(t, time.Duration(2*cores)*10*ms, sfs.Slice)
		require.EqualValues(t, []int64{0, 0}, sfs.fresh[:2])
	}
}

// On any number of cores no scheduler has a shorter mean than the oracle; srpt,
// each core on its share, is no oracle on several.
func TestOracleIsABound(t *testing.T) {
	for _, cores := range []int{1, 4, 24} {
		c, work := mix(2500, cores, 0.9)
		best := mean(simulate(t, c, Spec{Name: "srpt-global"}, work))
		for _, name := range Names() {
			require.GreaterOrEqual(t, mean(simulate(t, c, Spec{Name: name}, work)), best, "%s on %d cores", name, cores)
		}
		if cores == 24 {
			require.Greater(t, mean(simulate(t, c, Spec{Name: "srpt"}, work)), mean(simulate(t, c, Spec{Name: "cfs"}, work)))
		}
	}
}

// A refill is no progress: the oracle knows that a task that has filled the cache
// again still has its demand ahead.
func TestOracleDoesNotTakeRefillsForProgress(t *testing.T) {
	c := Config{Cores: 1, Functions: functions(1), Refill: 30 * ms}
	r := simulate(t, c, Spec{Name: "srpt-global"}, []Invocation{
		{CPU: 100 * ms},
		{Arrive: 20 * ms, CPU: 10 * ms}, // interrupts the first, which then has 80 ms and a refill
		{Arrive: 65 * ms, CPU: 70 * ms}, // by then 80 ms less 5, whose refill is done
	})
	require.Equal(t, []time.Duration{240 * ms, 30 * ms, 135 * ms}, ends(r))
}
