// SPDX-License-Identifier: Apache-2.0

package model

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/policy"
)

// The table in integers is the policy's: indices but for rounding, quanta exactly.
func TestSteadyIsTheTableInIntegers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	p := policy.DefaultSteady()
	for range 50 {
		s, err := policy.NewSteady(p)
		require.NoError(t, err)
		scale, shape := math.Exp(r.Float64()*15)*1e4, 0.3+3*r.Float64()
		for range r.IntN(100) {
			s.Record("f", time.Duration(min(scale*math.Pow(1-r.Float64(), -1/shape), float64(3*time.Hour))))
		}
		s.Update()
		want := s.Table("f")
		got := NewSteady(&p, want)
		for range 500 {
			used := time.Duration(math.Exp(r.Float64() * math.Log(float64(4*time.Hour))))
			// A slope is off by 1/2^21 at most, over a step of hours.
			require.InDelta(t, float64(want.Index(used)), float64(got.Table.Index(used)), 2+float64(used)/(1<<20), "%s", used)
			require.Equal(t, want.End(used), got.Table.End(used))
		}
		require.Equal(t, want.Index(0), got.Table.Index(0))
		require.Equal(t, want.Index(10*time.Hour), got.Table.Index(10*time.Hour))
	}
}

func TestSteadyRules(t *testing.T) {
	p := policy.DefaultSteady()
	s, err := policy.NewSteady(p)
	require.NoError(t, err)
	for range 30 { // nine in ten take 50 ms, one a second
		for range 9 {
			s.Record("f", 50*time.Millisecond)
		}
		s.Record("f", time.Second)
	}
	s.Update()
	f := NewSteady(&p, s.Table("f"))
	bias := func(used, other time.Duration) time.Duration { return f.Bias(f.Table.Index(used), other) }
	fresh := f.Table.Index(0)
	young, old := bias(0, NoOne), bias(100*time.Millisecond, NoOne)
	require.Less(t, young, old)
	require.Equal(t, young, bias(100*time.Millisecond, fresh), "one that never ran is worth more")
	require.Less(t, bias(999*time.Millisecond, fresh), young, "unless the other is about to end")
	require.Greater(t, f.Idle(), bias(10*time.Second, NoOne))

	slice := func(used, sliceUsed time.Duration, ran bool, other time.Duration) time.Duration {
		return f.Slice(f.Table.Index(used), used, sliceUsed, ran, other)
	}
	require.InDelta(t, float64(50*time.Millisecond), float64(slice(0, 0, false, NoOne)), float64(8*time.Millisecond), "to the end of the short ones")
	require.Equal(t, slice(0, 0, false, NoOne), slice(20*time.Millisecond, 20*time.Millisecond, true, NoOne), "the slice is that of its begin")
	require.Zero(t, slice(100*time.Millisecond, 0, true, fresh), "CFS's own beside one that never ran")
	require.NotZero(t, slice(100*time.Millisecond, 0, true, NoOne))
	require.NotZero(t, slice(0, 0, false, fresh), "it is one of those itself")
	require.Equal(t, MaxSlice, slice(time.Hour, 0, true, NoOne))
	require.GreaterOrEqual(t, slice(time.Second-time.Microsecond, 0, true, NoOne), LeastSlice)

	server := f.Table.StrangerIndex(ServerGrace - 1)
	require.Less(t, f.Bias(server, NoOne), young, "a server that needs little goes before a new invocation")
	require.Equal(t, f.Bias(server, NoOne), bias(100*time.Millisecond, server), "also if another would be next")
	require.Zero(t, slice(30*time.Millisecond, 0, true, server), "and before one that is nearly done")
	require.Equal(t, fresh, f.Table.StrangerIndex(ServerGrace), "one that needs more is worth as much as that invocation")

	nothing := NewSteady(&p, &policy.Table{})
	require.Equal(t, 50*time.Millisecond, nothing.Table.Index(0))
}
