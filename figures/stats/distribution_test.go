// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"gonum.org/v1/gonum/stat"
)

// noise is a run of n values about 100 with a mean shift by round.
func noise(n int, seed uint64, shift float64) Distribution {
	rng := rand.New(rand.NewPCG(seed, 1))
	s := make([]Sample, n)
	for i := range s {
		s[i] = Sample{100 + shift + 10*rng.NormFloat64(), 1, uint16(i * Blocks(n) / n)}
	}
	return New(s, Blocks(n))
}

func TestDistCountsAsSortedValuesDo(t *testing.T) {
	d := New([]Sample{{Value: 9, Count: 10}, {Value: 4, Count: 60}, {Value: 5, Count: 30}}, 0)
	var flat []float64
	for _, s := range d.samples {
		flat = append(flat, slices.Repeat([]float64{s.Value}, int(s.Count))...)
	}
	for _, p := range []float64{0, 0.01, 0.6, 0.601, 0.75, 0.9, 0.91, 1} {
		require.Equal(t, stat.Quantile(p, stat.Empirical, flat, nil), d.Quantile(p), "%g", p)
	}
	require.InDelta(t, 4.8, d.Mean(), 1e-9)
	require.InDelta(t, 60, d.ShareUpTo(4), 1e-9)
	require.InDelta(t, 90, d.ShareUpTo(8.9), 1e-9)
	require.Zero(t, d.ShareUpTo(3))
	require.True(t, math.IsNaN(New(nil, 50).Quantile(0.5)))
	require.True(t, math.IsNaN(New(nil, 50).Mean()))
	share, err := d.Statistic("upto8.9")
	require.NoError(t, err)
	require.InDelta(t, 90, share, 1e-9)
	for _, bad := range []string{"median", "p", "p101", "p-1", "upto", "uptown", "pNaN", "uptoNaN", "upto+Inf"} {
		_, err := d.Statistic(bad)
		require.Error(t, err, bad)
	}
	_, err = d.Statistic("median")
	require.EqualError(t, err, `stat "median": want mean, max, a percentile such as p99.5, or a share such as upto1000`)
	for name, want := range map[string]int64{"p50": 10, "p90": 50, "p99": 200, "p99.9": 2000, "mean": 1} {
		require.Equal(t, want, Needed(name), name)
		require.True(t, Of(make([]float64, want)).Has(name), "a claim asks for no less than a picture: %s", name)
	}
}

// A percentile is the nearest rank, whatever floating point makes of the product of share and count: 0.55 × 100 is
// a little above 55.
func TestPercentilesAreTheNearestRank(t *testing.T) {
	for _, n := range []int{20, 100, 200, 1000} {
		values := make([]float64, n)
		for i := range values {
			values[i] = float64(i + 1)
		}
		d := Of(values)
		for p := 1; p <= 100; p++ {
			got, err := d.Statistic(fmt.Sprintf("p%d", p))
			require.NoError(t, err)
			require.Equal(t, float64((p*n+99)/100), got, "p%d of 1 to %d", p, n)
		}
	}
	got, err := Of([]float64{1, 2, 3}).Statistic("p33.4")
	require.NoError(t, err)
	require.Equal(t, 2.0, got, "a third is not quite 33.4 %")
}

func TestBootstrap(t *testing.T) {
	stats := []string{"mean", "p50", "p90", "max"}
	one, err := noise(5000, 1, 0).Bootstrap(stats)
	require.NoError(t, err)
	// 1.96 × 10/√5000 on either side of the mean.
	require.InDelta(t, 2*1.96*10/math.Sqrt(5000), one[0].Hi-one[0].Lo, 0.2)
	require.True(t, one[0].Lo < 100.3 && one[0].Hi > 99.7, "%v", one[0])
	require.True(t, one[1].Lo < 100.4 && one[1].Hi > 99.6, "%v", one[1])
	require.True(t, one[2].Lo < 113.2 && one[2].Hi > 112.4, "%v", one[2])
	require.True(t, math.IsNaN(one[3].Lo), "there is none of a maximum")

	// Rounds that differ from each other widen the interval more than the samples within a round do.
	apart := Pool([]Distribution{noise(5000, 1, -5), noise(5000, 2, 0), noise(5000, 3, 5)})
	three, err := apart.Bootstrap(stats)
	require.NoError(t, err)
	require.Greater(t, three[0].Hi-three[0].Lo, 5.0)
	again, err := apart.Bootstrap(stats)
	require.NoError(t, err)
	require.Equal(t, three[:3], again[:3], "the same draws")

	// Samples of one block are drawn together: blocks that differ widen the interval.
	runs := noise(5000, 1, 0)
	for i := range runs.samples {
		runs.samples[i].Value += float64(runs.samples[i].Block % 2 * 100)
	}
	alike, err := New(runs.samples, 50).Bootstrap(stats)
	require.NoError(t, err)
	require.Greater(t, alike[0].Hi-alike[0].Lo, 15.0)

	// A value that was seen three times counts as three samples do.
	var single, counted []Sample
	for i := range 200 {
		s := Sample{float64(i * i % 97), 3, uint16(i / 20)}
		counted = append(counted, s)
		s.Count = 1
		single = append(single, s, s, s)
		if i%2 == 0 {
			counted[i].Count, single = 1, single[:len(single)-2]
		}
	}
	which := []string{"mean", "p50", "p99", "upto40"}
	asOne, err := New(counted, 10).Redraw(which)
	require.NoError(t, err)
	each, err := New(single, 10).Redraw(which)
	require.NoError(t, err)
	for i := range which {
		require.InDeltaSlice(t, each[i], asOne[i], 1e-9, which[i])
	}

	none, err := New([]Sample{{Value: 1, Count: 9}}, 0).Bootstrap(stats)
	require.NoError(t, err)
	require.True(t, math.IsNaN(none[0].Lo), "on-CPU segments know no blocks")
}

// Two distributions with the same rounds and blocks are drawn alike: the ratio of their statistics is the same in every draw.
func TestRedrawPairs(t *testing.T) {
	a := Pool([]Distribution{noise(400, 1, 0), noise(400, 2, 20)})
	double := slices.Clone(a.samples)
	for i := range double {
		double[i].Value *= 2
	}
	b := New(double, a.blocks)
	b.Rounds = a.Rounds
	one, err := a.Redraw([]string{"mean", "upto100"})
	require.NoError(t, err)
	two, err := b.Redraw([]string{"mean", "upto200"})
	require.NoError(t, err)
	for i := range Draws {
		require.InDelta(t, 2, two[0][i]/one[0][i], 1e-9)
		require.InDelta(t, one[1][i], two[1][i], 1e-9)
	}
	require.Equal(t, 20, Blocks(400))
	require.Equal(t, 50, Blocks(15000))
	short := Pool([]Distribution{noise(400, 1, 0), noise(300, 1, 0)})
	require.Zero(t, short.blocks, "rounds of other lengths are not drawn")
}

func BenchmarkBootstrap(b *testing.B) {
	d := Pool([]Distribution{noise(15000, 1, 0), noise(15000, 2, 0), noise(15000, 3, 0)})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Bootstrap([]string{"p50", "p90", "p99", "mean"}); err != nil {
			b.Fatal(err)
		}
	}
}
