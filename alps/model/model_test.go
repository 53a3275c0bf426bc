// SPDX-License-Identifier: Apache-2.0

package model

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/policy"

	"github.com/ds2-lab/alps/internal/clock"
)

func TestBias(t *testing.T) {
	for _, c := range []struct {
		order string
		rank  int
		step  time.Duration
		want  time.Duration
	}{
		{OrderOff, 3, time.Second, 0},
		{OrderFIFO, 1, time.Second, time.Microsecond},
		{OrderFIFO, 9, time.Second, time.Microsecond},
		{OrderStrict, 3, time.Millisecond, 300 * time.Second},
		{OrderStrict, 21, time.Millisecond, 2100 * time.Second},
		{OrderStrict, 22, time.Millisecond, MaxBias},
		{OrderBounded, 1, time.Second, time.Second},
		{OrderBounded, 10_000, 30 * time.Minute, MaxBias},
		{OrderBounded, 1 << 40, 1 << 40, MaxBias}, // the product overflows
	} {
		require.Equal(t, c.want, Bias(c.order, c.rank, c.step), "%v", c)
	}
	for _, order := range Orders() {
		require.True(t, ValidOrder(order))
		before := time.Duration(0)
		for rank := 1; rank < 100; rank++ {
			b := Bias(order, rank, DefaultStep)
			require.GreaterOrEqual(t, b, before, "a higher rank never goes first")
			require.LessOrEqual(t, b, MaxBias)
			before = b
		}
	}
	require.False(t, ValidOrder("best"))
}

func TestUnknownRankIsTheMedian(t *testing.T) {
	_, ok := UnknownRank(nil)
	require.False(t, ok)
	for n, want := range map[int]int{1: 1, 2: 2, 3: 2, 4: 3} {
		var decisions []policy.Decision
		for i := range n {
			decisions = append(decisions, policy.Decision{Rank: i + 1})
		}
		rank, ok := UnknownRank(decisions)
		require.True(t, ok)
		require.Equal(t, want, rank)
	}
}

func TestSFSSliceIsTheMeanGapAtOneCPU(t *testing.T) {
	arrivals := func(at ...clock.KTime) (out []policy.Record) {
		for _, a := range at {
			out = append(out, policy.Record{Arrive: a * 1e6})
		}
		return out
	}
	_, ok := NewSFS(arrivals(5), 1, 1)
	require.False(t, ok)
	for _, c := range []struct {
		records []policy.Record
		cpus    int
		gaps    float64
		want    time.Duration
	}{
		{arrivals(0, 10, 20), 1, 1, 10 * time.Millisecond},
		{arrivals(20, 0, 13), 3, 1, 30 * time.Millisecond}, // by end, not by arrival
		{arrivals(0, 10), 3, 0.5, 15 * time.Millisecond},
		{arrivals(7, 7, 7), 4, 1, time.Millisecond},
		{arrivals(0, 3_600_000), 4, 1, MaxSlice},
	} {
		s, ok := NewSFS(c.records, c.cpus, c.gaps)
		require.True(t, ok)
		require.Equal(t, SFS{Fresh: time.Microsecond, Late: 100 * time.Second, Slice: c.want}, s)
	}
}

func TestSFSRules(t *testing.T) {
	s := SFS{Fresh: MinBias, Late: StrictStep, Slice: 20 * time.Millisecond}
	require.Equal(t, MinBias, s.Bias(1))
	require.Equal(t, StrictStep, s.Bias(0))
	require.Equal(t, StrictStep, s.Bias(-1), "a count that was off for a moment")
	require.Equal(t, 15*time.Millisecond, s.Left(5*time.Millisecond))
	require.Zero(t, s.Left(20*time.Millisecond))
	require.Zero(t, s.Left(time.Hour))
}
