package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ds2-lab/alps/alps/sim"
	"github.com/ds2-lab/alps/internal/yamlx"
)

// Sim is what runs in virtual time: every series on every workload at every
// load.
type Sim struct {
	Cores       yamlx.At[int]           `yaml:"cores"`
	Invocations yamlx.At[int]           `yaml:"invocations"`
	Loads       []yamlx.At[float64]     `yaml:"loads"` // of the cores
	Platform    *Platform               `yaml:"platform"`
	Switch      yamlx.At[time.Duration] `yaml:"switch"` // lost when a core changes tasks
	Refill      yamlx.At[time.Duration] `yaml:"refill"` // CPU time to fill a cache that others used
	ShareLag    yamlx.At[time.Duration] `yaml:"share_lag"`
	Series      []Series                `yaml:"series"`

	Seed  uint64     `yaml:"-"`
	Mixes []Workload `yaml:"-"`
}

// Platform is what an invocation costs before its process exists.
type Platform struct {
	CPU    yamlx.At[time.Duration] `yaml:"cpu"`
	Beside yamlx.At[bool]          `yaml:"beside"` // what takes the CPU time competes as a function does
	Delay  yamlx.At[time.Duration] `yaml:"delay"`
	Jitter yamlx.At[time.Duration] `yaml:"jitter"` // uniformly up to so much more delay
}

// Series is one scheduler with its parameters.
type Series struct {
	Name      yamlx.At[string]         `yaml:"name"`
	Scheduler yamlx.At[string]         `yaml:"scheduler"` // of sim.Names; left out: the name
	Order     yamlx.At[string]         `yaml:"order"`
	Step      yamlx.At[time.Duration]  `yaml:"step"`
	Gaps      yamlx.At[float64]        `yaml:"gaps"` // of sfs: mean gaps in the first turn
	Params    map[string]yamlx.At[any] `yaml:"params"`
	Platform  *Platform                `yaml:"platform"` // in place of the part's
}

// Sim is the simulator's specification of the series.
func (s Series) Sim() (sim.Spec, error) {
	out := sim.Spec{Name: s.scheduler().V}
	var err error
	switch {
	case out.Name == "sfs":
		out.Gaps = cmp.Or(s.Gaps.V, 1)
	case FollowsPolicy(out.Name):
		out.Order = cmp.Or(s.Order.V, sim.OrderBounded)
		out.Step = cmp.Or(s.Step.V, time.Second)
		out.Params, err = policyParams(s.Params)
	}
	return out, err
}

func (s Series) scheduler() yamlx.At[string] {
	if s.Scheduler.IsZero() {
		return s.Name
	}
	return s.Scheduler
}

// FollowsPolicy says whether a scheduler has order, step and parameters.
func FollowsPolicy(scheduler string) bool { return scheduler == "alps" || scheduler == "ghost-alps" }

// Config is the machine for one series, without functions.
func (p Sim) Config(s Series) sim.Config {
	c := sim.Config{Cores: p.Cores.V, Seed: p.Seed, Switch: p.Switch.V, Refill: p.Refill.V, ShareLag: p.ShareLag.V}
	if pl := cmp.Or(s.Platform, p.Platform); pl != nil {
		c.Platform = sim.Platform{CPU: pl.CPU.V, Beside: pl.Beside.V, Delay: pl.Delay.V, Jitter: pl.Jitter.V}
	}
	return c
}

// Largest values that make sense.
const (
	MaxCores       = 4096
	MaxInvocations = 10_000_000
	MaxCost        = time.Second
	MaxGaps        = 1e6
	MaxDrain       = 24 * time.Hour
)

func (c checker) sim(p part) Sim {
	s := p.Sim
	s.Seed = p.Seed.V
	c.foreign(p, p.VM, p.Host)
	s.Mixes = c.workloads(p)
	if s.Cores.V < 1 || s.Cores.V > MaxCores {
		c.add(s.Cores.Pos(), "cores", "%d: allowed: 1 to %d", s.Cores.V, MaxCores)
	}
	if s.Invocations.V < 1 || s.Invocations.V > MaxInvocations {
		c.add(s.Invocations.Pos(), "invocations", "%d: allowed: 1 to %d", s.Invocations.V, MaxInvocations)
	}
	if len(s.Loads) == 0 {
		c.add(p.Engine.Pos(), "loads", "missing; give at least one")
	}
	for i, l := range s.Loads {
		c.load(fmt.Sprintf("loads[%d]", i), l)
	}
	c.cost("switch", s.Switch)
	c.cost("refill", s.Refill)
	c.cost("share_lag", s.ShareLag)
	c.platform("platform.", s.Platform)
	if len(s.Series) == 0 {
		c.add(p.Engine.Pos(), "series", "missing; give at least one")
	}
	seen := map[string]bool{}
	for i, x := range s.Series {
		at := fmt.Sprintf("series[%d].", i)
		c.name(at, x.Name, seen)
		name := x.scheduler()
		if !slices.Contains(sim.Names(), name.V) {
			c.add(name.Pos(), at+"scheduler", "%q: allowed: %s", name.V, strings.Join(sim.Names(), ", "))
		}
		if FollowsPolicy(name.V) {
			c.alps(at, x.Name, x.Order, x.Step, x.Params)
		} else if !x.Order.IsZero() || !x.Step.IsZero() || x.Params != nil {
			c.add(name.Pos(), at+"scheduler", "%q has no order, step or params; alps and ghost-alps have", name.V)
		}
		if !x.Gaps.IsZero() && (name.V != "sfs" || !(x.Gaps.V > 0 && x.Gaps.V <= MaxGaps)) {
			c.add(x.Gaps.Pos(), at+"gaps", "%v: for sfs only, and in (0, %g]", x.Gaps.V, MaxGaps)
		}
		c.platform(at+"platform.", x.Platform)
	}
	return s
}

func (c checker) platform(at string, p *Platform) {
	if p != nil {
		c.cost(at+"cpu", p.CPU)
		c.cost(at+"delay", p.Delay)
		c.cost(at+"jitter", p.Jitter)
	}
}

func (c checker) cost(key string, d yamlx.At[time.Duration]) {
	if d.V < 0 || d.V > MaxCost {
		c.add(d.Pos(), key, "%s: allowed: 0s to %s", d.V, MaxCost)
	}
}
