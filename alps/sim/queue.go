// SPDX-License-Identifier: Apache-2.0

package sim

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

	// Of the hooks (patch: alps_queued, alps_turn, alps_slice, alps_bias).
	since     int64
	turn      int64
	slice     int64
	bias      int64
	wasBiased bool
}

// fairQueue is a runqueue of siblings (struct cfs_rq). The one that runs is
// not in the tree.
type fairQueue struct {
	tree   []*entity // heap by key, then seq
	curr   *entity
	held   *entity // in the tree, interrupted within its turn (alps_held)
	next   *entity // to be preferred at the next pick (the next buddy)
	nr     int     // with curr
	tasks  int64   // below it
	fresh  int     // of its tasks, that never ran
	load   int64   // sum of the weights, with curr
	min    int64   // min_vruntime: never decreases
	core   int
	group  int32   // function, -1: the root
	owner  *entity // the group's entity; nil: the root
	biased int     // queued entities with a bias (alps_nr)
	ranked bool    // ordered by deadline (alps_ranked)
}

func (q *fairQueue) before(a, b *entity) bool {
	return a.key < b.key || a.key == b.key && a.seq < b.seq
}

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
		if q.before(last, e) {
			last = e
		}
	}
	return last
}

func (q *fairQueue) insert(e *entity, key int64, seq uint64) {
	e.key, e.seq = key, seq
	q.tree = append(q.tree, e)
	e.pos = len(q.tree) - 1
	q.up(e.pos)
}

func (q *fairQueue) remove(e *entity) {
	if q.held == e {
		q.held = nil
	}
	i, last := e.pos, len(q.tree)-1
	e.pos = -1
	moved := q.tree[last]
	q.tree[last] = nil
	q.tree = q.tree[:last]
	if i == last {
		return
	}
	q.tree[i] = moved
	moved.pos = i
	q.up(i)
	q.down(moved.pos)
}

func (q *fairQueue) up(i int) {
	e := q.tree[i]
	for i > 0 {
		parent := (i - 1) / 2
		if !q.before(e, q.tree[parent]) {
			break
		}
		q.tree[i] = q.tree[parent]
		q.tree[i].pos = i
		i = parent
	}
	q.tree[i] = e
	e.pos = i
}

func (q *fairQueue) down(i int) {
	e := q.tree[i]
	for {
		child := 2*i + 1
		if child >= len(q.tree) {
			break
		}
		if child+1 < len(q.tree) && q.before(q.tree[child+1], q.tree[child]) {
			child++
		}
		if !q.before(q.tree[child], e) {
			break
		}
		q.tree[i] = q.tree[child]
		q.tree[i].pos = i
		i = child
	}
	q.tree[i] = e
	e.pos = i
}
