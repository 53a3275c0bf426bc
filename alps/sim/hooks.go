// SPDX-License-Identifier: Apache-2.0

package sim

import "cmp"

// hooks are the two of package kernel's patch, for one policy. A nil *hooks is
// a kernel with nothing attached. The methods are the patch's functions, named
// in their comments; what they do there they do here, call by call.
type hooks struct {
	now func() int64
	// bias is alps_hook_bias, asked of groups: ns by which e yields; 0: no opinion.
	bias func(e *entity) int64
	// keep is alps_hook_slice, asked along the cgroups from e's own upwards: ns e
	// may keep the CPU in this time slice; 0: no opinion.
	keep func(e *entity) int64
}

// advice is a hook's word on a decision.
type advice uint8

const (
	silent advice = iota // CFS decides
	yes
	no
)

// function is the cgroup that e is, or is in.
func (e *entity) function() int32 {
	if e.my != nil {
		return e.my.group
	}
	return e.on.group
}

// withinSlice is alps_within_slice: a time slice not yet asked for, as before its first tick,
// is asked for now.
func (h *hooks) withinSlice(f *fair, q *fairQueue, e *entity) bool {
	if e.slice == 0 {
		if e.slice = h.keep(e); e.slice == 0 && q.ranked {
			e.slice = f.rules.(*cfs).minimum
		}
	}
	return e.sum-e.begun < e.slice
}

// endSlice is alps_end_slice.
func (e *entity) endSlice() { e.slice, e.begun = 1, e.sum-1 }

// queue is alps_queue: e, not in the tree, is about to enter it or to begin
// another time slice. Interrupted within one, it keeps its position and the rest
// of the slice.
func (h *hooks) queue(f *fair, q *fairQueue, e *entity) {
	if h == nil {
		return
	}
	interrupted := e.queued && h.withinSlice(f, q, e)
	if !interrupted {
		e.since, e.begun, e.slice = h.now(), e.sum, 0
	}
	if h.askBias(q, e) || q.ranked != (q.biased > 0) {
		h.rebuild(f, q)
	}
	if q.ranked {
		e.vruntime = q.min
	} else if interrupted {
		q.held = e
	}
}

// askBias is alps_ask_bias: true if the answer is another than the last one.
func (h *hooks) askBias(q *fairQueue, e *entity) bool {
	was := e.bias
	e.bias = 0
	if e.my != nil {
		e.bias = h.bias(e)
	}
	if biased := e.bias > 0; biased != e.wasBiased {
		e.wasBiased = biased
		if biased {
			q.biased++
		} else {
			q.biased--
		}
	}
	return e.bias != was
}

// rebuild is alps_rebuild: the tree in today's order, without lag.
func (h *hooks) rebuild(f *fair, q *fairQueue) {
	for _, e := range q.tree {
		h.askBias(q, e)
	}
	q.ranked = q.biased > 0
	for _, e := range q.tree {
		e.vruntime = q.min
		e.key = f.keyOf(q, e)
	}
	q.tree.Init()
}

// left is alps_leave.
func (h *hooks) left(f *fair, q *fairQueue, e *entity) {
	if h == nil {
		return
	}
	if e.wasBiased {
		e.wasBiased = false
		q.biased--
	}
	if q.ranked && q.biased == 0 {
		h.rebuild(f, q)
	}
}

// tick is alps_tick: yes ends the time slice. The last in the tree is asked again, so
// that who is kept waiting learns of another policy.
func (h *hooks) tick(f *fair, q *fairQueue, e *entity) advice {
	if h == nil {
		return silent
	}
	if q.ranked {
		if last := q.last(); last != nil && h.askBias(q, last) {
			h.rebuild(f, q)
		}
	}
	e.slice = h.keep(e)
	if e.slice == 0 && q.ranked {
		e.slice = f.rules.(*cfs).slice(e)
	}
	switch {
	case e.slice == 0:
		return silent
	case h.withinSlice(f, q, e):
		return no
	}
	return yes
}

// preempts is alps_preempts.
func (h *hooks) preempts(f *fair, curr, e *entity) advice {
	if h == nil {
		return silent
	}
	slice := h.keep(curr)
	if slice > 0 || !curr.on.ranked {
		curr.slice = slice
	}
	if slice > 0 && h.withinSlice(f, curr.on, curr) {
		return no
	}
	if !curr.on.ranked {
		return silent
	}
	if e.since+e.bias >= curr.since+curr.bias {
		return no
	}
	curr.endSlice()
	return yes
}

// choose is alps_pick: a time slice is kept, then the earliest key goes. Where there
// are no keys, a time slice is kept even if it was interrupted; nil leaves the rest to
// CFS.
func (h *hooks) choose(f *fair, q *fairQueue, curr *entity) *entity {
	if h == nil {
		return nil
	}
	if !q.ranked {
		e := curr
		if e == nil {
			e = q.held
		}
		if e != nil && e.slice > 0 && h.withinSlice(f, q, e) {
			return e
		}
		return nil
	}
	left := q.first()
	if left == nil || curr == nil {
		return cmp.Or(left, curr)
	}
	if h.withinSlice(f, q, curr) {
		return curr
	}
	h.queue(f, q, curr)
	left = q.first()
	if curr.since+curr.bias < left.since+left.bias {
		return curr
	}
	return left
}
