// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"math/bits"

	"github.com/ds2-lab/alps/alps/sim/setup"
	"github.com/ds2-lab/alps/internal/list"
)

// rules are what distinguishes the fair schedulers.
type rules interface {
	// join sets the virtual time of e, which is about to be queued.
	join(q *fairQueue, e *entity, how joining)
	// leave is told that e is no longer queued.
	leave(q *fairQueue, e *entity)
	// key orders the tree.
	key(q *fairQueue, e *entity) int64
	// charged is called after e, running, has got ran more.
	charged(q *fairQueue, e *entity, ran int64)
	// expired says at a tick that the running e must be weighed against its siblings.
	expired(q *fairQueue, e *entity) bool
	// preempts says whether e, just queued, goes before the running curr.
	preempts(q *fairQueue, curr, e *entity) bool
	// choose picks among the tree and curr, which may be nil.
	choose(q *fairQueue, curr *entity) *entity
}

type joining uint8

const (
	asNew   joining = iota // a new process
	asWoke                 // a group that had nothing to run, or a task that slept
	asMoved                // from another core
)

// fair is the fair class: a tree of tasks and groups per core.
type fair struct {
	m     *machine
	rules rules
	hooks *hooks // nil: none
	flat  bool   // no groups of functions
	tops  int32  // number of the group that holds the functions

	root    []*fairQueue
	groups  [][]*entity        // core → function → entity, made when needed
	runs    []int64            // group → runnable tasks over all cores
	ended   []fading           // group
	nr      []int              // core → runnable tasks
	waiting []list.List[*task] // core → tasks that wait, the longest off a CPU first
	balance []int64            // core → when to balance again
}

func newFair(m *machine, flat bool) *fair {
	n := len(m.cores)
	groups := len(m.Functions) + 2 // with the platform, and the functions' parent
	f := &fair{m: m, flat: flat, tops: int32(groups - 1), root: make([]*fairQueue, n), groups: make([][]*entity, n), runs: make([]int64, groups), ended: make([]fading, groups),
		nr: make([]int, n), waiting: make([]list.List[*task], n), balance: make([]int64, n)}
	for k := range n {
		f.root[k] = &fairQueue{core: k, group: -1}
		f.groups[k] = make([]*entity, groups)
		f.balance[k] = int64(k+1) * busyBalance / int64(n)
	}
	return f
}

// inside says that a group's parent is that of the functions.
func (f *fair) inside(group int32) bool {
	return group < f.m.platform() || group == f.m.platform() && f.m.Platform.Cgroup == setup.PlatformBeside
}

// queueOf is the queue of a group's tasks on core. The functions have a parent
// of their own, beside the platform.
func (f *fair) queueOf(core int, group int32) *fairQueue {
	if f.flat && f.inside(group) {
		group = f.tops
	}
	e := f.groups[core][group]
	if e == nil {
		on := f.root[core]
		if f.inside(group) {
			on = f.queueOf(core, f.tops)
		}
		e = &entity{pos: -1, on: on, parent: on.owner, weight: nice0}
		e.my = &fairQueue{core: core, group: group, owner: e}
		f.groups[core][group] = e
	}
	return e.my
}

// runnable counts a task into its groups, or out of them.
func (f *fair) runnable(t *task, n int) {
	f.nr[t.at] += n
	f.runs[t.function] += int64(n)
	if f.inside(t.function) {
		f.runs[f.tops] += int64(n)
	}
}

func (f *fair) enqueue(core int, t *task) bool {
	t.se = entity{pos: -1, weight: nice0, task: t}
	how := asNew
	if t.step.locked() {
		how = asWoke
	}
	f.attach(core, t, how)
	return f.preempts(core, t)
}

// attach makes t runnable on core.
func (f *fair) attach(core int, t *task, how joining) {
	f.runnable(t, 1)
	f.waiting[core].Push(t)
	e := &t.se
	e.on = f.queueOf(core, t.function)
	if t.first < 0 {
		e.on.fresh[t.kind()]++
	}
	e.parent = e.on.owner
	for ; e != nil; e, how = e.parent, asWoke {
		q := e.on
		q.tasks++
		if e.queued {
			f.reweight(q, e)
			continue
		}
		f.join(q, e, how)
	}
}

// join queues e.
func (f *fair) join(q *fairQueue, e *entity, how joining) {
	if e.my != nil {
		e.weight = f.shares(e)
	}
	f.rules.join(q, e, how)
	f.insert(q, e)
	e.queued = true
	q.nr++
	q.load += e.weight
}

// detach takes the waiting or just ended t off its core's queues.
func (f *fair) detach(t *task) {
	core := int(t.at)
	f.runnable(t, -1)
	if t.se.pos >= 0 {
		f.waiting[core].Remove(t)
	}
	if t.first < 0 {
		t.se.on.fresh[t.kind()]--
	}
	gone := true
	for e := &t.se; e != nil; e = e.parent {
		q := e.on
		q.tasks--
		if !gone {
			f.reweight(q, e)
			continue
		}
		if q.curr == e {
			q.curr = nil
		} else {
			q.remove(e)
		}
		if q.next == e {
			q.next = nil
		}
		f.rules.leave(q, e)
		e.queued = false
		q.nr--
		q.load -= e.weight
		f.hooks.left(f, q, e)
		f.advance(q)
		gone = q.nr == 0
	}
}

func (f *fair) insert(q *fairQueue, e *entity) {
	f.hooks.queue(f, q, e)
	q.insert(e, f.keyOf(q, e), f.m.nextSeq())
}

func (f *fair) keyOf(q *fairQueue, e *entity) int64 {
	if q.ranked {
		return e.since + e.bias
	}
	return f.rules.key(q, e)
}

// advance moves min_vruntime on (update_min_vruntime).
func (f *fair) advance(q *fairQueue) {
	v := q.min
	if q.curr != nil && q.curr.queued {
		v = q.curr.vruntime
		if first := q.first(); first != nil {
			v = min(v, first.vruntime)
		}
	} else if first := q.first(); first != nil {
		v = first.vruntime
	}
	q.min = max(q.min, v)
}

func (f *fair) charge(core int, t *task, ran int64) {
	for e := &t.se; e != nil; e = e.parent {
		e.sum += ran
		e.vruntime += scale(ran, e.weight)
		f.rules.charged(e.on, e, ran)
		f.advance(e.on)
	}
}

// scale is calc_delta_fair: time on the clock of an entity of that weight.
func scale(d, weight int64) int64 {
	if weight == nice0 {
		return d
	}
	return d * nice0 / weight
}

// preempts says whether t, just queued, goes before what runs on core: their
// ancestors that are siblings are compared (find_matching_se).
func (f *fair) preempts(core int, t *task) bool {
	curr := f.m.cores[core].cur
	if curr == nil {
		return true
	}
	a, b := &curr.se, &t.se
	if a.on != b.on { // of different groups, or one below the root
		for depth(a) > depth(b) {
			a = a.parent
		}
		for depth(b) > depth(a) {
			b = b.parent
		}
		for a.on != b.on {
			a, b = a.parent, b.parent
		}
	}
	if a == b {
		return false
	}
	switch f.hooks.preempts(f, a, b) {
	case yes:
	case no:
		return false
	default:
		if !f.rules.preempts(a.on, a, b) {
			return false
		}
		for e := b; e != nil; e = e.parent {
			e.on.next = e
		}
	}
	return true
}

func depth(e *entity) (n int) {
	for ; e.parent != nil; e = e.parent {
		n++
	}
	return n
}

func (f *fair) pick(core int, prev *task) *task {
	q := f.root[core]
	if q.nr == 0 && !f.pull(core) {
		return nil
	}
	// Choose top down with the running path still in place, then swap paths
	// where they part (pick_next_task_fair).
	var e *entity
	for q := q; q != nil; q = e.my {
		curr := q.curr
		if e = f.hooks.choose(f, q, curr); e == nil {
			e = f.rules.choose(q, curr)
		}
	}
	t := e.task
	if t == prev {
		return t
	}
	if t.first < 0 {
		t.se.on.fresh[t.kind()]--
	}
	for a, b := entityOf(prev), &t.se; a != b; {
		da, db := -1, depth(b)
		if a != nil {
			da = depth(a)
		}
		if da >= db {
			f.putPrev(a)
			a = a.parent
		}
		if db >= da {
			f.setNext(b)
			b = b.parent
		}
	}
	f.waiting[core].Remove(t)
	if prev != nil {
		f.waiting[core].Push(prev)
	}
	return t
}

func entityOf(t *task) *entity {
	if t == nil {
		return nil
	}
	return &t.se
}

// putPrev returns the running e to its tree.
func (f *fair) putPrev(e *entity) {
	q := e.on
	if q.curr != e {
		return
	}
	q.curr = nil
	if e.queued {
		f.insert(q, e)
	}
}

// setNext takes e, which runs next, from its tree.
func (f *fair) setNext(e *entity) {
	q := e.on
	if q.curr == e {
		return
	}
	if q.curr != nil { // a group whose task has ended
		f.putPrev(q.curr)
	}
	q.remove(e)
	q.curr = e
	if q.next == e {
		q.next = nil
	}
	e.prevSum = e.sum
}

func (f *fair) tick(core int, t *task) bool {
	expired := false
	for e := &t.se; e != nil; e = e.parent {
		f.reweight(e.on, e)
		if e.on.nr < 2 {
			continue
		}
		switch f.hooks.tick(f, e.on, e) {
		case yes:
			expired = true
		case no:
		default:
			if f.rules.expired(e.on, e) {
				expired = true
			}
		}
	}
	if f.m.now >= f.balance[core] {
		f.balance[core] = f.m.now + busyBalance
		if f.rebalance(core) {
			expired = true
		}
	}
	return expired
}

// slice is the kernel's ideal time slice of e (sched_slice, with ALT_PERIOD and BASE_SLICE).
func (f *fair) slice(e *entity, latency, minimum int64) int64 {
	nr := int64(f.nr[e.on.core])
	d := latency
	if nr > latency/minimum {
		d = nr * minimum
	}
	for x := e; x != nil; x = x.parent {
		load := x.on.load
		if !x.queued {
			load += x.weight
		}
		d = d * x.weight / load
	}
	return max(d, minimum)
}

// latencyScale is how the kernel scales its fair tunables: 1 + log2 of at most
// 8 CPUs (get_update_sysctl_factor).
func latencyScale(cores int) int64 { return int64(bits.Len(uint(min(cores, 8)))) }
