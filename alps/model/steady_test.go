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
	young, old := f.Bias(0, false), f.Bias(100*time.Millisecond, false)
	require.Less(t, young, old)
	require.Equal(t, young, f.Bias(100*time.Millisecond, true), "one that never ran is worth more")
	require.Less(t, f.Bias(999*time.Millisecond, true), young, "unless the other is about to end")
	require.Greater(t, f.Idle(), f.Bias(10*time.Second, false))

	require.InDelta(t, float64(50*time.Millisecond), float64(f.Slice(0, 0, false, false)), float64(8*time.Millisecond), "to the end of the short ones")
	require.Equal(t, f.Slice(0, 0, false, false), f.Slice(20*time.Millisecond, 20*time.Millisecond, true, false), "the slice is that of its begin")
	require.Zero(t, f.Slice(100*time.Millisecond, 0, true, true), "CFS's own beside one that never ran")
	require.NotZero(t, f.Slice(100*time.Millisecond, 0, true, false))
	require.NotZero(t, f.Slice(0, 0, false, true), "it is one of those itself")
	require.Equal(t, MaxSlice, f.Slice(time.Hour, 0, true, false))
	require.GreaterOrEqual(t, f.Slice(time.Second-time.Microsecond, 0, true, false), LeastSlice)

	nothing := NewSteady(&p, &policy.Table{})
	require.Equal(t, 50*time.Millisecond, nothing.Table.Index(0))
}
