// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/ds2-lab/alps/alps/sim"
	"github.com/ds2-lab/alps/internal/yamlx"
)

// Sim is a part that is simulated: every series on every workload at every load.
type Sim struct {
	Machine     yamlx.At[string] `yaml:"machine"` // a file in machines/, without .yaml
	Invocations yamlx.At[int]    `yaml:"invocations"`
	Rounds      yamlx.At[int]    `yaml:"rounds"` // each with a seed of its own; 0 is 1

	// Cores make the part a grid: every series on every workload at every load on each
	// of these numbers of cores, in place of the machine's. A grid keeps a table of
	// means and percentiles, and no invocations.
	Cores []yamlx.At[int] `yaml:"cores"`

	Seed   uint64              `yaml:"-"`
	Mixes  []Workload          `yaml:"-"`
	Loads  []yamlx.At[float64] `yaml:"-"`
	Series []Series            `yaml:"-"`

	machine Machine
}

// Config is the machine for one series, without functions.
func (p Sim) Config(s Series, round int) sim.Config {
	m := p.machine
	if s.machine != nil {
		m = *s.machine
	}
	c := m.Config()
	c.Seed = p.RoundSeed(round)
	return c
}

// RoundSeed is the seed of a round, which counts from 1.
func (p Sim) RoundSeed(round int) uint64 { return p.Seed + uint64(round) - 1 }

// Load is the load that a series is given where the figure shows the part's i-th,
// from 0.
func (p Sim) Load(s Series, i int) float64 {
	if s.Loads != nil {
		return s.Loads[i].V
	}
	return p.Loads[i].V
}

// Largest values that make sense.
const (
	MaxInvocations = 10_000_000
	MaxGaps        = 1e6
	MaxDrain       = 24 * time.Hour
)

func (c checker) sim(p part) Sim {
	s := p.Sim
	s.Seed, s.Loads, s.Series = p.Seed.V, p.Loads, p.Series
	c.foreign(p, p.VM, p.Host)
	s.Mixes = c.workloads(p)
	if s.Machine.IsZero() {
		c.add(p.Engine.Pos(), "machine", "missing; name a file of machines/")
	} else {
		s.machine = c.machine("machine", s.Machine)
	}
	if s.Invocations.IsZero() {
		c.add(p.Engine.Pos(), "invocations", "missing; say how many each run has")
	} else if s.Invocations.V < 1 || s.Invocations.V > MaxInvocations {
		c.add(s.Invocations.Pos(), "invocations", "%d: allowed: 1 to %d", s.Invocations.V, MaxInvocations)
	}
	if s.Rounds.V < 0 || s.Rounds.V > 100 {
		c.add(s.Rounds.Pos(), "rounds", "%d: allowed: 1 to 100", s.Rounds.V)
	}
	for i, n := range s.Cores {
		if n.V < 1 || n.V > 1024 {
			c.add(n.Pos(), fmt.Sprintf("cores[%d]", i), "%d: allowed: 1 to 1024", n.V)
		}
	}
	c.loads(p)
	c.series(p, sim.Names())
	for i, x := range s.Series {
		at := fmt.Sprintf("series[%d].", i)
		name := x.scheduler()
		if !x.On.IsZero() || !x.Kernel.IsZero() || !x.Backend.IsZero() {
			c.add(x.Name.Pos(), at+"name", "%q: on, kernel and backend are not for engine sim", x.Name.V)
		}
		if !x.Gaps.IsZero() && (name.V != "sfs" || !(x.Gaps.V > 0 && x.Gaps.V <= MaxGaps)) {
			c.add(x.Gaps.Pos(), at+"gaps", "%v: for sfs only, and in (0, %g]", x.Gaps.V, MaxGaps)
		}
		if !x.Machine.IsZero() {
			m := c.machine(at+"machine", x.Machine)
			s.Series[i].machine = &m
		}
		if s.Cores != nil && (!x.Machine.IsZero() || x.Loads != nil) {
			c.add(x.Name.Pos(), at+"name", "%q: machine and loads are not for a part with cores", x.Name.V)
		}
		if x.Loads != nil && len(x.Loads) != len(s.Loads) {
			c.add(x.Name.Pos(), at+"loads", "%d loads for the part's %d", len(x.Loads), len(s.Loads))
		}
		for k, l := range x.Loads {
			c.load(fmt.Sprintf("%sloads[%d]", at, k), l)
		}
	}
	return s
}

// machine loads the machine that at names; an error becomes a complaint.
func (c checker) machine(key string, at yamlx.At[string]) Machine {
	m, err := LoadMachine(Disk{}, filepath.Join(c.dir, "machines", at.V+".yaml"))
	c.readable(key, at, err)
	return m
}
