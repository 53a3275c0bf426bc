// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat"
)

func guess(t *testing.T, l Learner, ys ...float64) float64 {
	p := Paper()
	p.Learner = l
	return policyOf(t, p).learn(ys, stat.Mean(ys, nil))
}

func TestLearners(t *testing.T) {
	for _, c := range []struct {
		learner Learner
		ys      []float64
		want    float64
	}{
		{Average, []float64{7}, 7},
		{Average, []float64{1, 2, 6}, 3},
		{LinearRegression, []float64{7}, 7},
		{LinearRegression, []float64{10, 20}, 30},
		{LinearRegression, []float64{10, 20, 30, 40}, 50},
		{LinearRegression, []float64{0, 0, 3}, 4}, // slope 3/2 through (1, 1)
		{LinearRegression, []float64{9, 1}, 0},    // −7, but no slice is negative
		{LinearRegression, []float64{5, 5, 5, 5}, 5},
		{EWMA, []float64{7}, 7},
		{EWMA, []float64{5, 5, 5}, 5},
		{EWMA, []float64{10, 20}, (0.8*10 + 20) / 1.8},
		{EWMA, []float64{1, 2, 3}, (0.64*1 + 0.8*2 + 3) / 2.44},
		{RandomForest, []float64{7}, 7},
		{RandomForest, []float64{3, 7}, 7}, // one row: what followed 3
		{RandomForest, []float64{5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5}, 5},
	} {
		require.InDelta(t, c.want, guess(t, c.learner, c.ys...), 1e-9, "%v of %v", c.learner, c.ys)
	}
}

// The forest sees what an average cannot: that long follows short.
func TestForestLearnsAPattern(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var ys []float64
	for i := range 301 {
		ys = append(ys, 10+90*float64(i%2)+rng.Float64())
	}
	require.InDelta(t, 100.5, guess(t, RandomForest, ys...), 1) // after 10
	require.InDelta(t, 10.5, guess(t, RandomForest, ys[:300]...), 1)
	require.InDelta(t, 55, guess(t, Average, ys...), 1)
}

// The forest also sees that the level has changed.
func TestForestLearnsAStep(t *testing.T) {
	ys := make([]float64, 100)
	for i := range ys {
		ys[i] = 20
		if i >= 60 {
			ys[i] = 80
		}
	}
	require.InDelta(t, 80, guess(t, RandomForest, ys...), 1e-9)
	require.InDelta(t, 44, guess(t, Average, ys...), 1e-9)
}

// brute is one split of forest.split, by trying every threshold and summing
// the squares anew.
func brute(f *forest, targets []float64) (branch, bool) {
	sse := func(rows []int32) float64 {
		n, sum := 0.0, 0.0
		for _, r := range rows {
			n, sum = n+float64(f.weight[r]), sum+float64(f.weight[r])*targets[r]
		}
		e := 0.0
		for _, r := range rows {
			e += float64(f.weight[r]) * math.Pow(targets[r]-sum/n, 2)
		}
		return e
	}
	least, best, found := sse(f.node[0])-1e-6, branch{}, false
	for i := range features {
		for _, r := range f.node[i] {
			below := f.rows[i][r]
			var left, right []int32
			l, g := 0, 0
			for _, q := range f.node[i] {
				if f.rows[i][q] < below {
					left, l = append(left, q), l+int(f.weight[q])
				} else {
					right, g = append(right, q), g+int(f.weight[q])
				}
			}
			if l < minLeaf || g < minLeaf {
				continue
			}
			if e := sse(left) + sse(right); e < least-1e-9 {
				least, best, found = e, branch{feature: i, below: below}, true
			}
		}
	}
	return best, found
}

func TestForestSplitsWhereTheErrorFallsMost(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	found := 0
	for range 300 {
		ys := make([]float64, 2+rng.IntN(40))
		for i := range ys {
			ys[i] = float64(rng.IntN(30))
		}
		var f forest
		f.describe(ys)
		targets := ys[1:]
		for r := range targets {
			f.weight[r] = 1 + int32(rng.IntN(2))
		}
		for i := range features {
			copy(f.node[i], f.sorted[i])
		}
		want, wantOK := brute(&f, targets)
		got, ok := f.split(targets)
		require.Equal(t, wantOK, ok)
		if ok {
			found++
			require.Equal(t, want.feature, got.feature)
			require.Equal(t, want.below, got.below)
		}
	}
	require.Greater(t, found, 100)
}

func TestForestStaysWithinWhatWasSeen(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 200 {
		ys := make([]float64, 2+rng.IntN(100))
		lo, hi := math.Inf(1), 0.0
		for i := range ys {
			ys[i] = rng.ExpFloat64() * 1e8
			lo, hi = min(lo, ys[i]), max(hi, ys[i])
		}
		got := guess(t, RandomForest, ys...)
		require.GreaterOrEqual(t, got, lo*(1-1e-9))
		require.LessOrEqual(t, got, hi*(1+1e-9))
		// A forest used before says the same.
		var used forest
		used.predict([]float64{1, 2, 3, 4, 5, 6, 7, 8, 9}, 4)
		require.Equal(t, got, used.predict(ys, Paper().Seed))
	}
}

func TestForestDescribesASlice(t *testing.T) {
	var f forest
	asked := f.describe([]float64{1, 2, 4, 8, 16, 32})
	require.Equal(t, [features]float64{6, 32, 15}, asked)
	require.Equal(t, [features][]float64{{1, 2, 3, 4, 5}, {1, 2, 4, 8, 16}, {1, 1.5, 7. / 3, 3.75, 7.5}}, f.rows)
}
