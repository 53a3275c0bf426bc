// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"

	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/internal/yamlx"
)

// What a Host part measures.
const (
	MeasureGroups = "groups" // the share of invocations per group
	MeasureCost   = "cost"   // the time of an update of the policy
	MeasureIndex  = "index"  // the index of three kinds of functions under steady
	MeasureHooks  = "hooks"  // what the hooks cost: the target kernel:cost does it
	MeasureCode   = "code"   // the code itself: the target figures:draw does it
)

// others are the measures that another target makes than experiments:run, with that
// target.
var others = map[string]string{MeasureHooks: "kernel:cost", MeasureCode: "figures:draw"}

// Host is a part that is neither measured in a guest nor simulated: package simulate
// computes it, or the target in others makes it.
type Host struct {
	Measure  yamlx.At[string]   `yaml:"measure"`
	Records  []yamlx.At[int]    `yaml:"records"`  // of cost: sizes of the window
	Learners []yamlx.At[string] `yaml:"learners"` // of cost

	Mixes []Workload       `yaml:"-"`
	Learn []policy.Learner `yaml:"-"`
}

func (c checker) host(p part) Host {
	h := p.Host
	c.foreign(p, p.VM, p.Sim)
	if p.Loads != nil || p.Series != nil {
		c.add(p.Engine.Pos(), "loads", "not for engine host, nor is series")
	}
	if others[h.Measure.V] == "" && h.Measure.V != MeasureIndex {
		h.Mixes = c.workloads(p)
	} else if p.Workloads != nil {
		c.add(p.Engine.Pos(), "workloads", "not for measure %s", h.Measure.V)
	}
	switch {
	case h.Measure.V == MeasureCost && (len(h.Records) == 0 || len(h.Learners) == 0):
		c.add(h.Measure.Pos(), "measure", "cost needs records and learners")
	case h.Measure.V != MeasureCost && (h.Records != nil || h.Learners != nil):
		c.add(h.Measure.Pos(), "measure", "%s has no records and no learners; cost has", h.Measure.V)
	case h.Measure.V != MeasureCost && h.Measure.V != MeasureGroups && h.Measure.V != MeasureIndex && others[h.Measure.V] == "":
		c.add(h.Measure.Pos(), "measure", "%q: allowed: %s, %s, %s, %s, %s", h.Measure.V, MeasureGroups, MeasureCost, MeasureIndex, MeasureHooks, MeasureCode)
	}
	for i, n := range h.Records {
		if n.V < 1 || n.V > 1_000_000 {
			c.add(n.Pos(), fmt.Sprintf("records[%d]", i), "%d: allowed: 1 to 1000000", n.V)
		}
	}
	for i, name := range h.Learners {
		var l policy.Learner
		if err := l.UnmarshalText([]byte(name.V)); err != nil {
			c.add(name.Pos(), fmt.Sprintf("learners[%d]", i), "%v", err)
		}
		h.Learn = append(h.Learn, l)
	}
	return h
}
