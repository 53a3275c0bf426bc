// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"

	"github.com/ds2-lab/alps/internal/clock"
)

const ms = time.Millisecond

// functions f0, f1, …, with those numbers as UIDs.
func functions(n int) []Function {
	out := make([]Function, n)
	for i := range out {
		out[i] = Function{Name: fmt.Sprintf("f%d", i), UID: fmt.Sprint(i)}
	}
	return out
}

func mean(r Result) time.Duration {
	var sum time.Duration
	for _, o := range r.Outcomes {
		sum += o.End - o.Arrive
	}
	return sum / time.Duration(len(r.Outcomes))
}

func ends(r Result) (out []time.Duration) {
	for _, o := range r.Outcomes {
		out = append(out, o.End)
	}
	return out
}

// The machine's SRPT is package policy's: two programs, one schedule.
func TestSRPTIsThePolicys(t *testing.T) {
	for seed := range uint64(100) {
		c, invocations := randomLoad(seed)
		c = Config{Cores: c.Cores, Functions: c.Functions}
		jobs := make([]policy.Job, len(invocations))
		for i, inv := range invocations {
			jobs[i] = policy.Job{ID: int64(i), Arrive: clock.KTime(inv.Arrive), Burst: inv.CPU}
		}
		want, err := policy.SRPT(jobs, policy.Machine{Cores: c.Cores})
		require.NoError(t, err)
		got := simulate(t, c, Spec{Name: "srpt-global"}, invocations)
		var sum time.Duration
		for _, o := range want {
			sum += o.Wait
		}
		for i, o := range got.Outcomes {
			if c.Cores == 1 {
				require.Equal(t, want[i].Wait, o.End-o.Arrive-invocations[i].CPU, "seed %d invocation %d", seed, i)
			}
			sum -= o.End - o.Arrive - invocations[i].CPU
		}
		// On several cores who is displaced at a tie may differ, the mean may not by much.
		require.LessOrEqual(t, math.Abs(float64(sum)), 0.05*float64(mean(got))*float64(len(jobs)), "seed %d", seed)
	}
}

// On one core without overhead nothing has a shorter mean turnaround than SRPT.
func TestSRPTIsOptimalOnOneCore(t *testing.T) {
	for seed := range uint64(40) {
		c, invocations := randomLoad(seed)
		c = Config{Cores: 1, Functions: c.Functions, Seed: seed}
		best := mean(simulate(t, c, Spec{Name: "srpt-global"}, invocations))
		require.Equal(t, best, mean(simulate(t, c, Spec{Name: "srpt"}, invocations)))
		for _, name := range Names() {
			require.GreaterOrEqual(t, mean(simulate(t, c, Spec{Name: name}, invocations)), best, "%s seed %d", name, seed)
		}
	}
}

// One core, first come first served: an invocation waits for those that came before.
func TestFIFOServesInOrder(t *testing.T) {
	for seed := range uint64(40) {
		c, invocations := randomLoad(seed)
		c = Config{Cores: 1, Functions: c.Functions}
		r := simulate(t, c, Spec{Name: "fifo"}, invocations)
		free := time.Duration(0)
		for i, inv := range invocations {
			free = max(free, inv.Arrive) + inv.CPU
			require.Equal(t, free, r.Outcomes[i].End)
		}
		require.Zero(t, r.Switches, "the change at an end is none")
	}
}

// The class may use 95 % of each second: 3 s of CPU time need three pauses of 50 ms,
// less what the first tick overruns.
func TestRealTimeIsThrottled(t *testing.T) {
	c := Config{Cores: 1, Functions: functions(1)}
	for _, name := range []string{"fifo", "rr"} {
		r, err := Run(t.Context(), c, Spec{Name: name}, []Invocation{{CPU: 3 * time.Second}})
		require.NoError(t, err)
		require.InDelta(t, 3.15, r.Outcomes[0].End.Seconds(), 0.009)
		require.EqualValues(t, 3, r.Switches)
	}
}

func TestRRTakesTurns(t *testing.T) {
	r := simulate(t, Config{Cores: 1, Functions: functions(1)}, Spec{Name: "rr"}, []Invocation{{CPU: 250 * ms}, {CPU: 120 * ms}, {CPU: 30 * ms}})
	// Time slices are counted in ticks: the one that begins at 230 ends at 328.
	require.Equal(t, []time.Duration{400 * ms, 348 * ms, 230 * ms}, ends(r))
	require.EqualValues(t, 2, r.Outcomes[0].Invol)
}

// An idle core takes what waits elsewhere; the real-time classes pull, too.
func TestIdleCoresPull(t *testing.T) {
	work := []Invocation{{CPU: 100 * ms}, {CPU: 300 * ms}, {CPU: 200 * ms}}
	for _, name := range []string{"cfs", "eevdf", "fifo", "alps"} {
		r := simulate(t, Config{Cores: 2, Functions: functions(1)}, Spec{Name: name}, work)
		require.LessOrEqual(t, r.Span, 400*ms, name) // 600 ms of CPU time on two cores, the longest 300
	}
}

// Equal tasks on one core stay within one time slice of each other, all the time.
func TestFairnessOfEqualTasks(t *testing.T) {
	for _, tasks := range []int{2, 3, 7, 20} {
		for _, name := range []string{"cfs", "cfs-flat", "eevdf"} {
			for _, groups := range []int{1, tasks} {
				invocations := make([]Invocation, tasks)
				for i := range invocations {
					invocations[i] = Invocation{Function: i % groups, CPU: 2 * time.Second}
				}
				s := Spec{Name: name}
				c := Config{Cores: 1, Functions: functions(groups)}
				require.NoError(t, check(c, &s, invocations))
				m, err := start(c, s, invocations)
				require.NoError(t, err)
				w := &spread{checked: watch(t, m)}
				m.sched = w
				require.NoError(t, m.run(t.Context()))
				// The granularity is a tick, 4 ms: a time slice that is over and one that begins.
				require.LessOrEqual(t, w.worst, 8*ms, "%s, %d tasks in %d groups", name, tasks, groups)
				require.Greater(t, w.worst, time.Duration(0))
			}
		}
	}
}

// spread measures how far apart what tasks were served gets, while all run.
type spread struct {
	*checked
	worst time.Duration
	ended bool
}

func (s *spread) tick(core int, t *task) bool {
	lo, hi := int64(math.MaxInt64), int64(0)
	for _, set := range []map[*task]int{s.waiting, s.running} {
		for x := range set {
			lo, hi = min(lo, x.served()), max(hi, x.served())
		}
	}
	if !s.ended {
		s.worst = max(s.worst, time.Duration(hi-lo))
	}
	return s.checked.tick(core, t)
}

func (s *spread) exit(core int, t *task) {
	s.ended = true
	s.checked.exit(core, t)
}

// Groups share, then their tasks: one task beside a group of three gets half.
func TestFairnessOfGroups(t *testing.T) {
	for _, name := range []string{"cfs", "eevdf"} {
		r := simulate(t, Config{Cores: 1, Functions: functions(2)}, Spec{Name: name}, []Invocation{
			{Function: 0, CPU: time.Second}, {Function: 1, CPU: time.Second}, {Function: 1, CPU: time.Second}, {Function: 1, CPU: time.Second}})
		require.InDelta(t, 2, r.Outcomes[0].End.Seconds(), 0.03, name)
		flat := simulate(t, Config{Cores: 1, Functions: functions(2)}, Spec{Name: "cfs-flat"}, []Invocation{
			{Function: 0, CPU: time.Second}, {Function: 1, CPU: time.Second}, {Function: 1, CPU: time.Second}, {Function: 1, CPU: time.Second}})
		require.InDelta(t, 4, flat.Outcomes[0].End.Seconds(), 0.03)
	}
	// A group's weight is split among the cores it runs on: beside half a group
	// the single task gets two thirds of a core or, when that moves away, all.
	r := simulate(t, Config{Cores: 2, Functions: functions(2)}, Spec{Name: "cfs"}, []Invocation{
		{Function: 0, CPU: time.Second}, {Function: 1, CPU: 3 * time.Second}, {Function: 1, CPU: 3 * time.Second}})
	require.Less(t, r.Outcomes[0].End, 1550*ms)
}

// A running function of the lowest rank waits no longer than its bias says,
// though functions of the first rank never leave the core alone.
func TestBoundOfTheOrder(t *testing.T) {
	const step, slice = 50 * ms, 10 * ms
	ranks := []int{1, 1, 1, 5}
	wait := func(order string) (worst time.Duration) {
		var invocations []Invocation
		for i := range 2000 { // 150 % of the core, by three functions of rank 1
			invocations = append(invocations, Invocation{Function: i % 3, Arrive: time.Duration(i) * 4 * ms, CPU: 6 * ms})
			if i%100 == 50 {
				invocations = append(invocations, Invocation{Function: 3, Arrive: time.Duration(i) * 4 * ms, CPU: 5 * ms})
			}
		}
		s := Spec{Name: "alps", Order: order, Step: step}
		c := Config{Cores: 1, Functions: functions(4)}
		require.NoError(t, check(c, &s, invocations))
		m, err := start(c, s, invocations)
		require.NoError(t, err)
		a := m.sched.(*alpsClass)
		for i, rank := range ranks {
			a.biases[i], a.slices[i] = a.biasOf(rank), int64(slice)
		}
		m.updater, m.updateAt = nil, never // the policy stays
		watch(t, m)
		require.NoError(t, m.run(t.Context()))
		for i, o := range m.result().Outcomes {
			if invocations[i].Function == 3 {
				worst = max(worst, o.Start-o.Arrive)
			}
		}
		return worst
	}
	bound := time.Duration(ranks[3]-ranks[0]) * step
	require.LessOrEqual(t, wait(model.OrderBounded), bound+3*(slice+4*ms), "the bias, and a time slice of each ahead")
	require.Greater(t, wait(model.OrderBounded), bound/2, "else the order does nothing")
	require.Greater(t, wait(model.OrderStrict), 10*bound)
	require.LessOrEqual(t, wait(model.OrderFIFO), 3*(slice+4*ms))
}

// With a slice a task keeps the core although others wait; without it it does not.
func TestSlice(t *testing.T) {
	run := func(slice time.Duration) Result {
		s := Spec{Name: "alps", Order: model.OrderOff}
		c := Config{Cores: 1, Functions: functions(2)}
		invocations := []Invocation{{Function: 0, CPU: 60 * ms}, {Function: 1, Arrive: ms, CPU: 60 * ms}}
		require.NoError(t, check(c, &s, invocations))
		m, err := start(c, s, invocations)
		require.NoError(t, err)
		a := m.sched.(*alpsClass)
		a.slices[0], a.slices[1] = int64(slice), int64(slice)
		m.updateAt = never
		require.NoError(t, m.run(t.Context()))
		return m.result()
	}
	require.Equal(t, []time.Duration{60 * ms, 120 * ms}, ends(run(60*ms)))
	require.Zero(t, run(60*ms).Switches)
	require.Greater(t, run(0).Switches, int64(5))
	require.Greater(t, run(20*ms).Switches, int64(2))
}

// Once a policy that favoured a function is gone, shares are fair again at once.
func TestNoMemoryOfABias(t *testing.T) {
	s := Spec{Name: "alps", Order: model.OrderStrict}
	c := Config{Cores: 1, Functions: functions(2)}
	invocations := []Invocation{{Function: 0, CPU: 10 * time.Second}, {Function: 1, CPU: 10 * time.Second}}
	require.NoError(t, check(c, &s, invocations))
	m, err := start(c, s, invocations)
	require.NoError(t, err)
	a := m.sched.(*alpsClass)
	a.biases[0], a.biases[1] = int64(time.Second), int64(100*time.Second)
	favoured, after := time.Duration(0), time.Duration(0)
	w := watch(t, m)
	served := func(function int32) time.Duration {
		for _, set := range []map[*task]int{w.waiting, w.running} {
			for x := range set {
				if x.function == function {
					return time.Duration(x.served())
				}
			}
		}
		return 0
	}
	m.updater, m.updateAt = every{time.Second, func() {
		switch m.now {
		case 5e9:
			favoured = served(0)
			clear(a.biases)
		case 6e9:
			after = served(0) - favoured
		}
	}}, 1e9
	require.NoError(t, m.run(t.Context()))
	require.Greater(t, favoured, 4900*ms)
	require.InDelta(t, 0.5, after.Seconds(), 0.05, "of the second after")
}

// every calls a function periodically in simulated time.
type every struct {
	d time.Duration
	f func()
}

func (e every) period() time.Duration { return e.d }
func (e every) update(float64)        { e.f() }

// What ended some time ago still counts in a group's load, so its weight is
// less and the other's part more.
func TestShareLag(t *testing.T) {
	var invocations []Invocation
	for i := range 400 {
		invocations = append(invocations, Invocation{Function: 0, Arrive: time.Duration(i) * 10 * ms, CPU: 5 * ms})
	}
	invocations = append([]Invocation{{Function: 1, CPU: 2 * time.Second}}, invocations...)
	end := func(lag time.Duration) time.Duration {
		r := simulate(t, Config{Cores: 1, Functions: functions(2), ShareLag: lag}, Spec{Name: "cfs"}, invocations)
		return r.Outcomes[0].End
	}
	require.Less(t, end(time.Second), end(0)-500*ms)
}

func TestGhostCosts(t *testing.T) {
	c, invocations := randomLoad(5)
	c = Config{Cores: 2, Functions: c.Functions, Switch: 3500}
	cfs := simulate(t, c, Spec{Name: "cfs"}, invocations)
	g := simulate(t, c, Spec{Name: "ghost-cfs"}, invocations)
	messages := int64(g.Busy-cfs.Busy) / (1613 + 2*3500)
	require.Greater(t, messages, int64(2*len(invocations)), "an arrival and an end of each, and ticks")
}
