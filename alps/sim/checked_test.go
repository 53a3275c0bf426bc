// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/sim/setup"
)

// checked is a scheduler that is watched: every task waits or runs on one core
// only, and no core idles while a task waits.
type checked struct {
	scheduler
	t       testing.TB
	m       *machine
	waiting map[*task]int // → core
	running map[*task]int
	idles   bool // it may let a core idle beside waiting tasks
	picks   int
}

func watch(t testing.TB, m *machine) *checked {
	c := &checked{scheduler: m.sched, t: t, m: m, waiting: map[*task]int{}, running: map[*task]int{}}
	m.sched = c
	return c
}

func (c *checked) selectCore(t *task) int {
	k := c.scheduler.selectCore(t)
	require.True(c.t, k >= 0 && k < len(c.m.cores), "core %d", k)
	return k
}

func (c *checked) enqueue(core int, t *task) bool {
	require.NotContains(c.t, c.waiting, t)
	require.NotContains(c.t, c.running, t)
	c.waiting[t] = core
	preempts := c.scheduler.enqueue(core, t)
	if c.m.cores[core].cur != nil && !preempts {
		c.conserves()
	}
	return preempts
}

// conserves: what waits, waits because all cores are busy.
func (c *checked) conserves() {
	if c.idles {
		return
	}
	for k := range c.m.cores {
		if c.m.cores[k].cur == nil {
			c.t.Fatalf("at %v core %d idles while %d tasks wait", time.Duration(c.m.now), k, len(c.waiting))
		}
	}
}

func (c *checked) pick(core int, prev *task) *task {
	c.picks++
	if prev != nil {
		require.Equal(c.t, core, c.running[prev])
		delete(c.running, prev)
		c.waiting[prev] = core
	}
	t := c.scheduler.pick(core, prev)
	if t == nil {
		for _, k := range c.waiting {
			if k == core || !c.idles {
				c.t.Fatalf("at %v core %d goes idle while %d tasks wait", time.Duration(c.m.now), core, len(c.waiting))
			}
		}
		return nil
	}
	if _, waits := c.waiting[t]; !waits || int(t.at) != core {
		c.t.Fatalf("who runs next on %d did not wait, or not here, but on %d", core, t.at)
	}
	delete(c.waiting, t)
	c.running[t] = core
	return t
}

func (c *checked) charge(core int, t *task, ran int64) {
	if at, runs := c.running[t]; !runs || at != core || ran < 0 || t.left < 0 {
		c.t.Fatalf("core %d is charged %d ns for a task that runs on %d and has %d ns left", core, ran, at, t.left)
	}
	c.scheduler.charge(core, t, ran)
	if f := fairOf(c.scheduler); f != nil {
		for e := &t.se; e != nil; e = e.parent {
			balanced(c.t, e.on)
		}
	}
}

func (c *checked) exit(core int, t *task) {
	require.Equal(c.t, core, c.running[t])
	delete(c.running, t)
	c.scheduler.exit(core, t)
}

// balanced: counts and weights are those of the entities.
func balanced(t testing.TB, q *fairQueue) {
	n, load, fresh := len(q.tree), int64(0), [2]int{}
	for i, e := range q.tree {
		if e.task != nil && e.task.first < 0 {
			fresh[e.task.kind()]++
		}
		load += e.weight
		if i != e.pos || i > 0 && e.Before(q.tree[(i-1)/2]) || !e.queued {
			t.Fatalf("the tree is not in order at %d", i)
		}
	}
	if q.curr != nil {
		n++
		load += q.curr.weight
	}
	if fresh != q.fresh {
		t.Fatalf("%d tasks never ran, the queue says %d", fresh, q.fresh)
	}
	if n != q.nr || load != q.load {
		t.Fatalf("%d entities weigh %d, the queue says %d and %d", n, load, q.nr, q.load)
	}
}

func fairOf(s scheduler) *fair {
	switch s := s.(type) {
	case *fair:
		return s
	case *alpsClass:
		return s.fair
	case *sfsClass:
		return s.fair
	case *steadyClass:
		return s.fair
	case *ghost:
		return fairOf(s.scheduler)
	}
	return nil
}

// randomLoad draws a machine and what arrives on it.
func randomLoad(seed uint64) (Config, []Invocation) {
	rng := rand.New(rand.NewPCG(seed, 1))
	c := Config{Cores: 1 + rng.IntN(6), Seed: seed, Functions: make([]Function, 1+rng.IntN(5))}
	for i := range c.Functions {
		c.Functions[i] = Function{Name: "f", UID: fmt.Sprint(i)}
	}
	if rng.IntN(2) == 0 {
		c.Switch, c.Refill = time.Duration(rng.IntN(1e5)), time.Duration(rng.IntN(1e6))
	}
	if rng.IntN(2) == 0 {
		c.Platform = Platform{CPU: time.Duration(rng.IntN(1e7)), Cgroup: append(setup.PlatformCgroups, "")[rng.IntN(4)], Delay: time.Duration(rng.IntN(1e7)), Jitter: time.Duration(rng.IntN(1e7))}
		if c.Platform.Cgroup == setup.PlatformFunction && seed%2 == 0 { // of the seed: what is drawn below stays as it is
			c.Platform.Lock = c.Platform.CPU / time.Duration(3+seed%20)
		}
	}
	if rng.IntN(2) == 0 {
		c.ShareLag = time.Duration(rng.IntN(1e9))
	}
	load := 0.3 + rng.Float64()
	at := time.Duration(0)
	invocations := make([]Invocation, 1+rng.IntN(150))
	for i := range invocations {
		cpu := time.Duration(1 + rng.ExpFloat64()*2e7)
		if rng.IntN(10) == 0 {
			cpu *= 20
		}
		invocations[i] = Invocation{Function: rng.IntN(len(c.Functions)), Arrive: at, CPU: cpu}
		if rng.IntN(5) > 0 { // some arrive together
			at += time.Duration(rng.ExpFloat64() * 6e7 / load / float64(c.Cores))
		}
	}
	return c, invocations
}

// simulate runs to the end, watched.
func simulate(t testing.TB, c Config, s Spec, invocations []Invocation) Result {
	r, w := simulateFor(t, c, s, invocations)
	if c.Platform.Lock == 0 { // else the last requests may not be answered yet
		require.Empty(t, w.waiting)
		require.Empty(t, w.running)
	}
	return r
}

// simulateFor is simulate for what may not drain. The real-time classes are
// not throttled: that lets cores idle.
func simulateFor(t testing.TB, c Config, s Spec, invocations []Invocation) (Result, *checked) {
	require.NoError(t, check(c, &s, invocations))
	m, err := start(c, s, invocations)
	require.NoError(t, err)
	w := watch(t, m)
	switch x := w.scheduler.(type) {
	case fifo:
		x.quota = 0
	case rr:
		x.quota = 0
	case *srpt:
		w.idles = !x.global // each core has its own share
	}
	require.NoError(t, m.run(t.Context()))
	return m.result(), w
}

// Whatever the scheduler: every invocation ends with exactly its demand served,
// none waits beside an idle core, no core runs two tasks, no task is on two cores.
func TestInvariants(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(60) {
				c, invocations := randomLoad(seed)
				s := Spec{Name: name, Order: model.Orders()[seed%4]}
				var segments time.Duration
				c.Slice = func(_ int, d time.Duration) { segments += d }
				r := simulate(t, c, s, invocations)
				require.Zero(t, r.Unfinished)
				var cpu, demand time.Duration
				for i, o := range r.Outcomes {
					require.True(t, o.Done)
					require.Equal(t, invocations[i].Arrive, o.Send)
					require.GreaterOrEqual(t, o.Arrive, o.Send+c.Platform.Delay+c.Platform.CPU)
					require.GreaterOrEqual(t, o.Start, o.Arrive)
					require.GreaterOrEqual(t, o.End, o.Start+invocations[i].CPU)
					require.Zero(t, (o.CPU-invocations[i].CPU)%max(c.Refill, 1), "served the demand, and whole refills")
					cpu += o.CPU
					demand += invocations[i].CPU
				}
				require.Equal(t, demand, r.Demand)
				require.GreaterOrEqual(t, r.Busy, cpu+time.Duration(len(invocations))*c.Platform.CPU)
				require.GreaterOrEqual(t, segments, cpu)
				if c.Switch == 0 && c.Refill == 0 && name != "ghost-cfs" && name != "ghost-alps" {
					require.LessOrEqual(t, r.Busy, cpu+time.Duration(len(invocations))*(c.Platform.CPU+c.Platform.Lock))
					require.Equal(t, demand, segments)
				}
			}
		})
	}
}

func TestEqualInputGivesEqualOutput(t *testing.T) {
	for _, name := range Names() {
		c, invocations := randomLoad(3)
		c.Cores = 3
		a, err := Run(t.Context(), c, Spec{Name: name}, invocations)
		require.NoError(t, err)
		b, err := Run(t.Context(), c, Spec{Name: name}, invocations)
		require.NoError(t, err)
		require.Equal(t, a, b, name)
	}
	// The seed decides where random choices are made.
	c, invocations := randomLoad(3)
	c.Cores = 3
	a, err := Run(t.Context(), c, Spec{Name: "random"}, invocations)
	require.NoError(t, err)
	c.Seed++
	b, err := Run(t.Context(), c, Spec{Name: "random"}, invocations)
	require.NoError(t, err)
	require.NotEqual(t, a.Outcomes, b.Outcomes)
}
