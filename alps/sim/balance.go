// SPDX-License-Identifier: Apache-2.0

package sim

// Load balancing over one domain that spans all cores (kernel/sched/fair.c).
const (
	// busyBalance is how often a busy core looks at the others: the domain's
	// interval, 1 ms per core, times its busy_factor of 16, for 24 cores.
	busyBalance = 24 * 16 * 1e6
	// imbalancePct is how much more load the busiest must have.
	imbalancePct = 117
)

// selectCore chooses the core for a new process (find_idlest_cpu): an idle one, else
// the least loaded.
func (f *fair) selectCore(*task) int {
	if k := f.m.idlest(); k >= 0 {
		return k
	}
	best := 0
	for k := range f.root {
		if f.root[k].load < f.root[best].load {
			best = k
		}
	}
	return best
}

// pull brings a task to an idle core from the one with most to run
// (newidle_balance). It takes the one that has not run for longest.
func (f *fair) pull(core int) bool {
	from := -1
	for k, n := range f.nr {
		if f.waiting[k].Len == 0 {
			continue
		}
		if from < 0 || n > f.nr[from] || n == f.nr[from] && f.root[k].load > f.root[from].load {
			from = k
		}
	}
	if from < 0 {
		return false
	}
	f.move(f.waiting[from].Head, core)
	return true
}

// move takes the waiting t to another core.
func (f *fair) move(t *task, to int) {
	f.m.settle(int(t.at))
	f.m.settle(to)
	f.detach(t)
	f.m.moved(t, to)
	f.attach(to, t, asMoved)
}

// rebalance lets a busy core take load from the busiest (load_balance with
// migrate_load). It says whether what came goes before what runs here.
func (f *fair) rebalance(core int) (preempts bool) {
	var total int64
	from := core
	for k, q := range f.root {
		total += q.load
		if f.waiting[k].Len > 0 && q.load > f.root[from].load {
			from = k
		}
	}
	here, there, mean := f.root[core].load, f.root[from].load, total/int64(len(f.root))
	if from == core || here >= mean || 100*there <= imbalancePct*here {
		return false
	}
	imbalance := min(there-mean, mean-here)
	for t := f.waiting[from].Head; t != nil && imbalance > 0; {
		next := t.links.Next
		if load := f.hierarchical(t); load/2 <= imbalance {
			imbalance -= load
			f.move(t, core)
			preempts = f.preempts(core, t) || preempts
		}
		t = next
	}
	return preempts
}

// hierarchical is what t weighs at the root (task_h_load).
func (f *fair) hierarchical(t *task) int64 {
	load := t.se.weight
	for e := t.se.parent; e != nil; e = e.parent {
		load = load * e.weight / max(e.my.load, 1)
	}
	return max(load, 1)
}
