// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"time"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
)

// steadyClass is CFS with both hooks answered by policy.Steady. The answers
// depend on what a BPF program can see of the entity that it is asked about: the
// invocation that CFS will run next in a group, the CPU time it has used, and
// whether the function has one on this core that never ran.
type steadyClass struct {
	*fair
	steady steadyPolicy
	guards []guard // core
}

// guard is the group that a core lets go first because it has waited.
type guard struct {
	e    *entity
	from int64 // e.since: the time slice it is about
	at   int64 // when it was chosen
}

func newSteady(m *machine, s Spec) (*steadyClass, error) {
	p, err := newSteadyPolicy(m, s.Steady)
	if err != nil {
		return nil, err
	}
	c := &steadyClass{fair: newCFS(m, false), steady: p, guards: make([]guard, len(m.cores))}
	for k := range c.guards {
		c.guards[k].at = -int64(s.Steady.GuardEvery)
	}
	c.hooks = &hooks{now: func() int64 { return m.now }, bias: c.bias, keep: c.keep}
	return c, nil
}

// nextTask is the invocation that CFS will run next in a group: the one that runs
// there, or was interrupted within its time slice, or is leftmost.
func (q *fairQueue) nextTask() *task {
	e := q.curr
	if e == nil {
		e = q.held
	}
	if e == nil {
		e = q.first()
	}
	if e == nil {
		return nil
	}
	return e.task
}

// kind says which tasks t counts among: 0, invocations; 1, the platform's.
func (t *task) kind() int {
	if t.platform {
		return 1
	}
	return 0
}

// used is the CPU time of an invocation up to its last charge, as the kernel knows it; 0 of what is none.
func (t *task) used() time.Duration {
	if t.platform {
		return 0
	}
	return time.Duration(t.se.sum)
}

// indexBy is the index of t, a task of r's function. The platform's never sleep.
func (t *task) indexBy(r *model.Steady) time.Duration {
	if t.platform {
		return r.Table.StrangerIndex(time.Duration(t.se.sum))
	}
	return r.Table.Index(t.used())
}

// waking is the least index of those in q that never ran.
func (q *fairQueue) waking(r *model.Steady) time.Duration {
	switch {
	case q.fresh[1] > 0:
		return r.Table.StrangerIndex(0)
	case q.fresh[0] > 0:
		return r.Table.Index(0)
	}
	return model.NoOne
}

// bias is by how much a group yields, by the index of its next invocation or of one that
// never ran: that one may be worth more, and gets the CPU once the group has it.
func (c *steadyClass) bias(e *entity) int64 {
	g := e.my.group
	if g >= c.m.platform() {
		return 0
	}
	if c.guarded(e) {
		return int64(model.MinBias)
	}
	t := e.my.nextTask()
	if t == nil {
		return int64(c.steady.rules[g].Idle())
	}
	r := c.steady.rules[g]
	return int64(r.Bias(t.indexBy(r), e.my.waking(r)))
}

// guarded says that e goes first for one time slice: it was the last in its tree and
// had waited too long when it was asked about.
func (c *steadyClass) guarded(e *entity) bool {
	q := e.on
	g := &c.guards[q.core]
	if g.e == e && g.from == e.since {
		return true
	}
	if !e.queued || e.pos < 0 || c.m.now-e.since < int64(c.steady.params.GuardWait) || c.m.now-g.at < int64(c.steady.params.GuardEvery) || q.last() != e {
		return false
	}
	*g = guard{e: e, from: e.since, at: c.m.now}
	return true
}

func (c *steadyClass) keep(e *entity) int64 {
	g := e.function()
	if g < 0 || g >= c.m.platform() {
		return 0
	}
	if e.my != nil {
		x := &c.guards[e.on.core]
		switch {
		case x.e == e && x.from == e.since:
			return int64(c.steady.params.GuardSlice)
		case x.e != nil && x.e.pos >= 0 && x.from == x.e.since && x.e.on == e.on:
			return 1 // who has waited takes over
		}
		return int64(c.steady.params.GroupSlice)
	}
	r := c.steady.rules[g]
	return int64(r.Slice(e.task.indexBy(r), e.task.used(), time.Duration(e.sum-e.begun), e.task.first >= 0, e.on.waking(r)))
}

func (c *steadyClass) exit(core int, t *task) {
	c.fair.exit(core, t)
	c.steady.ended(t)
}

func (c *steadyClass) period() time.Duration { return c.steady.period() }

func (c *steadyClass) update(loadPct float64) { c.steady.update(loadPct) }

// steadyPolicy has policy.Steady learn from what ends on a machine, as the daemon
// does, for whichever scheduler acts on it.
type steadyPolicy struct {
	m      *machine
	policy *policy.Steady
	params policy.SteadyParams
	rules  []*model.Steady // function → that of the last update
}

// newSteadyPolicy knows nothing yet; each function has the rules of that.
func newSteadyPolicy(m *machine, p policy.SteadyParams) (steadyPolicy, error) {
	learner, err := policy.NewSteady(p)
	if err != nil {
		return steadyPolicy{}, err
	}
	s := steadyPolicy{m: m, policy: learner, params: p, rules: make([]*model.Steady, len(m.Functions))}
	s.update(0)
	return s, nil
}

// ended learns from t, unless it is the platform's.
func (s *steadyPolicy) ended(t *task) {
	if !t.platform {
		s.policy.Record(s.m.Functions[t.function].UID, time.Duration(t.demand+t.extra))
	}
}

func (s *steadyPolicy) period() time.Duration { return s.params.Period }

func (s *steadyPolicy) update(float64) {
	s.policy.Update()
	for i, f := range s.m.Functions {
		s.rules[i] = model.NewSteady(&s.params, s.policy.Table(f.UID))
	}
}
