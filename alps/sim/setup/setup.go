// SPDX-License-Identifier: Apache-2.0

// Package setup is what a simulation is told: the machine, its functions, their
// invocations, and the scheduler with its parameters; and what is wrong with them.
package setup

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
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
	// ShareLag is the time constant with which an ended task fades from the load of
	// its group; by that load the group's shares are split among the cores.
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
	Cgroup string        // of that process: one of PlatformCgroups; "" is the first
	// Lock, if it is not 0, makes that process the function's server, which lives on and serves each request
	// in a thread. It has a lock, as a Python process has, and a request needs it three times, for so much CPU
	// time: to be accepted, to fork, and to be answered. The first two are a part of CPU. Cgroup is PlatformFunction.
	Lock   time.Duration
	Delay  time.Duration // passes before, without a CPU
	Jitter time.Duration // and, uniformly, up to so much more
}

// CheckLock says why the platform cannot have its lock.
func (p Platform) CheckLock() error {
	switch {
	case p.Lock == 0:
		return nil
	case p.Cgroup != PlatformFunction:
		return fmt.Errorf("a function's server is in its cgroup: allowed beside cgroup %s only", PlatformFunction)
	case 2*p.Lock > p.CPU:
		return fmt.Errorf("%s, twice, is more than the platform's CPU time of %s", p.Lock, p.CPU)
	}
	return nil
}

// Where the platform's processes are, and with whom they compete for the CPUs.
const (
	PlatformApart    = "apart"    // a cgroup beside the functions' parent
	PlatformBeside   = "beside"   // a cgroup beside the functions, as one of them
	PlatformFunction = "function" // the cgroup of the function that the request is for
)

// PlatformCgroups are the values of Platform.Cgroup.
var PlatformCgroups = []string{PlatformApart, PlatformBeside, PlatformFunction}

// Spec names a scheduler and its parameters.
type Spec struct {
	Name   string              // one of sim.Names
	Order  string              // of alps: one of model.Orders; "" is bounded. sfs: off is slices only
	Step   time.Duration       // of bounded: bias between neighbouring ranks; 0 is model.DefaultStep
	Gaps   float64             // of sfs: the slice is so many mean gaps between arrivals at one CPU; 0 is 1
	Params policy.Params       // of alps, and sfs's window and period; the zero value is policy.Paper
	Steady policy.SteadyParams // of steady and scx; the zero value is policy.DefaultSteady
}

// Check says everything that is wrong with a run, and fills in what s leaves out.
// Whether s names a scheduler is not known here.
func Check(c Config, s *Spec, invocations []Invocation) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("simulate: "+format, args...)) }
	if c.Cores < 1 || c.Cores > maxCores {
		bad("cores: %d is outside [1, %d]", c.Cores, maxCores)
	}
	for name, d := range map[string]time.Duration{"tick": c.Tick, "switch": c.Switch, "refill": c.Refill, "share lag": c.ShareLag, "drain": c.Drain,
		"platform cpu": c.Platform.CPU, "platform lock": c.Platform.Lock, "platform delay": c.Platform.Delay, "platform jitter": c.Platform.Jitter} {
		if d < 0 || d > 24*time.Hour {
			bad("%s: %v is outside [0s, 24h]", name, d)
		}
	}
	if g := c.Platform.Cgroup; g != "" && !slices.Contains(PlatformCgroups, g) {
		bad("platform cgroup: %q: allowed: %s", g, strings.Join(PlatformCgroups, ", "))
	}
	if err := c.Platform.CheckLock(); err != nil {
		bad("platform lock: %w", err)
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
