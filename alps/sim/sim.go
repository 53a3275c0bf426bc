// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/internal/heap"
)

// Function is one function of a workload: a cgroup of its own.
type Function struct {
	Name string
	UID  string // the policy's name for it; unique
}

// Invocation is one process that will arrive.
type Invocation struct {
	Function int           // index into Config.Functions
	Arrive   time.Duration // since the start of the run; invocations are in this order
	CPU      time.Duration // demand, > 0
}

// Config is the machine. Functions is required, and so is Cores.
type Config struct {
	Cores     int
	Functions []Function
	Seed      uint64 // of every random choice

	Tick     time.Duration // period of the timer interrupt; 0 is 4 ms, HZ 250
	Switch   time.Duration // what a core loses when it changes tasks
	Refill   time.Duration // CPU time, beyond its demand, of a task that finds its cache used by others
	Platform Platform
	// ShareLag is how long, by and large, an ended task still counts in the load
	// of its group, by which the group's shares are split among the cores.
	ShareLag time.Duration

	// Drain is how long after the last arrival a run may go on; 0 is ten times
	// the span of the arrivals, at least a minute. What is left then is not Done.
	Drain time.Duration

	// Slice, if not nil, is told of every on-CPU segment.
	Slice func(invocation int, length time.Duration)
	// Progress, if not nil, is told now and then how many have ended.
	Progress func(ended int)
}

// Platform is what a FaaS platform costs per invocation before the function's
// process exists.
type Platform struct {
	CPU    time.Duration // of a process of the platform's, which ends by forking the function's
	Beside bool          // that process competes with the functions as one of them, not with their parent
	Delay  time.Duration // passes before, without a CPU
	Jitter time.Duration // and, uniformly, up to so much more
}

// Spec names a scheduler and its parameters.
type Spec struct {
	Name   string              // one of Names
	Order  string              // of alps: one of model.Orders; "" is bounded. sfs: off is slices only
	Step   time.Duration       // of bounded: bias between neighbouring ranks; 0 is model.DefaultStep
	Gaps   float64             // of sfs: the slice is so many mean gaps between arrivals at one CPU; 0 is 1
	Params policy.Params       // of alps, and sfs's window and period; the zero value is policy.Paper
	Steady policy.SteadyParams // of steady; the zero value is policy.DefaultSteady
}

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
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("simulate: "+format, args...)) }
	if c.Cores < 1 || c.Cores > maxCores {
		bad("cores: %d is outside [1, %d]", c.Cores, maxCores)
	}
	for name, d := range map[string]time.Duration{"tick": c.Tick, "switch": c.Switch, "refill": c.Refill, "share lag": c.ShareLag, "drain": c.Drain,
		"platform cpu": c.Platform.CPU, "platform delay": c.Platform.Delay, "platform jitter": c.Platform.Jitter} {
		if d < 0 || d > 24*time.Hour {
			bad("%s: %v is outside [0s, 24h]", name, d)
		}
	}
	if c.Tick > 0 && c.Tick < time.Microsecond {
		bad("tick: %v is below 1µs", c.Tick)
	}
	if len(invocations) > math.MaxInt32 {
		bad("%d invocations: at most %d", len(invocations), math.MaxInt32)
	}
	before := time.Duration(0)
	for i, inv := range invocations {
		switch {
		case inv.Function < 0 || inv.Function >= len(c.Functions):
			bad("invocation %d: function %d is none of %d", i, inv.Function, len(c.Functions))
		case inv.CPU <= 0 || inv.CPU > 24*time.Hour:
			bad("invocation %d: CPU time %v is outside (0s, 24h]", i, inv.CPU)
		case inv.Arrive < before || inv.Arrive > maxArrive:
			bad("invocation %d: arrives at %v, the one before at %v: they must be in order, and within %v", i, inv.Arrive, before, maxArrive)
		}
		before = inv.Arrive
		if len(errs) > 9 {
			bad("and maybe more")
			break
		}
	}
	if _, err := scheduling(s.Name); err != nil {
		errs = append(errs, err)
	}
	if s.Params == (policy.Params{}) {
		s.Params = policy.Paper()
	}
	if err := s.Params.Validate(); err != nil {
		errs = append(errs, err)
	}
	if s.Steady == (policy.SteadyParams{}) {
		s.Steady = policy.DefaultSteady()
	}
	if err := s.Steady.Validate(); err != nil {
		errs = append(errs, err)
	}
	if s.Order == "" {
		s.Order = model.OrderBounded
	}
	if !model.ValidOrder(s.Order) {
		bad("order %q is none of %s", s.Order, strings.Join(model.Orders(), ", "))
	}
	if s.Gaps == 0 {
		s.Gaps = 1
	}
	if !(s.Gaps > 0 && s.Gaps <= 1e6) {
		bad("gaps: %v is outside (0, 1e6]", s.Gaps)
	}
	if s.Step == 0 {
		s.Step = model.DefaultStep
	}
	if s.Step < time.Microsecond || s.Step > maxStep {
		bad("step: %v is outside [1µs, %v]", s.Step, maxStep)
	}
	return errors.Join(errs...)
}

const (
	maxCores  = 4096
	maxArrive = 10 * 365 * 24 * time.Hour
	maxStep   = 30 * time.Minute
)
