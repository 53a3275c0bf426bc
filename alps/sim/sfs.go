// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"time"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
)

// sfsClass is CFS with both hooks answered by model.SFS, as the daemon and its
// BPF programs do: an invocation is fresh until it has used its slice, and a
// function with a fresh one goes before those without, by arrival.
type sfsClass struct {
	*fair
	window policy.Window
	every  time.Duration
	gaps   float64
	order  bool // false: slices only, in CFS's order
	model.SFS
	fresh []int64 // group → invocations that have not used their slice
}

func newSFS(m *machine, s Spec) *sfsClass {
	c := &sfsClass{fair: newCFS(m, false), window: s.Params.NewWindow(len(m.cores)), every: s.Params.Every(), gaps: s.Gaps, order: s.Order != model.OrderOff,
		fresh: make([]int64, len(m.Functions)+2)}
	c.hooks = &hooks{now: func() int64 { return m.now }, bias: c.bias, keep: c.keep}
	return c
}

// bias is bias_of of bpf/hooks.bpf.h.
func (c *sfsClass) bias(e *entity) int64 {
	g := e.my.group
	if g >= c.m.platform() || !c.order {
		return 0
	}
	return int64(c.Bias(c.fresh[g]))
}

// keep is sfs_slice: what is left of the slice of the invocation that runs below
// e, as a time slice of e that began earlier.
func (c *sfsClass) keep(e *entity) int64 {
	if g := e.function(); g < 0 || g >= c.m.platform() || c.Slice == 0 {
		return 0
	}
	at := e
	for at.my != nil {
		if at = at.my.curr; at == nil {
			return 0
		}
	}
	if !at.task.fresh {
		return 0
	}
	left := int64(c.Left(time.Duration(at.sum)))
	if left == 0 {
		c.demote(at.task)
		return 0
	}
	return e.sum - e.begun + left
}

// demote makes t one of those that yield.
func (c *sfsClass) demote(t *task) {
	if t.fresh {
		t.fresh = false
		c.fresh[t.function]--
	}
}

func (c *sfsClass) enqueue(core int, t *task) bool {
	if !t.platform {
		t.fresh = true
		c.fresh[t.function]++
	}
	return c.fair.enqueue(core, t)
}

func (c *sfsClass) exit(core int, t *task) {
	if !t.platform {
		c.demote(t)
		c.window.Add(c.m.record(t))
	}
	c.fair.exit(core, t)
}

func (c *sfsClass) period() time.Duration { return c.every }

// update sets the slice; until two arrivals are known, all is CFS's.
func (c *sfsClass) update(float64) {
	c.SFS, _ = model.NewSFS(c.window.Records(c.m.ktime()), len(c.m.cores), c.gaps)
}
