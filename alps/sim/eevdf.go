// SPDX-License-Identifier: Apache-2.0

package sim

import "cmp"

// eevdf is Linux 6.12's rules: of those that have not had more than their
// share, the earliest virtual deadline goes first (kernel/sched/fair.c). The
// tree is scanned; it is short.
type eevdf struct {
	*fair
	base int64 // sysctl_sched_base_slice
}

func newEEVDF(m *machine) *fair {
	f := newFair(m, false)
	f.rules = &eevdf{f, 750e3 * latencyScale(len(m.cores))}
	return f
}

// average is the queue's virtual time: the mean of vruntime by weight
// (avg_vruntime), as an offset from q.min, and the weight behind it.
func (v *eevdf) average(q *fairQueue) (offset, weight int64) {
	for _, e := range q.tree {
		offset += (e.vruntime - q.min) * e.weight
		weight += e.weight
	}
	if c := q.curr; c != nil && c.queued {
		offset += (c.vruntime - q.min) * c.weight
		weight += c.weight
	}
	return offset, weight
}

func (v *eevdf) now(q *fairQueue) int64 {
	offset, weight := v.average(q)
	if weight == 0 {
		return q.min
	}
	return q.min + floorDiv(offset, weight)
}

func floorDiv(a, b int64) int64 {
	d := a / b
	if a%b < 0 {
		d--
	}
	return d
}

// eligible is entity_eligible: lag ≥ 0.
func (v *eevdf) eligible(q *fairQueue, e *entity) bool {
	offset, weight := v.average(q)
	return offset >= (e.vruntime-q.min)*weight
}

// join is place_entity with PLACE_LAG and PLACE_DEADLINE_INITIAL.
func (v *eevdf) join(q *fairQueue, e *entity, how joining) {
	slice := scale(v.base, e.weight)
	lag := int64(0)
	if how != asNew && q.nr > 0 {
		// What it was owed is less of a larger queue (the comment in place_entity).
		_, weight := v.average(q)
		lag = e.lag
		if weight > 0 {
			lag = lag * (weight + e.weight) / weight
		}
	}
	e.vruntime = v.now(q) - lag
	if how == asNew {
		slice /= 2
	}
	e.deadline = e.vruntime + slice
}

// leave keeps the lag, at most two slices or a tick of it (update_entity_lag).
func (v *eevdf) leave(q *fairQueue, e *entity) {
	limit := scale(max(2*v.base, v.m.tick), e.weight)
	offset, weight := v.average(q)
	// e is out of the tree by now: count it in.
	offset += (e.vruntime - q.min) * e.weight
	weight += e.weight
	lag := q.min + floorDiv(offset, weight) - e.vruntime
	e.lag = min(max(lag, -limit), limit)
}

func (v *eevdf) key(_ *fairQueue, e *entity) int64 { return e.deadline }

// charged is update_deadline.
func (v *eevdf) charged(_ *fairQueue, e *entity, _ int64) {
	if e.vruntime >= e.deadline {
		e.deadline = e.vruntime + scale(v.base, e.weight)
		e.prevSum = never // the request is done
	}
}

func (v *eevdf) expired(q *fairQueue, e *entity) bool { return e.prevSum == never }

// preempts: with RUN_TO_PARITY who runs is protected until its request is done
// or it is no longer eligible.
func (v *eevdf) preempts(q *fairQueue, curr, e *entity) bool {
	return v.choose(q, curr) == e
}

// choose is pick_eevdf.
func (v *eevdf) choose(q *fairQueue, curr *entity) *entity {
	if curr != nil && (!curr.queued || !v.eligible(q, curr)) {
		curr = nil
	}
	if curr != nil && curr.prevSum != never {
		return curr
	}
	best := curr
	offset, weight := v.average(q)
	for _, e := range q.tree {
		if (e.vruntime-q.min)*weight <= offset && (best == nil || e.deadline < best.deadline || e.deadline == best.deadline && e.seq < best.seq) {
			best = e
		}
	}
	return cmp.Or(best, q.first(), q.curr) // rounding may leave nobody eligible
}
