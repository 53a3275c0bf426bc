// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"time"

	"github.com/ds2-lab/alps/internal/list"
)

// rt is the kernel's real-time class at one priority (kernel/sched/rt.c): a
// queue per core, first come first served. The platform is in it, too.
type rt struct {
	m     *machine
	queue []list.List[*task]
	quota int64   // of CPU time per period and core (sched_rt_runtime_us); 0: no limit
	used  []int64 // of the period's quota (rt_time)
	held  []bool  // throttled until the period ends
}

const (
	rtPeriod = time.Second            // sched_rt_period_us
	rtQuota  = 950 * time.Millisecond // sched_rt_runtime_us
)

func newRT(m *machine, quota time.Duration) *rt {
	n := len(m.cores)
	return &rt{m: m, queue: make([]list.List[*task], n), quota: int64(quota), used: make([]int64, n), held: make([]bool, n)}
}

// selectCore takes a core without real-time tasks if there is one (find_lowest_rq).
// Else the process stays where its parent forked it, which is any core.
func (r *rt) selectCore(*task) int {
	if k := r.m.idlest(); k >= 0 {
		return k
	}
	return r.m.rng.IntN(len(r.queue))
}

// enqueue never preempts: all have one priority.
func (r *rt) enqueue(core int, t *task) bool {
	r.queue[core].Push(t)
	return false
}

func (r *rt) pick(core int, prev *task) *task {
	q := &r.queue[core]
	if r.held[core] {
		if prev != nil {
			q.PushFront(prev)
		}
		return nil
	}
	if prev != nil {
		q.Push(prev)
	}
	if q.Len == 0 {
		r.pull(core)
	}
	t := q.Head
	if t != nil {
		q.Remove(t)
	}
	return t
}

// pull brings the first that waits on the next core that has one (pull_rt_task).
func (r *rt) pull(core int) {
	for i := 1; i < len(r.queue); i++ {
		from := &r.queue[(core+i)%len(r.queue)]
		if t := from.Head; t != nil {
			from.Remove(t)
			r.m.moved(t, core)
			r.queue[core].Push(t)
			return
		}
	}
}

func (r *rt) charge(core int, t *task, ran int64) {
	t.slice += ran
	r.used[core] += ran
}

// overrun says that the class has used up its time on core.
func (r *rt) overrun(core int) bool {
	if r.quota > 0 && r.used[core] > r.quota {
		r.held[core] = true
	}
	return r.held[core]
}

func (r *rt) exit(core int, _ *task) { r.overrun(core) }

func (r *rt) period() time.Duration { return rtPeriod }

// update begins a period (do_sched_rt_period_timer).
func (r *rt) update(float64) {
	for k := range r.used {
		r.m.settle(k)
		r.used[k] = max(r.used[k]-r.quota, 0)
		if r.held[k] && (r.quota == 0 || r.used[k] < r.quota) {
			r.held[k] = false
			if r.m.cores[k].cur == nil {
				r.m.resched(k)
			}
		}
	}
}

// fifo is SCHED_FIFO: who runs goes on to its end.
type fifo struct{ *rt }

func (f fifo) tick(core int, _ *task) bool { return f.overrun(core) }

// rrSlice is SCHED_RR's time slice (RR_TIMESLICE).
const rrSlice = 100e6

// rr is SCHED_RR: fifo with time slices, counted in ticks.
type rr struct{ *rt }

func (r rr) tick(core int, t *task) bool {
	if r.overrun(core) {
		return true
	}
	if t.slice < rrSlice-r.m.tick/2 {
		return false
	}
	t.slice = 0
	return r.queue[core].Len > 0
}
