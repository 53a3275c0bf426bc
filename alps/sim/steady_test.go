// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/alps/sim/setup"
)

// taught starts steady with the records of functions 0, 1, …; tables stay.
func taught(t *testing.T, c Config, p policy.SteadyParams, records [][]time.Duration, invocations []Invocation) (*machine, *steadyClass) {
	s := Spec{Name: "steady", Steady: p}
	require.NoError(t, check(c, &s, invocations))
	m, err := start(c, s, invocations)
	require.NoError(t, err)
	y := m.sched.(*steadyClass)
	for range 40 {
		for f, times := range records {
			for _, d := range times {
				y.steady.policy.Record(c.Functions[f].UID, d)
			}
		}
	}
	y.update(0)
	m.updater, m.updateAt = nil, never
	watch(t, m)
	return m, y
}

// Of functions that take always as long the shorter goes first, and a longer one
// that is nearly done before it.
func TestSteadyIsSRPTWhereTimesAreKnown(t *testing.T) {
	c := Config{Cores: 1, Functions: functions(2)}
	records := [][]time.Duration{{400 * ms}, {100 * ms}}
	m, _ := taught(t, c, policy.DefaultSteady(), records, []Invocation{
		{Function: 0, CPU: 400 * ms},
		{Function: 1, Arrive: 40 * ms, CPU: 100 * ms},  // 360 ms are left of the first
		{Function: 1, Arrive: 480 * ms, CPU: 100 * ms}, // 20 ms are
	})
	require.NoError(t, m.run(t.Context()))
	r := m.result()
	require.InDelta(t, 140, float64(r.Outcomes[1].End)/1e6, 12, "a time slice of the group, and ticks")
	require.Equal(t, 500*ms, r.Outcomes[0].End)
	require.Equal(t, 600*ms, r.Outcomes[2].End)
}

// What an invocation has used decides: a function's short ones go before another
// function's, but one that has outlived them comes after.
func TestSteadyYieldsWithWhatHasBeenUsed(t *testing.T) {
	c := Config{Cores: 1, Functions: functions(2)}
	short := make([]time.Duration, 9)
	for i := range short {
		short[i] = 20 * ms
	}
	records := [][]time.Duration{append(short, 900*ms), {150 * ms}} // one in ten is long
	work := []Invocation{{Function: 0, CPU: 900 * ms}, {Function: 1, Arrive: 5 * ms, CPU: 150 * ms}, {Function: 1, Arrive: 5 * ms, CPU: 150 * ms}}
	m, _ := taught(t, c, policy.DefaultSteady(), records, work)
	require.NoError(t, m.run(t.Context()))
	r := m.result()
	require.Equal(t, 1200*ms, r.Outcomes[0].End, "after the others, once it is known to be long")
	first := min(r.Outcomes[1].Start, r.Outcomes[2].Start)
	require.GreaterOrEqual(t, first, 20*ms, "before that it went first")
	require.LessOrEqual(t, first, 32*ms)
}

// One that never ran is not held up by an old one of its own function, nor by
// another function's that is worth less than it.
func TestSteadyLetsTheNewIn(t *testing.T) {
	c := Config{Cores: 1, Functions: functions(2)}
	short := make([]time.Duration, 9)
	for i := range short {
		short[i] = 20 * ms
	}
	records := [][]time.Duration{append(short, 2*time.Second), {500 * ms}}
	m, _ := taught(t, c, policy.DefaultSteady(), records, []Invocation{
		{Function: 0, CPU: 2 * time.Second},
		{Function: 1, Arrive: ms, CPU: 500 * ms},
		{Function: 0, Arrive: 300 * ms, CPU: 20 * ms},
	})
	require.NoError(t, m.run(t.Context()))
	o := m.result().Outcomes[2]
	require.Less(t, o.End-o.Arrive, 60*ms, "before 500 ms of one, and 2 s of the other")
}

// The platform's process in its function's cgroup goes before invocations that are worth more
// than the one that it begins, as long as it needs little.
func TestSteadyLetsTheServerGoFirst(t *testing.T) {
	arrival := func(cpu time.Duration) time.Duration {
		c := Config{Cores: 1, Functions: functions(2), Platform: Platform{CPU: cpu, Cgroup: setup.PlatformFunction}}
		m, _ := taught(t, c, policy.DefaultSteady(), [][]time.Duration{{200 * ms}, {900 * ms}}, []Invocation{{Function: 0, CPU: 200 * ms}, {Function: 1, Arrive: 50 * ms, CPU: 900 * ms}})
		require.NoError(t, m.run(t.Context()))
		return m.result().Outcomes[1].Arrive
	}
	require.Less(t, arrival(ms), 50*ms+policy.DefaultSteady().GroupSlice+2*4*ms, "a time slice of the other function, and ticks")
	require.Greater(t, arrival(50*ms), 200*ms, "it is worth as much as its invocation")
}

// The function that comes last gets a time slice of GuardSlice within GuardWait, and a
// little, although functions that are worth more never leave the core alone.
func TestSteadyGuards(t *testing.T) {
	p := policy.DefaultSteady()
	longest := func(p policy.SteadyParams) (worst, end time.Duration) {
		c := Config{Cores: 1, Functions: functions(3)}
		work := []Invocation{{Function: 2, CPU: 300 * ms}}
		for i := range 2000 { // 125 % of the core, for 10 s
			work = append(work, Invocation{Function: i % 2, Arrive: ms + time.Duration(i)*5*ms, CPU: 6250 * time.Microsecond})
		}
		m, _ := taught(t, c, p, [][]time.Duration{{6250 * time.Microsecond}, {6250 * time.Microsecond}, {300 * ms}}, work)
		at, off := time.Duration(0), false
		m.Slice = func(i int, length time.Duration) {
			if i == 0 {
				if off {
					worst = max(worst, time.Duration(m.now)-length-at)
				}
				at, off = time.Duration(m.now), true
			}
		}
		require.NoError(t, m.run(t.Context()))
		return worst, m.result().Outcomes[0].End
	}
	worst, end := longest(p)
	require.LessOrEqual(t, worst, p.GuardWait+p.GroupSlice+2*4*ms, "the wait, a time slice, and two ticks")
	require.Greater(t, worst, p.GuardWait)
	require.Less(t, end, 8*time.Second, "300 ms in time slices of 25")
	p.GuardWait = time.Hour
	_, end = longest(p)
	require.Greater(t, end, 10*time.Second)
}

// Where CFS and SRPT differ much steady is near SRPT, and it has no worse mean
// than CFS where they do not, on one core and on several.
func TestSteadyAgainstCFSAndOracle(t *testing.T) {
	for _, cores := range []int{1, 4, 24} {
		for _, load := range []float64{0.6, 0.9} {
			c, work := mix(3000, cores, load)
			cfs, steady := mean(simulate(t, c, Spec{Name: "cfs"}, work)), mean(simulate(t, c, Spec{Name: "steady"}, work))
			oracle := mean(simulate(t, c, Spec{Name: "srpt-global"}, work))
			require.LessOrEqual(t, steady, cfs, "%d cores, load %v", cores, load)
			require.LessOrEqual(t, float64(steady), 1.3*float64(oracle), "%d cores, load %v", cores, load)
		}
	}
}

func TestSteadyParamsAreChecked(t *testing.T) {
	p := policy.DefaultSteady()
	p.Memory = 1
	_, err := Run(t.Context(), Config{Cores: 1, Functions: functions(1)}, Spec{Name: "steady", Steady: p}, nil)
	require.ErrorContains(t, err, "steady: memory: 1 is outside")
}
