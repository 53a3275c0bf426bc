// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"slices"
	"time"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/sim/setup"
	"github.com/ds2-lab/alps/internal/heap"
)

// scxClass is policy.Steady behind sched_ext (package bpf/scx): one queue for all
// cores, in which every invocation has its own key. The platform's own tasks go
// first, in a function's cgroup for model.ServerGrace only.
type scxClass struct {
	steadyPolicy
	queue   heap.Heap[*task]
	limits  []int64 // core → CPU time used at which its task's slice ends
	granted *task   // the guard's: it goes first
	left    int64   // of the CPU time it was granted
	lookAt  int64   // when that is too late to use, and the oldest is looked for again
}

func newSCX(m *machine, s Spec) (*scxClass, error) {
	p, err := newSteadyPolicy(m, s.Steady)
	return &scxClass{steadyPolicy: p, limits: make([]int64, len(m.cores))}, err
}

func (c *scxClass) selectCore(t *task) int { return max(c.m.idlest(), 0) }

// begin gives t a time slice if it has none: its key, and the CPU time used at
// which it is weighed anew.
func (c *scxClass) begin(t *task) {
	if t.slice > t.se.sum {
		return
	}
	t.seq = uint64(t.index)
	used := time.Duration(t.se.sum)
	if t.platform && c.m.Platform.Cgroup != setup.PlatformFunction {
		t.key, t.slice = 0, never
		return
	}
	if t.platform && used < model.ServerGrace {
		t.key, t.slice = 0, int64(model.ServerGrace)
		return
	}
	of := used // an invocation's
	if t.platform {
		of = 0 // worth as much as the one that it forks
	}
	r := c.rules[t.function]
	t.key = c.m.now + int64(r.SchedExtBias(of))
	t.slice = int64(r.SchedExtEnd(of) + used - of)
}

// enqueue lets an idle core know, which selectCore has found; only the platform takes
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
	if len(c.queue) == 0 {
		return nil
	}
	at := slices.Index(c.queue, c.granted)
	if at < 0 || !c.goesFirst(c.granted) {
		at = 0
	}
	t := c.queue.Remove(at)
	if c.limits[core] = t.slice; c.goesFirst(t) {
		c.limits[core] = t.se.sum + c.left
	}
	if int(t.at) != core {
		c.m.moved(t, core)
	}
	return t
}

// goesFirst says whether t has not used what the guard granted it, and still may.
func (c *scxClass) goesFirst(t *task) bool {
	return t == c.granted && c.left > 0 && c.m.now < c.lookAt
}

// grant lets the oldest waiting invocation go first until it has used GuardSlice, if that is due.
func (c *scxClass) grant() {
	if c.m.now < c.lookAt || len(c.queue) == 0 {
		return
	}
	c.granted, c.lookAt = nil, c.m.now+int64(model.SchedExtGuardEvery)
	for _, t := range c.queue {
		if !t.platform && (c.granted == nil || t.arrived < c.granted.arrived) {
			c.granted, c.left = t, int64(c.params.GuardSlice)
		}
	}
	if t := c.granted; t != nil && c.m.now-t.arrived < int64(c.params.GuardWait) {
		c.granted, c.lookAt = nil, min(c.lookAt, t.arrived+int64(c.params.GuardWait)) // nobody is old enough before
	}
}

func (c *scxClass) charge(_ int, t *task, ran int64) {
	if t.se.sum += ran; t == c.granted {
		c.left -= ran
	}
}

func (c *scxClass) tick(core int, t *task) bool {
	return t.se.sum >= c.limits[core] || len(c.queue) > 0 && c.m.now >= c.lookAt && !c.goesFirst(t)
}

func (c *scxClass) exit(_ int, t *task) { c.ended(t) }
