// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ds2-lab/alps/alps/sim/setup"
	"github.com/ds2-lab/alps/internal/heap"
)

// What a run is told is checked in package setup.
type (
	Config     = setup.Config
	Platform   = setup.Platform
	Function   = setup.Function
	Invocation = setup.Invocation
	Spec       = setup.Spec
)

// Outcome is what became of one invocation.
type Outcome struct {
	Send   time.Duration // Invocation.Arrive
	Arrive time.Duration // its process exists: Send and the platform's delay
	Start  time.Duration // first on a CPU
	End    time.Duration
	CPU    time.Duration // demand and refills
	Invol  int32         // times it lost the CPU before its end
	Done   bool
}

// Result is a run.
type Result struct {
	Outcomes   []Outcome     // as the invocations
	Span       time.Duration // from the first arrival to the last end
	Busy       time.Duration // over all cores: demand, refills, switches, platform
	Demand     time.Duration // over all that are done
	Switches   int64         // from a task that could have gone on; those at its end are not counted
	Migrations int64         // tasks that were taken to another core
	Updates    int           // of the policy
	Unfinished int           // invocations that had not ended when the run did
}

// Run simulates until every invocation has ended or Drain has passed. It fails
// if the configuration is invalid (all that is wrong is named) or ctx ends.
func Run(ctx context.Context, c Config, s Spec, invocations []Invocation) (Result, error) {
	if err := check(c, &s, invocations); err != nil {
		return Result{}, err
	}
	m, err := start(c, s, invocations)
	if err != nil {
		return Result{}, err
	}
	if err := m.run(ctx); err != nil {
		return Result{}, fmt.Errorf("simulate %s: %w", s.Name, err)
	}
	return m.result(), nil
}

// start puts the scheduler onto a machine where nothing has happened yet.
func start(c Config, s Spec, invocations []Invocation) (*machine, error) {
	m := newMachine(c, invocations)
	build, err := scheduling(s.Name)
	if err != nil {
		return nil, err
	}
	if m.sched, err = build(m, s); err != nil {
		return nil, err
	}
	inner := m.sched
	if g, ok := inner.(*ghost); ok {
		inner = g.scheduler
	}
	if u, ok := inner.(updater); ok {
		m.updater, m.updateAt = u, int64(u.period())
	}
	return m, nil
}

func newMachine(c Config, invocations []Invocation) *machine {
	if c.Tick == 0 {
		c.Tick = 4 * time.Millisecond
	}
	m := &machine{Config: c, tick: int64(c.Tick), rng: rand.New(rand.NewPCG(c.Seed, 0x73696d)), invocations: invocations,
		updateAt: never, cores: make([]core, c.Cores), events: make(heap.Heap[*core], c.Cores), out: make([]Outcome, len(invocations))}
	if c.Platform.Lock > 0 {
		m.servers = make([]server, len(c.Functions))
	}
	for k := range m.cores {
		m.cores[k] = core{k: k, event: never, pos: k, tickAt: never}
		m.events[k] = &m.cores[k]
	}
	m.arrivals = make([]arrival, len(invocations))
	for i, inv := range invocations {
		at := inv.Arrive + c.Platform.Delay
		if j := c.Platform.Jitter; j > 0 {
			at += time.Duration(m.rng.Int64N(int64(j) + 1))
		}
		m.arrivals[i] = arrival{int64(at), int32(i)}
		m.out[i] = Outcome{Send: inv.Arrive, Arrive: at, Start: -1, End: -1}
	}
	slices.SortStableFunc(m.arrivals, func(a, b arrival) int { return cmp.Compare(a.at, b.at) })
	return m
}

func (m *machine) result() Result {
	r := Result{Outcomes: m.out, Switches: m.switches, Migrations: m.migrations, Updates: m.updates,
		Unfinished: len(m.invocations) - m.ended, Busy: time.Duration(m.busy())}
	first, last := time.Duration(never), time.Duration(0)
	for i, o := range m.out {
		first = min(first, o.Arrive)
		if o.Done {
			last = max(last, o.End)
			r.Demand += m.invocations[i].CPU
		}
	}
	if r.Unfinished > 0 {
		last = time.Duration(m.now)
	}
	r.Span = max(last-first, 0)
	return r
}

// check says everything that is wrong, and fills in what s leaves out.
func check(c Config, s *Spec, invocations []Invocation) error {
	_, err := scheduling(s.Name)
	return errors.Join(setup.Check(c, s, invocations), err)
}
