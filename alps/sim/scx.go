// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"slices"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/internal/heap"
)

// scxClass is policy.Steady behind sched_ext (package bpf/scx): one queue for all
// cores, in which every invocation has its own key. The platform's own tasks,
// which are no function's, go first.
type scxClass struct {
	steadyPolicy
	queue     heap.Heap[*task]
	limits    []int64 // core → CPU time used at which its task's slice ends
	granted   *task   // the guard's: it goes first
	left      int64   // of the CPU time it was granted
	grantedAt int64   // when
	lookAt    int64   // when to look for the oldest
}

func newSCX(m *machine, s Spec) (*scxClass, error) {
	p, err := newSteadyPolicy(m, s.Steady)
	return &scxClass{steadyPolicy: p, limits: make([]int64, len(m.cores))}, err
}

func (c *scxClass) place(t *task) int { return max(c.m.idlest(), 0) }

// begin gives t a time slice if it has none: its key, and the CPU time used at
// which it is weighed anew.
func (c *scxClass) begin(t *task) {
	if t.turn > t.se.sum {
		return
	}
	t.seq = uint64(t.index)
	if t.platform {
		t.key, t.turn = 0, never
		return
	}
	r := c.rules[t.function]
	t.key = c.m.now + int64(r.SchedExtBias(t.used()))
	t.turn = int64(r.SchedExtEnd(t.used()))
}

// enqueue lets an idle core know, which place has found; only the platform takes
// a CPU away from a function.
func (c *scxClass) enqueue(core int, t *task) bool {
	c.begin(t)
	c.queue.Push(t)
	cur := c.m.cores[core].cur
	return cur == nil || t.platform && !cur.platform
}

func (c *scxClass) pick(core int, prev *task) *task {
	if prev != nil {
		c.begin(prev)
		c.queue.Push(prev)
	}
	c.grant()
	var t *task
	if at := slices.Index(c.queue, c.granted); at >= 0 && c.goesFirst(c.granted) {
		t = c.queue.Remove(at)
		c.limits[core] = t.se.sum + c.left
	} else if len(c.queue) > 0 {
		t = c.queue.Pop()
		c.limits[core] = t.turn
	}
	if t != nil && int(t.at) != core {
		c.m.moved(t, core)
	}
	return t
}

// due says whether it is time to look for the oldest.
func (c *scxClass) due() bool {
	return len(c.queue) > 0 && c.m.now >= c.lookAt
}

// goesFirst says whether t has not used what the guard granted it, and still may.
func (c *scxClass) goesFirst(t *task) bool {
	return t != nil && t == c.granted && c.left > 0 && c.m.now < c.grantedAt+int64(model.SchedExtGuardEvery)
}

// grant lets the oldest waiting invocation go first until it has used GuardSlice,
// if that is due.
func (c *scxClass) grant() {
	if !c.due() {
		return
	}
	c.lookAt = c.m.now + int64(model.SchedExtGuardEvery)
	var first *task
	for _, t := range c.queue {
		if !t.platform && (first == nil || t.arrived < first.arrived) {
			first = t
		}
	}
	switch {
	case first == nil:
	case c.m.now-first.arrived < int64(c.params.GuardWait): // before it is old enough nobody is
		c.lookAt = min(c.lookAt, first.arrived+int64(c.params.GuardWait))
	default:
		c.granted, c.left, c.grantedAt = first, int64(c.params.GuardSlice), c.m.now
	}
}

func (c *scxClass) charge(_ int, t *task, ran int64) {
	t.se.sum += ran
	if c.goesFirst(t) {
		c.left -= ran
	}
}

func (c *scxClass) tick(core int, t *task) bool {
	return t.se.sum >= c.limits[core] || c.due() && !c.goesFirst(t)
}

func (c *scxClass) exit(_ int, t *task) { c.ended(t) }
