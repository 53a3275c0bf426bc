// SPDX-License-Identifier: Apache-2.0

package sim

import "github.com/ds2-lab/alps/internal/heap"

// srpt serves the shortest remaining time first, of what it believes the
// demands to be. Without global every core serves its own share, dealt at random.
type srpt struct {
	m        *machine
	global   bool
	estimate func(t *task) int64
	queues   []heap.Heap[*task] // one per core, or one
}

func newSRPT(m *machine, global bool, estimate func(*task) int64) *srpt {
	n := len(m.cores)
	if global {
		n = 1
	}
	return &srpt{m: m, global: global, estimate: estimate, queues: make([]heap.Heap[*task], n)}
}

// oracle knows the demand.
func oracle(t *task) int64 { return t.demand }

// noisy is off by up to half.
func noisy(m *machine) func(*task) int64 {
	return func(t *task) int64 { return int64(float64(t.demand) * (0.5 + m.rng.Float64())) }
}

// random knows nothing of the given share of the tasks: their estimate is some
// other invocation's demand.
func random(m *machine, share float64) func(*task) int64 {
	return func(t *task) int64 {
		if m.rng.Float64() >= share {
			return t.demand
		}
		return int64(m.invocations[m.rng.IntN(len(m.invocations))].CPU)
	}
}

// left is the CPU time that t needs still, by the scheduler's estimate; 0 for a task
// that has used more than that.
func (s *srpt) left(t *task) int64 { return max(t.estimate-t.served(), 0) }

func (s *srpt) queue(core int) *heap.Heap[*task] {
	if s.global {
		return &s.queues[0]
	}
	return &s.queues[core]
}

func (s *srpt) selectCore(t *task) int {
	t.estimate = s.estimate(t)
	if !s.global {
		return s.m.rng.IntN(len(s.queues))
	}
	if k := s.m.idlest(); k >= 0 {
		return k
	}
	// The core whose task has most left, of those that began last the first.
	longest := 0
	for k := range s.m.cores {
		s.m.settle(k)
		if s.left(s.m.cores[k].cur) > s.left(s.m.cores[longest].cur) {
			longest = k
		}
	}
	return longest
}

func (s *srpt) enqueue(core int, t *task) bool {
	t.key, t.seq = s.left(t), uint64(t.index)
	s.queue(core).Push(t)
	cur := s.m.cores[core].cur
	return cur == nil || t.key < s.left(cur)
}

func (s *srpt) pick(core int, prev *task) *task {
	q := s.queue(core)
	if prev != nil {
		prev.key = s.left(prev)
		q.Push(prev)
	}
	if len(*q) == 0 {
		return nil
	}
	t := q.Pop()
	if int(t.at) != core {
		s.m.moved(t, core)
	}
	return t
}

func (s *srpt) charge(int, *task, int64) {}

func (s *srpt) tick(int, *task) bool { return false }

func (s *srpt) exit(int, *task) {}

// Before orders what waits: by key, then by seq.
func (t *task) Before(o *task) bool { return t.key < o.key || t.key == o.key && t.seq < o.seq }

// Moved is not needed: what waits leaves from the front only.
func (*task) Moved(int) {}
