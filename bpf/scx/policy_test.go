// SPDX-License-Identifier: Apache-2.0

package scx

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/bpf"
)

// Whatever steady learns of short functions, whose tables have steps 1 ns long, becomes
// a rule that the scheduler takes, and that says what the table says.
func TestEveryTableIsARule(t *testing.T) {
	for name, draw := range map[string]func(*rand.Rand) float64{
		"normal, 60 µs":    func(r *rand.Rand) float64 { return 60e3 + 20e3*r.NormFloat64() },
		"lognormal, 30 µs": func(r *rand.Rand) float64 { return 30e3 * math.Exp(.5*r.NormFloat64()) },
		"lognormal, 1 ms":  func(r *rand.Rand) float64 { return 1e6 * math.Exp(.2*r.NormFloat64()) },
	} {
		y, err := policy.NewSteady(policy.DefaultSteady())
		require.NoError(t, err)
		p, r := y.Params(), rand.New(rand.NewPCG(1, 2))
		for i := range 8_000 {
			uid := string(rune('a' + i%4))
			y.Record(uid, time.Duration(draw(r)))
			y.Update()
			table := model.NewSteady(&p, y.Table(uid)).Table
			rule := steadyRule(&table)
			require.NoError(t, rule.Check(), "%s, record %d", name, i)
			for _, s := range rule.Steps {
				require.Equal(t, max(s.Index, policy.MinIndex), table.Index(min(s.From, table.Seen-1)), "%s, record %d, %+v", name, i, s)
			}
		}
	}

	// Steps with one From, which a table of package policy does not have.
	table := model.Table{Seen: 10}
	for i := range table.Steps {
		table.Steps[i].From = model.Never
	}
	copy(table.Steps[:], []model.Step{{Index: 1, End: 3}, {Index: 2, End: 4}, {From: 5, Index: 3, End: 6}, {From: 5, Index: 4, End: 5}})
	require.Equal(t, Rule{Seen: 10, Steps: []Step{{Index: 2, End: 4}, {From: 5, Index: 4, End: 6}}}, steadyRule(&table))
}

// A policy in the scheduler's terms: ranks keep their order below the bound,
// steady's tables are steps, SFS is two biases.
func TestRulesOfAPolicy(t *testing.T) {
	_, rules := RulesOf(model.Policy{Entries: map[uint64]model.Entry{1: {Bias: 9 * time.Second}, 2: {Bias: 72 * time.Second}}})
	require.Equal(t, 2250*time.Millisecond, rules[1].Bias)
	require.Equal(t, MaxBias, rules[2].Bias)
	_, rules = RulesOf(model.Policy{Entries: map[uint64]model.Entry{1: {Bias: 1, Slice: time.Second, LateBias: model.StrictStep}}})
	require.Equal(t, Rule{Bias: 1, Slice: time.Second, LateBias: MaxBias}, rules[1])

	_, rules = RulesOf(model.Policy{Entries: map[uint64]model.Entry{1: {}}})
	require.Equal(t, map[bpf.CgroupID]Rule{1: {}}, rules, "the zero Entry is what a function without one has")

	y, err := policy.NewSteady(policy.DefaultSteady())
	require.NoError(t, err)
	p := y.Params()
	_, rules = RulesOf(model.Policy{Entries: map[uint64]model.Entry{1: {Steady: model.NewSteady(&p, y.Table("f"))}}})
	require.Len(t, rules[1].Steps, 1, "nothing is known at all")
	for range 30 {
		y.Record("f", 70*time.Millisecond)
	}
	y.Update()
	s := model.NewSteady(&p, y.Table("f"))
	order, rules := RulesOf(model.Policy{Entries: map[uint64]model.Entry{1: {Steady: s}}})
	require.Equal(t, model.SchedExtOctave, order.Octave)
	require.Equal(t, s.Table.Seen, rules[1].Seen)
	require.Equal(t, s.Table.Steps[0].Index, rules[1].Steps[0].Index)
	require.Equal(t, MaxBias, model.SchedExtMaxBias)
	require.Equal(t, SlopeBits, model.SlopeBits)
	require.Equal(t, MaxSteps, policy.MaxSteps)
	for used := time.Duration(0); used < 60*time.Millisecond; used += time.Millisecond {
		index := s.Table.Index(used)
		require.InDelta(t, s.SchedExtBias(used), order.Bias(index), float64(order.Octave)/2+1, "by half octaves, index %s", index)
	}
}
