// SPDX-License-Identifier: Apache-2.0

package ghost

import (
	"cmp"
	"math/bits"
	"time"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/bpf/ghost"
)

// CFS's values for one CPU; with more they grow as CFS's do.
const (
	latency     = 6 * time.Millisecond
	granularity = 750 * time.Microsecond
	wakeup      = time.Millisecond
)

// patience is how long a task waits without running at all; then it gets a
// glimpse of the CPU and keeps its position. The kernel takes out a scheduler that
// lets a task wait for 30 s, and a time slice may be 10 s long.
const patience = 15 * time.Second

// maxTasks is how many tasks are remembered before sleeping ones are forgotten.
const maxTasks = 4096

// task is a thread that has asked for a CPU.
type task struct {
	pid      uint32
	cgroup   uint64
	seq      uint64        // of its last wish
	cpu      time.Duration // that it has used
	vruntime time.Duration
	queued   uint64        // when it asked for the CPU, ns; an interruption does not change it
	left     time.Duration // of a slice that was interrupted; 0: none
	granted  time.Duration // the slice it was given last
	waiting  bool
	glimpse  bool   // it was given the CPU before others that come first
	ousted   bool   // another was given its CPU; it has not been heard of since
	on       int    // CPU it has, or -1
	since    uint64 // when it got that, ns
}

// function is what the hooks know of a cgroup: its time slices are shared by its tasks.
type function struct {
	queued uint64        // when it was queued, ns
	left   time.Duration // of its time slice; 0: it begins one when it gets the CPU
}

// order is what the agent knows, and decides by. It reads no clock.
type order struct {
	cpus    []int
	entries map[uint64]client.Entry // of functions, by cgroup; nil: by vruntime, as CFS
	tasks   map[uint32]*task
	awake   map[uint32]*task // those of them that want a CPU or have one: few, while many sleep or are dead
	has     map[int]*task    // by CPU
	of      map[uint64]*function
	min     time.Duration // the least vruntime of those that wait or run, but it never falls: CFS's min_vruntime
	now     uint64        // CLOCK_MONOTONIC, ns
}

func newOrder(cpus []int) *order {
	return &order{cpus: cpus, tasks: map[uint32]*task{}, awake: map[uint32]*task{}, has: map[int]*task{}, of: map[uint64]*function{}}
}

// take notes a message.
func (o *order) take(m ghost.Message) {
	t := o.tasks[m.PID]
	if t == nil {
		t = &task{pid: m.PID, on: -1, cpu: m.CPU, vruntime: o.min}
		o.tasks[m.PID] = t
	}
	slept := o.awake[m.PID] == nil
	if m.What == ghost.Runnable {
		t.cgroup = m.Cgroup
	}
	used := max(0, m.CPU-t.cpu)
	o.account(t, m, used, slept)
	t.vruntime += used
	t.cpu = m.CPU
	if t.on >= 0 {
		delete(o.has, t.on)
		t.on = -1
	}
	t.seq, t.left, t.ousted = m.Seq, m.Left, false
	t.waiting = m.What == ghost.Runnable
	if !t.waiting {
		delete(o.awake, t.pid)
		return
	}
	o.awake[t.pid] = t
	if slept {
		t.vruntime = max(t.vruntime, o.min-latency/2)
	}
	if t.left == 0 {
		if !t.glimpse {
			t.queued = m.Seq
		}
		t.glimpse = false
	}
}

// account keeps the account of the function that t serves, as the hooks do: a
// time slice ends when it is used or none of the function's tasks wants the CPU any more.
func (o *order) account(t *task, m ghost.Message, used time.Duration, slept bool) {
	f := o.of[t.cgroup]
	if f == nil {
		f = &function{queued: m.Seq}
		o.of[t.cgroup] = f
	}
	switch {
	case t.glimpse: // it did not come first
	case m.Left > 0:
		f.left = m.Left
	case slept && o.alone(t), !slept && m.What == ghost.Runnable && t.on >= 0:
		*f = function{queued: m.Seq}
	case f.left > 0:
		if f.left -= used; f.left <= 0 {
			*f = function{queued: m.Seq}
		}
	}
}

// alone says whether no other task of t's function wants the CPU or has it.
func (o *order) alone(t *task) bool {
	for _, x := range o.awake {
		if x != t && x.cgroup == t.cgroup {
			return false
		}
	}
	return true
}

// decide gives CPUs to those that wait; now is CLOCK_MONOTONIC, ns.
func (o *order) decide(now uint64) []ghost.Decision {
	var out []ghost.Decision
	o.now = now
	o.forget()
	for {
		t := o.first()
		if t == nil {
			return out
		}
		cpu, preempt, ok := o.selectCPU(t)
		if !ok {
			return out
		}
		d := ghost.Decision{Seq: t.seq, PID: t.pid, CPU: uint32(cpu), Preempt: preempt, Slice: t.left}
		if d.Slice == 0 {
			d.Slice = o.begin(t)
			if t.glimpse = t.overdue(o); t.glimpse {
				d.Slice = granularity
			}
		}
		if preempt {
			o.has[cpu].on, o.has[cpu].ousted = -1, true // it will ask again, if it has run
		}
		o.has[cpu] = t
		t.on, t.since, t.waiting, t.left, t.granted = cpu, now, false, 0, d.Slice
		out = append(out, d)
	}
}

// again queues a task that was given a CPU and did not run: another task was given
// that CPU before it looked.
func (o *order) again(pid uint32) {
	if t := o.tasks[pid]; t != nil && t.ousted {
		t.waiting, t.left, t.ousted = true, t.granted, false
	}
}

// first is the task that goes first of those that wait; nil if none waits.
func (o *order) first() *task {
	var first *task
	o.min = o.lowest()
	for _, t := range o.awake {
		if t.waiting && (first == nil || o.compare(t, first) < 0) {
			first = t
		}
	}
	return first
}

// lowest is the least vruntime there is, but never less than before.
func (o *order) lowest() time.Duration {
	low, any := time.Duration(0), false
	for _, t := range o.awake {
		if (t.waiting || t.on >= 0) && (!any || t.vruntime < low) {
			low, any = t.vruntime, true
		}
	}
	if !any {
		return o.min
	}
	return max(o.min, low)
}

// compare is negative if a goes before b.
func (o *order) compare(a, b *task) int {
	if a.overdue(o) != b.overdue(o) {
		return cmp.Compare(a.seq, b.seq)
	}
	if o.entries == nil {
		return cmp.Or(cmp.Compare(a.fair(o), b.fair(o)), cmp.Compare(a.pid, b.pid))
	}
	// Within its slice nobody takes the CPU from a task.
	if (a.left > 0) != (b.left > 0) {
		return cmp.Compare(b.left, a.left)
	}
	return cmp.Or(cmp.Compare(a.ranked(o), b.ranked(o)), cmp.Compare(a.queued, b.queued), cmp.Compare(a.pid, b.pid))
}

// overdue says whether t has waited too long since it ran or woke up.
func (t *task) overdue(o *order) bool { return o.now > t.seq+uint64(patience) }

// fair is the key of CFS; a task within its time slice is not interrupted for a trifle.
func (t *task) fair(o *order) time.Duration {
	if t.left > 0 {
		return t.vruntime - o.grow(wakeup)
	}
	return t.vruntime
}

// ranked is the key of the hooks in CFS: time queued + bias, of the function.
func (t *task) ranked(o *order) uint64 {
	return o.of[t.cgroup].queued + uint64(o.entries[t.cgroup].BiasUS)*uint64(time.Microsecond)
}

// selectCPU is the CPU for t: one that nobody has, or under CFS's order one whose
// task has had so much more than t that t takes it.
func (o *order) selectCPU(t *task) (cpu int, preempt, ok bool) {
	var most time.Duration
	for _, c := range o.cpus {
		runs := o.has[c]
		if runs == nil {
			return c, false, true
		}
		ahead := runs.vruntime + time.Duration(o.now-min(o.now, runs.since)) - t.vruntime
		if ahead > most {
			cpu, most = c, ahead
		}
	}
	return cpu, true, o.entries == nil && most > o.grow(wakeup)
}

// begin is for how long t gets the CPU: by ranks, what is left of its function's
// time slice.
func (o *order) begin(t *task) time.Duration {
	if o.entries == nil {
		return o.slice(t)
	}
	f := o.of[t.cgroup]
	if f.left == 0 {
		f.left = o.slice(t)
	}
	return f.left
}

// slice is the length of a time slice.
func (o *order) slice(t *task) time.Duration {
	if us := o.entries[t.cgroup].SliceUS; us > 0 {
		return time.Duration(us) * time.Microsecond
	}
	n := 0
	for _, t := range o.awake {
		if t.waiting || t.on >= 0 {
			n++
		}
	}
	each := max(1, (n+len(o.cpus)-1)/len(o.cpus))
	return max(o.grow(granularity), o.grow(latency)/time.Duration(each))
}

// grow is what CFS makes of a time for more CPUs.
func (o *order) grow(d time.Duration) time.Duration {
	return d * time.Duration(min(bits.Len(uint(len(o.cpus))), 4))
}

// forget drops tasks that sleep, most of which are dead, when there are many.
func (o *order) forget() {
	if len(o.tasks) <= maxTasks {
		return
	}
	for pid := range o.tasks {
		if o.awake[pid] == nil {
			delete(o.tasks, pid)
		}
	}
}
