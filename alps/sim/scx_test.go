// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/policy"
)

// taughtSCX starts scx with records of functions 0, 1, …; tables stay.
func taughtSCX(t *testing.T, c Config, records [][]time.Duration, invocations []Invocation) *machine {
	s := Spec{Name: "scx", Steady: policy.DefaultSteady()}
	require.NoError(t, check(c, &s, invocations))
	m, err := start(c, s, invocations)
	require.NoError(t, err)
	x := m.sched.(*scxClass)
	for range 40 {
		for f, times := range records {
			for _, d := range times {
				x.policy.Record(c.Functions[f].UID, d)
			}
		}
	}
	x.update(0)
	m.updater, m.updateAt = nil, never
	return m
}

// Invocations of one function do not share a position: one that is nearly done goes
// before another that begins, and the shorter function's before both.
func TestSCXRanksEveryInvocationByItself(t *testing.T) {
	c := Config{Cores: 1, Functions: functions(2)}
	m := taughtSCX(t, c, [][]time.Duration{{400 * ms}, {20 * ms}}, []Invocation{
		{Function: 0, CPU: 400 * ms},
		{Function: 0, Arrive: 200 * ms, CPU: 400 * ms},
		{Function: 1, Arrive: 300 * ms, CPU: 20 * ms},
	})
	require.NoError(t, m.run(t.Context()))
	r := m.result()
	require.LessOrEqual(t, r.Outcomes[2].End, 340*ms, "waits for the end of a time slice at most")
	require.Equal(t, 420*ms, r.Outcomes[0].End, "200 ms are left of it, and 400 of the other")
	require.Equal(t, 820*ms, r.Outcomes[1].End)
}

// One queue: no core is idle while somebody waits.
func TestSCXLeavesNoCoreIdle(t *testing.T) {
	var work []Invocation
	for range 8 {
		work = append(work, Invocation{Function: 0, CPU: 100 * ms})
	}
	m := taughtSCX(t, Config{Cores: 4, Functions: functions(1)}, [][]time.Duration{{100 * ms}}, work)
	require.NoError(t, m.run(t.Context()))
	require.Equal(t, 200*ms, m.result().Span)
}

// The oldest that waits gets a guard's slice of every half second and a tick, however long it takes,
// and also if the platform interrupts it.
func TestSCXGuardsTheOldest(t *testing.T) {
	for _, platform := range []time.Duration{0, ms} {
		work := []Invocation{{Function: 0, CPU: 100 * time.Second}}
		for i := range 3000 { // more than the core can serve
			work = append(work, Invocation{Function: 1, Arrive: time.Duration(i) * 9 * ms, CPU: 10 * ms})
		}
		c := Config{Cores: 1, Functions: functions(2), Drain: time.Millisecond, Platform: Platform{CPU: platform}}
		got := time.Duration(0)
		c.Slice = func(invocation int, length time.Duration) {
			if invocation == 0 {
				got += length
			}
		}
		m := taughtSCX(t, c, [][]time.Duration{{100 * time.Second}, {10 * ms}}, work)
		require.NoError(t, m.run(t.Context()))
		const arrivals, tick = 27 * time.Second, 4 * ms
		guards := arrivals/(500*ms+tick) - 1
		require.GreaterOrEqual(t, got, guards*25*ms, "platform %s", platform)
		require.LessOrEqual(t, got, (guards+2)*(25*ms+tick), "platform %s", platform)
	}
}
