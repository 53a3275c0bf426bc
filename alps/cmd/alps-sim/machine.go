// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/ds2-lab/alps/alps/sim"
	"github.com/ds2-lab/alps/experiments"
	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/internal/cli"
)

// machineFlags are a simulated machine as flags: a file chosen by -machine,
// changed by the flags that were given.
type machineFlags struct {
	fs    *flag.FlagSet
	name  string
	given sim.Config
	apply map[string]func(*sim.Config)
}

func newMachineFlags(fs *flag.FlagSet) *machineFlags {
	f := &machineFlags{fs: fs, apply: map[string]func(*sim.Config){}}
	fs.StringVar(&f.name, "machine", "paper", "`name` or path: paper, guest (this project's, with a server per function), bare, oracle, another of experiments/machines,\nor a machine's YAML")
	fs.IntVar(&f.given.Cores, "cores", 0, "`n` cores; else the machine's, 24 of paper")
	f.apply["cores"] = func(c *sim.Config) { c.Cores = f.given.Cores }
	length := func(name string, field func(*sim.Config) *time.Duration, usage string) {
		fs.DurationVar(field(&f.given), name, 0, usage+"; else the machine's")
		f.apply[name] = func(c *sim.Config) { *field(c) = *field(&f.given) }
	}
	length("switch", func(c *sim.Config) *time.Duration { return &c.Switch }, "a core loses so much when it changes tasks")
	length("refill", func(c *sim.Config) *time.Duration { return &c.Refill }, "CPU time to fill a cache that others have used")
	length("share-lag", func(c *sim.Config) *time.Duration { return &c.ShareLag }, "an ended task counts so long, by and large, in the load of its cgroup")
	length("platform-cpu", func(c *sim.Config) *time.Duration { return &c.Platform.CPU }, "CPU time of the platform per invocation")
	length("platform-lock", func(c *sim.Config) *time.Duration { return &c.Platform.Lock }, "not 0: the platform is a server per function, with a lock that each request holds three times for so much CPU time")
	length("platform-delay", func(c *sim.Config) *time.Duration { return &c.Platform.Delay }, "what the platform takes without a CPU")
	length("platform-jitter", func(c *sim.Config) *time.Duration { return &c.Platform.Jitter }, "and uniformly up to so much more")
	fs.StringVar(&f.given.Platform.Cgroup, "platform-cgroup", "", "`where` the platform's processes are, and so with whom they compete: apart (a cgroup beside the functions' parent),\nbeside (one beside the functions) or function (the function's own); else as the machine says")
	f.apply["platform-cgroup"] = func(c *sim.Config) { c.Platform.Cgroup = f.given.Platform.Cgroup }
	return f
}

// Config is the machine, without functions and seed, once the flags are parsed.
func (f *machineFlags) Config() (sim.Config, error) {
	m, err := config.FindMachine(experiments.Files, f.name)
	if err != nil {
		return sim.Config{}, err
	}
	c := m.Config()
	f.fs.Visit(func(x *flag.Flag) {
		if apply, ok := f.apply[x.Name]; ok {
			apply(&c)
		}
	})
	errs := []error{cli.CheckCores(c.Cores)}
	for _, cost := range []struct {
		name string
		d    time.Duration
	}{{"switch", c.Switch}, {"refill", c.Refill}, {"share-lag", c.ShareLag}, {"platform-cpu", c.Platform.CPU}, {"platform-lock", c.Platform.Lock}, {"platform-delay", c.Platform.Delay}, {"platform-jitter", c.Platform.Jitter}} {
		if cost.d < 0 || cost.d > config.MaxCost {
			errs = append(errs, fmt.Errorf("%s: %s is outside [0s, %s]", cost.name, cost.d, config.MaxCost))
		}
	}
	return c, errors.Join(errs...)
}
