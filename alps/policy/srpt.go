// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ds2-lab/alps/internal/clock"
	"github.com/ds2-lab/alps/internal/heap"
)

// Job is what SRPT schedules.
type Job struct {
	ID     int64 // breaks ties of remaining time and arrival: the lower goes first
	Arrive clock.KTime
	Burst  time.Duration // CPU time it needs, ≥ 0
}

// Machine is where SRPT schedules.
type Machine struct {
	Cores       int           // 0 means 1
	Granularity time.Duration // a job cannot be preempted before it has been on a core for so long
}

// Outcome is what became of one job.
type Outcome struct {
	End    clock.KTime
	Wait   time.Duration   // End − Arrive − Burst
	Slices []time.Duration // lengths of its on-CPU segments, in order; their sum is Burst
}

// SRPT schedules jobs shortest remaining time first and returns their
// outcomes, in the order of jobs.
//
// All cores serve one queue, ordered by remaining time, then arrival, then ID.
// A free core takes the first. A running job is preempted by a queued one with
// strictly less time remaining once it has run for the granularity in this
// segment, at the moment when both become true; of several such the one with
// the most time remaining, latest in that order, yields. At one moment jobs
// end first, then others arrive, then free cores are filled, then others
// preempted. A job without a burst ends when it would get a core, displaces
// nobody and has no slice. Switching costs nothing.
//
// SRPT is exact in nanoseconds. It fails for negative values, and where times pass 2⁶³ ns.
func SRPT(jobs []Job, m Machine) ([]Outcome, error) {
	var s srpt
	if err := s.run(jobs, m); err != nil {
		return nil, err
	}
	out := make([]Outcome, len(jobs))
	count := make([]int, len(jobs))
	for _, t := range s.segments {
		count[t.job]++
	}
	all := make([]time.Duration, 0, len(s.segments)) // one array behind all the slices
	for i := range out {
		out[i].End = s.base.Add(time.Duration(s.end[i]))
		out[i].Wait = s.wait(jobs, i)
		out[i].Slices = all[len(all) : len(all) : len(all)+count[i]]
		all = all[:len(all)+count[i]]
	}
	for _, t := range s.segments {
		o := &out[t.job]
		o.Slices = append(o.Slices, time.Duration(t.length))
	}
	return out, nil
}

// segment is an on-CPU segment: a job on a core, without interruption.
type segment struct {
	job    int32 // index into the jobs
	length int64
	end    int64 // since base
}

// srpt is one simulation; its arrays are used again by the next.
type srpt struct {
	base     clock.KTime // the first arrival; all other times are since then
	end      []int64     // per job
	segments []segment   // by end

	order []arrival
	queue heap.Heap[waiting]
	cores []core
	next  int // of order, the first that has not arrived
	gran  int64
}

// arrival is a job in order of arrival, then ID.
type arrival struct {
	at    int64
	burst int64
	job   int32
}

// waiting is a queued job. position is its index in order, which is the order in
// which ties are broken.
type waiting struct {
	left     int64
	position int32
}

func (a waiting) Before(b waiting) bool {
	return a.left < b.left || a.left == b.left && a.position < b.position
}

// Moved is not needed: what waits leaves from the front only.
func (waiting) Moved(int) {}

// core is a core and the segment on it; position < 0 while it idles.
type core struct {
	position int32
	start    int64
	end      int64 // of the job, if it is left alone
}

const never = math.MaxInt64

func (s *srpt) wait(jobs []Job, i int) time.Duration {
	return time.Duration(s.end[i]) - jobs[i].Arrive.Sub(s.base) - jobs[i].Burst
}

func (s *srpt) run(jobs []Job, m Machine) error {
	if err := s.prepare(jobs, m); err != nil {
		return err
	}
	for t := s.nextEvent(-1); t != never; t = s.nextEvent(t) {
		for i := range s.cores {
			if c := &s.cores[i]; c.position >= 0 && c.end == t {
				s.finish(c.position, t)
				s.leave(c, t)
			}
		}
		for s.next < len(s.order) && s.order[s.next].at == t {
			s.queue.Push(waiting{s.order[s.next].burst, int32(s.next)})
			s.next++
		}
		for len(s.queue) > 0 && s.dispatch(t) {
		}
	}
	return nil
}

func (s *srpt) prepare(jobs []Job, m Machine) error {
	if m.Cores < 0 {
		return fmt.Errorf("simulate SRPT: cores: %d is negative", m.Cores)
	}
	if m.Granularity < 0 {
		return fmt.Errorf("simulate SRPT: granularity: %v is negative", m.Granularity)
	}
	if len(jobs) > math.MaxInt32 {
		return fmt.Errorf("simulate SRPT: %d jobs are too many", len(jobs))
	}
	s.gran = int64(m.Granularity)
	s.cores = slices.Grow(s.cores[:0], max(m.Cores, 1))[:max(m.Cores, 1)]
	for i := range s.cores {
		s.cores[i].position = -1
	}
	s.next, s.queue, s.segments = 0, s.queue[:0], s.segments[:0]
	s.end = slices.Grow(s.end[:0], len(jobs))[:len(jobs)]
	s.order = slices.Grow(s.order[:0], len(jobs))
	s.base = 0
	for i, j := range jobs {
		if i == 0 || j.Arrive < s.base {
			s.base = j.Arrive
		}
	}
	// Nothing ends later than if all were served one after the other, beginning
	// with the last arrival; the granularity is added to a start.
	last, sum := uint64(0), uint64(m.Granularity)
	for i, j := range jobs {
		if j.Burst < 0 {
			return fmt.Errorf("simulate SRPT: job %d: burst %v is negative", j.ID, j.Burst)
		}
		last = max(last, uint64(j.Arrive-s.base))
		sum += uint64(j.Burst)
		if last >= never || sum >= never || last+sum >= never {
			return fmt.Errorf("simulate SRPT: job %d: time passes 2⁶³ ns", j.ID)
		}
		s.order = append(s.order, arrival{int64(j.Arrive - s.base), int64(j.Burst), int32(i)})
	}
	earlier := func(a, b arrival) int {
		if a.at != b.at {
			return cmp.Compare(a.at, b.at)
		}
		return cmp.Or(cmp.Compare(jobs[a.job].ID, jobs[b.job].ID), cmp.Compare(a.job, b.job))
	}
	if !slices.IsSortedFunc(s.order, earlier) {
		slices.SortFunc(s.order, earlier)
	}
	return nil
}

// nextEvent is when, after now, a job arrives, ends, or can be preempted.
func (s *srpt) nextEvent(now int64) int64 {
	t := int64(never)
	if s.next < len(s.order) {
		t = s.order[s.next].at
	}
	left := int64(never)
	if len(s.queue) > 0 {
		left = s.queue[0].left
	}
	for i := range s.cores {
		c := &s.cores[i]
		if c.position < 0 {
			continue
		}
		t = min(t, c.end)
		// Only the end of a protection is worth waiting for: a segment without one
		// has been compared with the queue's first.
		if ripe := c.start + s.gran; now < ripe && ripe < t && left < c.end-ripe {
			t = ripe
		}
	}
	return t
}

// dispatch gives a core to the queue's first if it may have one, and says
// whether it did.
func (s *srpt) dispatch(t int64) bool {
	first := s.queue[0]
	var to *core
	for i := range s.cores {
		c := &s.cores[i]
		if c.position < 0 {
			to = c
			break
		}
		ripe := c.start+s.gran <= t && first.left < c.end-t
		if ripe && (to == nil || c.end > to.end || c.end == to.end && c.position > to.position) {
			to = c
		}
	}
	if to == nil {
		return false
	}
	s.queue.Pop()
	if first.left == 0 {
		s.finish(first.position, t)
		return true
	}
	if to.position >= 0 {
		s.queue.Push(waiting{to.end - t, to.position})
		s.leave(to, t)
	}
	*to = core{first.position, t, t + first.left}
	return true
}

func (s *srpt) finish(position int32, t int64) {
	s.end[s.order[position].job] = t
}

// leave ends the segment on c.
func (s *srpt) leave(c *core, t int64) {
	s.segments = append(s.segments, segment{s.order[c.position].job, t - c.start, t})
	c.position = -1
}
