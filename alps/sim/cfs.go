// SPDX-License-Identifier: Apache-2.0

package sim

// cfs is Linux 5.18's rules: the least virtual time goes first
// (kernel/sched/fair.c).
type cfs struct {
	*fair
	latency, minimum, wakeup int64 // sched_latency, _min_granularity, _wakeup_granularity
}

func newCFS(m *machine, flat bool) *fair {
	f := newFair(m, flat)
	s := latencyScale(len(m.cores))
	f.rules = &cfs{f, 6e6 * s, 750e3 * s, 1e6 * s}
	return f
}

// join is place_entity: a new task waits one time slice, a group that slept gets
// half a latency of credit.
func (c *cfs) join(q *fairQueue, e *entity, how joining) {
	switch how {
	case asNew:
		e.vruntime = q.min + scale(c.slice(e), e.weight)
	case asWoke:
		e.vruntime = max(e.vruntime, q.min-c.latency/2)
	case asMoved:
		e.vruntime = q.min + e.lag
	}
}

func (c *cfs) leave(q *fairQueue, e *entity) { e.lag = e.vruntime - q.min }

func (c *cfs) key(_ *fairQueue, e *entity) int64 { return e.vruntime }

func (c *cfs) charged(*fairQueue, *entity, int64) {}

func (c *cfs) slice(e *entity) int64 { return c.fair.slice(e, c.latency, c.minimum) }

// expired is check_preempt_tick.
func (c *cfs) expired(q *fairQueue, e *entity) bool {
	ideal, ran := c.slice(e), e.sum-e.prevSum
	if ran > ideal {
		return true
	}
	first := q.first()
	return ran >= c.minimum && first != nil && e.vruntime-first.vruntime > ideal
}

// preempts is wakeup_preempt_entity(curr, e) == 1.
func (c *cfs) preempts(_ *fairQueue, curr, e *entity) bool {
	return curr.vruntime-e.vruntime > scale(c.wakeup, e.weight)
}

// choose is pick_next_entity.
func (c *cfs) choose(q *fairQueue, curr *entity) *entity {
	left := q.first()
	if left == nil || curr != nil && curr.vruntime < left.vruntime {
		left = curr
	}
	if q.next != nil && !c.preempts(q, q.next, left) {
		return q.next
	}
	return left
}
