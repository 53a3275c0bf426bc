// SPDX-License-Identifier: Apache-2.0

package sim

import "github.com/ds2-lab/alps/internal/heap"

// entity is what a fair runqueue holds: a task, or a group with what it
// has runnable on one core (struct sched_entity).
type entity struct {
	vruntime int64
	weight   int64
	sum      int64 // CPU time, ns (sum_exec_runtime)
	prevSum  int64 // sum when it was last picked (prev_sum_exec_runtime)
	deadline int64 // eevdf: virtual
	lag      int64 // eevdf: kept while it is off the queue
	key      int64 // order in the tree, fixed while it is there
	seq      uint64
	pos      int // in the tree; -1: running, or not queued
	queued   bool

	on     *fairQueue // the queue it belongs to
	my     *fairQueue // a group's own; nil for a task
	parent *entity    // nil below the root
	task   *task      // nil for a group

	// Of the hooks (patch: alps_queued, alps_begun, alps_slice, alps_bias).
	since     int64
	begun     int64
	slice     int64
	bias      int64
	wasBiased bool
}

// fairQueue is a runqueue of siblings (struct cfs_rq). The one that runs is
// not in the tree.
type fairQueue struct {
	tree   heap.Heap[*entity]
	curr   *entity
	held   *entity // in the tree, interrupted within its time slice (alps_held)
	next   *entity // to be preferred at the next pick (the next buddy)
	nr     int     // with curr
	tasks  int64   // below it
	fresh  [2]int  // of its tasks, that never ran: invocations, and the platform's
	load   int64   // sum of the weights, with curr
	min    int64   // min_vruntime: never decreases
	core   int
	group  int32   // function, -1: the root
	owner  *entity // the group's entity; nil: the root
	biased int     // queued entities with a bias (alps_nr)
	ranked bool    // ordered by time queued + bias (alps_ranked)
}

// Before orders a tree: by key, then by seq.
func (e *entity) Before(o *entity) bool {
	return e.key < o.key || e.key == o.key && e.seq < o.seq
}

// Moved is told where in the tree e is.
func (e *entity) Moved(i int) { e.pos = i }

// first is the leftmost waiting entity, or nil.
func (q *fairQueue) first() *entity {
	if len(q.tree) == 0 {
		return nil
	}
	return q.tree[0]
}

// last is the rightmost waiting entity, or nil: a scan, for the tree is a heap.
func (q *fairQueue) last() *entity {
	last := q.first()
	for _, e := range q.tree {
		if last.Before(e) {
			last = e
		}
	}
	return last
}

func (q *fairQueue) insert(e *entity, key int64, seq uint64) {
	e.key, e.seq = key, seq
	q.tree.Push(e)
}

func (q *fairQueue) remove(e *entity) {
	if q.held == e {
		q.held = nil
	}
	q.tree.Remove(e.pos)
}
