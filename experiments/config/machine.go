// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/ds2-lab/alps/alps/sim"
	"github.com/ds2-lab/alps/alps/sim/setup"
	"github.com/ds2-lab/alps/internal/yamlx"
)

// Machine is the hardware that a run simulates: machines/NAME.yaml.
type Machine struct {
	Name     yamlx.At[string]        `yaml:"name"`
	Cores    yamlx.At[int]           `yaml:"cores"`
	Switch   yamlx.At[time.Duration] `yaml:"switch"`    // lost when a core changes tasks
	Refill   yamlx.At[time.Duration] `yaml:"refill"`    // CPU time to fill a cache that others used
	ShareLag yamlx.At[time.Duration] `yaml:"share_lag"` // time constant with which an ended process fades from its cgroup's load
	Platform *Platform               `yaml:"platform"`
}

// Platform is what a request takes before the invocation's process exists.
type Platform struct {
	CPU    yamlx.At[time.Duration] `yaml:"cpu"`
	Cgroup yamlx.At[string]        `yaml:"cgroup"` // in which the CPU time is used: one of sim's; "" is apart
	Lock   yamlx.At[time.Duration] `yaml:"lock"`   // a server with a lock, which each request holds three times for so long: see sim
	Delay  yamlx.At[time.Duration] `yaml:"delay"`  // passes before the CPU time, on no CPU
	Jitter yamlx.At[time.Duration] `yaml:"jitter"` // uniformly up to so much more delay
}

// RenamedKeys implements yamlx.Renamer.
func (Platform) RenamedKeys() map[string]string { return map[string]string{"beside": "cgroup"} }

// Largest values that make sense.
const (
	MaxCores = 4096
	MaxCost  = time.Second
)

// Config is the machine without functions and seed.
func (m Machine) Config() sim.Config {
	c := sim.Config{Cores: m.Cores.V, Switch: m.Switch.V, Refill: m.Refill.V, ShareLag: m.ShareLag.V}
	if p := m.Platform; p != nil {
		c.Platform = sim.Platform{CPU: p.CPU.V, Cgroup: p.Cgroup.V, Lock: p.Lock.V, Delay: p.Delay.V, Jitter: p.Jitter.V}
	}
	return c
}

// FindMachine loads the machine that a person names: one of machines/ in own, or the path
// of a machine's YAML.
func FindMachine(own fs.FS, name string) (Machine, error) {
	if m, err := LoadMachine(own, path.Join("machines", name+".yaml")); err == nil || !isNotExist(err) {
		return m, err
	}
	m, err := LoadMachine(Disk{}, name)
	if isNotExist(err) {
		names, _ := fs.Glob(own, "machines/*.yaml")
		for i, n := range names {
			names[i] = strings.TrimSuffix(path.Base(n), ".yaml")
		}
		return m, fmt.Errorf("machine %q: no such file; allowed: %s, or the path of a machine's YAML", name, strings.Join(names, ", "))
	}
	return m, err
}

// LoadMachine reads a machine's YAML.
func LoadMachine(fsys fs.FS, file string) (Machine, error) {
	data, err := fs.ReadFile(fsys, file)
	if err != nil {
		return Machine{}, fmt.Errorf("machine: %w", err)
	}
	var m Machine
	if err := yamlx.Decode(file, data, &m); err != nil {
		return Machine{}, err
	}
	errs := &yamlx.Errors{File: file}
	if !nameRE.MatchString(m.Name.V) {
		errs.Add(m.Name.Pos(), "name", "%q: a name such as paper is needed", m.Name.V)
	}
	if m.Cores.V < 1 || m.Cores.V > MaxCores {
		errs.Add(m.Cores.Pos(), "cores", "%d: allowed: 1 to %d", m.Cores.V, MaxCores)
	}
	cost := func(key string, d yamlx.At[time.Duration]) {
		if d.V < 0 || d.V > MaxCost {
			errs.Add(d.Pos(), key, "%s: allowed: 0s to %s", d.V, MaxCost)
		}
	}
	cost("switch", m.Switch)
	cost("refill", m.Refill)
	cost("share_lag", m.ShareLag)
	if p := m.Platform; p != nil {
		cost("platform.cpu", p.CPU)
		cost("platform.lock", p.Lock)
		cost("platform.delay", p.Delay)
		cost("platform.jitter", p.Jitter)
		if g := p.Cgroup; !g.IsZero() && !slices.Contains(setup.PlatformCgroups, g.V) {
			errs.Add(g.Pos(), "platform.cgroup", "%q: allowed: %s", g.V, strings.Join(setup.PlatformCgroups, ", "))
		}
		if err := m.Config().Platform.CheckLock(); err != nil {
			errs.Add(p.Lock.Pos(), "platform.lock", "%v", err)
		}
	}
	return m, errs.Err()
}
