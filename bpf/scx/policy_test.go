// SPDX-License-Identifier: Apache-2.0

package scx

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/bpf"
)

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
