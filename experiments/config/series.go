// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/alps/sim"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/yamlx"
)

// Series is one scheduler with its parameters.
type Series struct {
	Name      yamlx.At[string]         `yaml:"name"`
	Scheduler Scheduler                `yaml:"scheduler"` // left out: the name
	Order     yamlx.At[string]         `yaml:"order"`
	Step      yamlx.At[time.Duration]  `yaml:"step"`   // of order bounded: bias between neighbouring ranks
	Params    map[string]yamlx.At[any] `yaml:"params"` // by JSON names: changes to the paper's, for steady to the defaults

	// Of engine sim.
	Gaps    yamlx.At[float64]   `yaml:"gaps"`    // of sfs: the slice is so many mean gaps between arrivals at one CPU
	Machine yamlx.At[string]    `yaml:"machine"` // in place of the part's
	Loads   []yamlx.At[float64] `yaml:"loads"`   // what this series is given in place of each of the part's loads, which the figure shows

	// Of engine vm.
	Backend yamlx.At[string] `yaml:"backend"` // of alps and steady: how the policy reaches the kernel; "" is hooks
	On      yamlx.At[string] `yaml:"on"`      // nothing runs: the scheduler is given what that series measured
	Kernel  yamlx.At[string] `yaml:"kernel"`  // in kernels.yaml, in place of that of the other guests

	machine *Machine
}

// Sim is the simulator's specification of the series.
func (s Series) Sim() (sim.Spec, error) {
	out := sim.Spec{Name: s.scheduler().V}
	var err error
	switch {
	case out.Name == "sfs":
		out.Order, out.Gaps = s.Order.V, cmp.Or(s.Gaps.V, 1)
	case FollowsPolicy(out.Name):
		out.Order = cmp.Or(s.Order.V, model.OrderBounded)
		out.Step = cmp.Or(s.Step.V, time.Second)
		out.Params, err = policyParams(s.Params)
	case out.Name == Steady:
		out.Steady, err = steadyParams(s.Params)
	}
	return out, err
}

// Steady is the scheduler with policy.SteadyParams.
const Steady = "steady"

// steadyParams are the defaults with changes by their JSON names.
func steadyParams(changes map[string]yamlx.At[any]) (policy.SteadyParams, error) {
	p := policy.DefaultSteady()
	err := change(&p, func() error { return p.Validate() }, changes)
	return p, err
}

// FollowsPolicy says whether a scheduler has order, step and policy.Params.
func FollowsPolicy(scheduler string) bool { return scheduler == "alps" || scheduler == "ghost-alps" }

// policyParams are the paper's with changes by their JSON names.
func policyParams(changes map[string]yamlx.At[any]) (policy.Params, error) {
	p := policy.Paper()
	err := change(&p, func() error { return p.Validate() }, changes)
	return p, err
}

// change sets the fields of to that changes names, by JSON names, and validates it.
func change(to any, validate func() error, changes map[string]yamlx.At[any]) error {
	if len(changes) == 0 {
		return nil
	}
	values := map[string]any{}
	for k, v := range changes {
		values[k] = v.V
	}
	data, err := json.Marshal(values)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, to); err != nil {
		return err
	}
	return validate()
}

// series checks the keys that series of both engines have. allowed are the
// schedulers that the part's engine runs.
func (c checker) series(p part, allowed []string) {
	if len(p.Series) == 0 {
		c.add(p.Engine.Pos(), "series", "missing; give at least one")
	}
	seen := map[string]bool{}
	for i, x := range p.Series {
		at := fmt.Sprintf("series[%d].", i)
		if !nameRE.MatchString(x.Name.V) {
			c.add(x.Name.Pos(), at+"name", "%q: small letters, digits, '.' and '-' are allowed", x.Name.V)
		}
		if seen[x.Name.V] {
			c.add(x.Name.Pos(), at+"name", "%q is there twice", x.Name.V)
		}
		seen[x.Name.V] = true
		name := x.scheduler()
		if x.Scheduler.isProgram() {
			if p.Engine.V != results.EngineVM {
				c.add(name.Pos(), at+"scheduler", "a command is not for engine %s", p.Engine.V)
			}
			c.program(at, x)
			continue
		}
		if x.On.IsZero() && !slices.Contains(allowed, name.V) {
			c.add(name.Pos(), at+"scheduler", "%q: allowed: %s", name.V, strings.Join(allowed, ", "))
		}
		if FollowsPolicy(name.V) {
			c.alps(at, x)
		} else if name.V == Steady && x.Order.IsZero() && x.Step.IsZero() {
			if _, err := steadyParams(x.Params); err != nil {
				c.add(x.Name.Pos(), at+"params", "%v", err)
			}
		} else if name.V == "sfs" && p.Engine.V == results.EngineSim && x.Step.IsZero() && x.Params == nil {
			if !x.Order.IsZero() && x.Order.V != model.OrderOff {
				c.add(x.Order.Pos(), at+"order", "%q: of sfs only off is allowed: slices only", x.Order.V)
			}
		} else if !x.Order.IsZero() || !x.Step.IsZero() || x.Params != nil {
			c.add(name.Pos(), at+"scheduler", "%q has no order, step or params; alps and ghost-alps have, steady has params", name.V)
		}
	}
}

// alps checks order, step and parameters of a scheduler that follows the policy.
func (c checker) alps(at string, x Series) {
	if x.Order.V != "" && !slices.Contains(model.Orders(), x.Order.V) {
		c.add(x.Order.Pos(), at+"order", "%q: allowed: %s", x.Order.V, strings.Join(model.Orders(), ", "))
	}
	if !x.Step.IsZero() && (x.Step.V < time.Microsecond || x.Step.V > MaxStep) {
		c.add(x.Step.Pos(), at+"step", "%s: allowed: 1us to %s", x.Step.V, MaxStep)
	}
	if _, err := policyParams(x.Params); err != nil {
		c.add(x.Name.Pos(), at+"params", "%v", err)
	}
}

// loads checks the loads of a part.
func (c checker) loads(p part) {
	if len(p.Loads) == 0 {
		c.add(p.Engine.Pos(), "loads", "missing; give at least one")
	}
	for i, l := range p.Loads {
		c.load(fmt.Sprintf("loads[%d]", i), l)
	}
}
