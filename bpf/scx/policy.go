// SPDX-License-Identifier: Apache-2.0

package scx

import (
	"time"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/bpf"
)

// RulesOf are a policy in the scheduler's terms. Biases above MaxBias are made smaller
// together, so that their order stays. A function without an entry has no rule: for it,
// as by the hooks, there is no bias.
func RulesOf(p model.Policy) (order Order, rules map[bpf.CgroupID]Rule) {
	most := time.Duration(0)
	for _, e := range p.Entries {
		if e.LateBias == 0 {
			most = max(most, e.Bias)
		}
	}
	scale := min(1, float64(MaxBias)/float64(max(most, 1)))
	order.Octave = model.SchedExtOctave
	rules = make(map[bpf.CgroupID]Rule, len(p.Entries))
	for id, e := range p.Entries {
		r := Rule{Bias: time.Duration(float64(e.Bias) * scale), Slice: e.Slice, LateBias: min(e.LateBias, MaxBias)}
		if e.Steady != nil {
			order.Octave, order.Floor = min(e.Steady.Params.Octave, model.SchedExtOctave), e.Steady.Params.Floor
			r = steadyRule(&e.Steady.Table)
		}
		rules[bpf.CgroupID(id)] = r
	}
	return order, rules
}

// steadyRule is a table in the scheduler's terms.
func steadyRule(t *model.Table) Rule {
	r := Rule{Seen: t.Seen}
	for _, s := range t.Steps {
		if s.From == model.Never {
			break
		}
		step := Step{From: s.From, Index: s.Index, Slope: s.Slope, End: max(s.End, s.From+1)}
		if n := len(r.Steps); n > 0 && r.Steps[n-1].From >= s.From {
			r.Steps[n-1] = step // pieces of a table can be shorter than 1 ns: as in the table, the last of them counts
			continue
		}
		r.Steps = append(r.Steps, step)
	}
	if len(r.Steps) == 0 { // nothing is known, of no function
		r.Steps = []Step{{Index: t.Least, End: 2 * t.Least}}
		r.Seen = t.Least
	}
	return r
}
