package figures

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
)

// noise is a run of n values about 100 with a mean shift by round.
func noise(n int, seed uint64, shift float64) dist {
	rng := rand.New(rand.NewPCG(seed, 1))
	s := make([]sample, n)
	for i := range s {
		s[i] = sample{100 + shift + 10*rng.NormFloat64(), 1, uint16(i * blocksOf(n) / n)}
	}
	return newDist(s, blocksOf(n))
}

func TestDistCountsAsSortedValuesDo(t *testing.T) {
	d := newDist([]sample{{value: 9, count: 10}, {value: 4, count: 60}, {value: 5, count: 30}}, 0)
	var flat []float64
	for _, s := range d.samples {
		flat = append(flat, slices.Repeat([]float64{s.value}, int(s.count))...)
	}
	for _, p := range []float64{0, 0.01, 0.6, 0.601, 0.75, 0.9, 0.91, 1} {
		require.Equal(t, results.Quantile(p, flat), d.quantile(p), "%g", p)
	}
	require.InDelta(t, 4.8, d.mean(), 1e-9)
	require.InDelta(t, 60, d.shareBelow(4), 1e-9)
	require.InDelta(t, 90, d.shareBelow(8.9), 1e-9)
	require.Zero(t, d.shareBelow(3))
	require.True(t, math.IsNaN(newDist(nil, 50).quantile(0.5)))
	require.True(t, math.IsNaN(newDist(nil, 50).mean()))
	share, err := d.stat("upto8.9")
	require.NoError(t, err)
	require.InDelta(t, 90, share, 1e-9)
	for _, bad := range []string{"median", "p", "p101", "p-1", "upto", "uptown"} {
		_, err := d.stat(bad)
		require.Error(t, err, bad)
	}
}

func TestBootstrap(t *testing.T) {
	stats := []string{"mean", "p50", "p90", "max"}
	one, err := noise(5000, 1, 0).bootstrap(stats)
	require.NoError(t, err)
	// 1.96 × 10/√5000 on either side of the mean.
	require.InDelta(t, 2*1.96*10/math.Sqrt(5000), one[0].hi-one[0].lo, 0.2)
	require.True(t, one[0].lo < 100.3 && one[0].hi > 99.7, "%v", one[0])
	require.True(t, one[1].lo < 100.4 && one[1].hi > 99.6, "%v", one[1])
	require.True(t, one[2].lo < 113.2 && one[2].hi > 112.4, "%v", one[2])
	require.True(t, math.IsNaN(one[3].lo), "there is none of a maximum")

	// Rounds that differ count for more than what is within them.
	apart := pool([]dist{noise(5000, 1, -5), noise(5000, 2, 0), noise(5000, 3, 5)})
	three, err := apart.bootstrap(stats)
	require.NoError(t, err)
	require.Greater(t, three[0].hi-three[0].lo, 5.0)
	again, err := apart.bootstrap(stats)
	require.NoError(t, err)
	require.Equal(t, three[:3], again[:3], "the same draws")

	// What lies together is drawn together.
	runs := noise(5000, 1, 0)
	for i := range runs.samples {
		runs.samples[i].value += float64(runs.samples[i].block % 2 * 100)
	}
	alike, err := newDist(runs.samples, 50).bootstrap(stats)
	require.NoError(t, err)
	require.Greater(t, alike[0].hi-alike[0].lo, 15.0)

	none, err := newDist([]sample{{value: 1, count: 9}}, 0).bootstrap(stats)
	require.NoError(t, err)
	require.True(t, math.IsNaN(none[0].lo), "turns know no blocks")
}

// The draws of what was replayed alike are alike: their ratios are steadier than either.
func TestRedrawPairs(t *testing.T) {
	a := pool([]dist{noise(400, 1, 0), noise(400, 2, 20)})
	double := slices.Clone(a.samples)
	for i := range double {
		double[i].value *= 2
	}
	b := newDist(double, a.blocks)
	b.rounds = a.rounds
	one, err := a.redraw([]string{"mean", "upto100"})
	require.NoError(t, err)
	two, err := b.redraw([]string{"mean", "upto200"})
	require.NoError(t, err)
	for i := range draws {
		require.InDelta(t, 2, two[0][i]/one[0][i], 1e-9)
		require.InDelta(t, one[1][i], two[1][i], 1e-9)
	}
	require.Equal(t, 20, blocksOf(400))
	require.Equal(t, 50, blocksOf(15000))
	short := pool([]dist{noise(400, 1, 0), noise(300, 1, 0)})
	require.Zero(t, short.blocks, "rounds of other lengths are not drawn")
}

func BenchmarkBootstrap(b *testing.B) {
	d := pool([]dist{noise(15000, 1, 0), noise(15000, 2, 0), noise(15000, 3, 0)})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.bootstrap([]string{"p50", "p90", "p99", "mean"}); err != nil {
			b.Fatal(err)
		}
	}
}
