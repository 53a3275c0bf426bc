// SPDX-License-Identifier: Apache-2.0

package sim

import (
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
	guarded   []bool  // core → its task is the oldest, and goes first
	guardedAt int64   // when the oldest was last looked for
}

func newSCX(m *machine, s Spec) (*scxClass, error) {
	p, err := newSteadyPolicy(m, s.Steady)
	return &scxClass{steadyPolicy: p, limits: make([]int64, len(m.cores)), guarded: make([]bool, len(m.cores))}, err
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
	c.guarded[core] = false
	t := c.oldest()
	if t != nil {
		c.guarded[core], c.limits[core] = true, t.se.sum+int64(c.params.GuardSlice)
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
	return len(c.queue) > 0 && c.m.now-c.guardedAt >= int64(model.SchedExtGuardEvery)
}

// oldest takes the oldest waiting invocation out of the queue if it goes first now.
func (c *scxClass) oldest() *task {
	if !c.due() {
		return nil
	}
	c.guardedAt = c.m.now
	at := -1
	for i, t := range c.queue {
		if !t.platform && c.m.now-t.arrived >= int64(c.params.GuardWait) && (at < 0 || t.arrived < c.queue[at].arrived) {
			at = i
		}
	}
	if at < 0 {
		return nil
	}
	return c.queue.Remove(at)
}

func (c *scxClass) charge(_ int, t *task, ran int64) { t.se.sum += ran }

func (c *scxClass) tick(core int, t *task) bool {
	return t.se.sum >= c.limits[core] || c.due() && !c.guarded[core]
}

func (c *scxClass) exit(_ int, t *task) { c.ended(t) }
