// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/alps/sim/setup"
	"github.com/ds2-lab/alps/internal/clock"
	"github.com/ds2-lab/alps/internal/heap"
)

// core is one CPU.
type core struct {
	k       int // its number
	cur     *task
	from    int64 // cur's on-CPU segment began
	since   int64 // cur is charged up to here; in the future while the core switches
	tickAt  int64
	lastSeq uint64 // the task that ran last, by born; 0: none
	event   int64  // next
	pos     int    // in machine.events
	idle    int64  // since when; never while busy
}

type machine struct {
	Config
	cores  []core
	events heap.Heap[*core]
	now    int64
	tick   int64
	sched  scheduler
	rng    *rand.Rand

	invocations []Invocation
	arrivals    []arrival
	nextArrival int
	free        *task // recycled
	out         []Outcome
	ended       int

	updater  updater
	updateAt int64
	busyAt   int64 // busy time at the last update
	lastAt   int64

	servers []server // by function, of a platform with a lock

	overhead   int64 // busy beyond what tasks were charged
	charged    int64
	switches   int64
	migrations int64
	updates    int
	seq        uint64
	born       uint64
}

type arrival struct {
	at    int64
	index int32
}

func (m *machine) nextSeq() uint64 { m.seq++; return m.seq }

// run is the event loop. Of what happens at one moment, ends and ticks come
// first, by core; then arrivals, by index; then the policy's update.
func (m *machine) run(ctx context.Context) error {
	const checkEvery = 1 << 14
	deadline := m.deadline()
	for step := 0; m.ended < len(m.arrivals); step++ {
		if step%checkEvery == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			if m.Progress != nil {
				m.Progress(m.ended)
			}
		}
		c := m.events[0]
		at := c.event
		arrive := int64(never)
		if m.nextArrival < len(m.arrivals) {
			arrive = m.arrivals[m.nextArrival].at
		}
		t := min(at, arrive, m.updateAt)
		if t > deadline {
			return nil
		}
		m.now = t
		switch {
		case t == at:
			m.coreEvent(c.k)
		case t == arrive:
			a := m.arrivals[m.nextArrival]
			m.nextArrival++
			m.arrive(a.index)
		default:
			m.update()
		}
	}
	return nil
}

// deadline is when to give up.
func (m *machine) deadline() int64 {
	n := len(m.arrivals)
	if n == 0 {
		return 0
	}
	first, last := m.arrivals[0].at, m.arrivals[n-1].at
	if m.Drain > 0 {
		return last + int64(m.Drain)
	}
	return last + max(10*(last-first), int64(time.Minute))
}

// arrive is a request: the platform's process comes first, if it uses CPU time, or
// its function's server.
func (m *machine) arrive(index int32) {
	if p := m.Platform.CPU; p > 0 {
		if held := int64(m.Platform.Lock); held > 0 {
			m.serve(index, accepting, held)
			return
		}
		group := m.platform()
		if m.Platform.Cgroup == setup.PlatformFunction {
			group = int32(m.invocations[index].Function)
		}
		m.spawn(&task{index: index, function: group, platform: true, demand: int64(p)})
		return
	}
	m.fork(index)
}

// fork begins the invocation's own process.
func (m *machine) fork(index int32) {
	inv := &m.invocations[index]
	m.out[index].Arrive = time.Duration(m.now)
	m.spawn(&task{index: index, function: int32(inv.Function), demand: int64(inv.CPU)})
}

// platform is the group of the platform's own processes, the one after the functions, unless they are in the functions'.
func (m *machine) platform() int32 { return int32(len(m.Functions)) }

// spawn lets a task like blank begin.
func (m *machine) spawn(blank *task) {
	t := m.free
	if t != nil {
		m.free = t.links.Next
	} else {
		t = new(task)
	}
	*t = *blank
	m.born++
	t.left, t.arrived, t.born, t.first = t.demand, m.now, m.born, -1
	t.se.task = t
	k := m.sched.selectCore(t)
	t.at = int32(k)
	m.settle(k)
	if m.sched.enqueue(k, t) || m.cores[k].cur == nil {
		m.resched(k)
	}
}

// steal takes d of core k's time from whoever runs there.
func (m *machine) steal(k int, d int64) {
	m.settle(k)
	c := &m.cores[k]
	c.since = max(c.since, m.now) + d
	m.overhead += d
	m.schedule(k)
}

// settle charges core k's task for what it has run.
func (m *machine) settle(k int) {
	c := &m.cores[k]
	if c.cur == nil || c.since >= m.now {
		return
	}
	ran := m.now - c.since
	c.since = m.now
	c.cur.left -= ran
	m.charged += ran
	m.sched.charge(k, c.cur, ran)
}

// coreEvent is an end of core k's task, or a tick.
func (m *machine) coreEvent(k int) {
	c := &m.cores[k]
	m.settle(k)
	if c.cur == nil {
		panic("sim: an event on an idle core")
	}
	if c.cur.left == 0 && c.since <= m.now {
		m.exit(k)
		return
	}
	c.tickAt += m.tick
	if m.sched.tick(k, c.cur) {
		m.resched(k)
		return
	}
	m.schedule(k)
}

func (m *machine) exit(k int) {
	c := &m.cores[k]
	t := c.cur
	if m.goesOn(t) {
		m.schedule(k)
		return
	}
	index, function, platform, step := t.index, t.function, t.platform, t.step
	if !platform {
		o := &m.out[index]
		o.Start, o.End, o.CPU = time.Duration(t.first), time.Duration(m.now), time.Duration(t.demand+t.extra)
		o.Invol, o.Done = t.invol, true
		m.ended++
	}
	m.slice(c, t)
	m.sched.exit(k, t)
	c.cur = nil
	t.links.Next, m.free = m.free, t
	m.dispatch(k, m.sched.pick(k, nil))
	m.next(index, function, platform, step)
}

// slice reports the on-CPU segment of t, which ends now.
func (m *machine) slice(c *core, t *task) {
	if m.Slice != nil && m.now > c.from && !t.platform {
		m.Slice(int(t.index), time.Duration(m.now-c.from))
	}
}

// resched lets the scheduler choose anew on core k.
func (m *machine) resched(k int) {
	m.settle(k)
	c := &m.cores[k]
	prev := c.cur
	next := m.sched.pick(k, prev)
	if next == prev && prev != nil {
		m.schedule(k)
		return
	}
	if prev != nil {
		m.slice(c, prev)
		prev.invol++
		m.switches++
	}
	m.dispatch(k, next)
}

// dispatch lets t, or nobody, run on core k.
func (m *machine) dispatch(k int, t *task) {
	c := &m.cores[k]
	c.cur = t
	if t == nil {
		if c.idle == never {
			c.idle = m.now
		}
		c.since = max(c.since, m.now) // what is being stolen is still stolen
		m.schedule(k)
		return
	}
	if c.idle != never {
		c.idle = never
		c.tickAt = (m.now/m.tick + 1) * m.tick
	}
	if t.at != int32(k) {
		panic("sim: a task runs where it is not")
	}
	from := max(c.since, m.now)
	if c.lastSeq != t.born {
		from += int64(m.Switch)
		m.overhead += int64(m.Switch)
		if t.first >= 0 {
			t.left += int64(m.Refill)
			t.extra += int64(m.Refill)
		}
	}
	c.lastSeq = t.born
	c.from, c.since = m.now, from
	if t.first < 0 {
		t.first = m.now
	}
	m.schedule(k)
}

// moved tells that the scheduler took the waiting t to core k.
func (m *machine) moved(t *task, k int) {
	t.at = int32(k)
	m.migrations++
}

func (m *machine) update() {
	busy := m.busy()
	load := 0.0
	if span := m.now - m.lastAt; span > 0 {
		load = 100 * float64(busy-m.busyAt) / float64(span*int64(len(m.cores)))
	}
	m.busyAt, m.lastAt = busy, m.now
	m.updates++
	m.updater.update(load)
	m.updateAt = m.now + int64(m.updater.period())
}

// busy is the cores' time up to now that was not idle.
func (m *machine) busy() int64 {
	total := m.charged + m.overhead
	for k := range m.cores {
		c := &m.cores[k]
		if c.cur != nil && c.since < m.now {
			total += m.now - c.since
		}
		if c.since > m.now {
			total -= c.since - m.now
		}
	}
	return total
}

// schedule finds core k's next event.
func (m *machine) schedule(k int) {
	c := &m.cores[k]
	at := int64(never)
	if c.cur != nil {
		at = min(max(c.since, m.now)+c.cur.left, max(c.tickAt, m.now))
	}
	if at == c.event {
		return
	}
	c.event = at
	m.events.Fix(c.pos)
}

// Before orders the cores by their next event, then by number.
func (c *core) Before(o *core) bool {
	return c.event < o.event || c.event == o.event && c.k < o.k
}

// Moved is told where in the machine's events c is.
func (c *core) Moved(i int) { c.pos = i }

// record is what the policy is told of t, which ends now.
func (m *machine) record(t *task) policy.Record {
	return policy.Record{UID: m.Functions[t.function].UID, Arrive: clock.KTime(t.arrived), End: m.ktime(), CPU: time.Duration(t.demand + t.extra)}
}

// ktime is now as the policy counts time.
func (m *machine) ktime() clock.KTime { return clock.KTime(m.now) }

// idlest is an idle core, the one that became idle last; -1 if all are busy.
func (m *machine) idlest() int {
	best, at := -1, int64(-1)
	for k := range m.cores {
		if c := &m.cores[k]; c.cur == nil && c.idle != never && c.idle > at {
			best, at = k, c.idle
		}
	}
	return best
}
