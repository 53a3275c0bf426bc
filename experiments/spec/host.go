package spec

import (
	"fmt"

	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/internal/yamlx"
)

// What a Host part measures.
const (
	MeasureGroups = "groups" // the share of invocations per group
	MeasureCost   = "cost"   // the time of an update of the policy
)

// Host is what the program computes or measures by itself.
type Host struct {
	Measure  yamlx.At[string]   `yaml:"measure"`
	Records  []yamlx.At[int]    `yaml:"records"`  // of cost: so many in a window
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
	h.Mixes = c.workloads(p)
	switch {
	case h.Measure.V == MeasureCost && (len(h.Records) == 0 || len(h.Learners) == 0):
		c.add(h.Measure.Pos(), "measure", "cost needs records and learners")
	case h.Measure.V == MeasureGroups && (h.Records != nil || h.Learners != nil):
		c.add(h.Measure.Pos(), "measure", "groups has no records and no learners; cost has")
	case h.Measure.V != MeasureCost && h.Measure.V != MeasureGroups:
		c.add(h.Measure.Pos(), "measure", "%q: allowed: %s, %s", h.Measure.V, MeasureGroups, MeasureCost)
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
