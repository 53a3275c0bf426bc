// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// Interval is the middle 95 % of a bootstrap's draws, in the statistic's unit; NaN where there are no draws.
type Interval struct{ Lo, Hi float64 }

// Draws is how many draws a bootstrap makes. Their seed depends on the number of rounds only, so
// two distributions with equally many rounds and blocks are drawn alike, round for round and block
// for block: runs that replayed the same arrivals are compared draw by draw.
const Draws = 300

// Bootstrap is the interval of every statistic; NaN where there is none. Its error is that of Redraw.
func (d Distribution) Bootstrap(stats []string) ([]Interval, error) {
	found, err := d.Redraw(stats)
	if err != nil {
		return nil, err
	}
	out := make([]Interval, len(stats))
	for i := range out {
		out[i] = Middle95(found[i])
	}
	return out, nil
}

// Middle95 is the middle 95 % of values; those that are NaN do not count. Without any other it is NaN.
func Middle95(values []float64) Interval {
	v := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	if len(v) == 0 {
		return Interval{math.NaN(), math.NaN()}
	}
	slices.Sort(v)
	return Interval{v[int(0.025*float64(len(v)))], v[int(0.975*float64(len(v)))]}
}

// Redraw draws rounds, and in each as many blocks as a round has, with replacement. It returns every statistic's
// values, one per draw: NaN where a draw has no sample of a rare group; nil for a maximum, without blocks and for
// fewer than 2 samples. An unknown statistic is an error where something is drawn.
func (d Distribution) Redraw(stats []string) ([][]float64, error) {
	found := make([][]float64, len(stats))
	if d.blocks == 0 || d.N() < 2 {
		return found, nil
	}
	// Quantiles are found in one walk, so they are asked for in order.
	type want struct {
		at int
		p  float64
	}
	var quantiles []want
	means, below := []int{}, map[int]float64{}
	for i, name := range stats {
		if name == "max" { // a bootstrap says nothing of a maximum
			continue
		}
		found[i] = slices.Repeat([]float64{math.NaN()}, Draws)
		limit, isShare, err := shareLimit(name)
		if err != nil {
			return nil, err
		}
		if name == "mean" {
			means = append(means, i)
			continue
		}
		if isShare {
			below[i] = limit
			continue
		}
		p, err := Percentile(name)
		if err != nil {
			return nil, err
		}
		quantiles = append(quantiles, want{i, p})
	}
	slices.SortFunc(quantiles, func(a, b want) int { return cmp.Compare(a.p, b.p) })
	size, sum := make([]float64, d.Rounds*d.blocks), make([]float64, d.Rounds*d.blocks)
	for _, s := range d.samples {
		size[s.Block] += float64(s.Count)
		sum[s.Block] += s.Value * float64(s.Count)
	}
	rng := rand.New(rand.NewPCG(2024, uint64(d.Rounds)))
	weight, ranks := make([]int32, len(size)), make([]float64, len(quantiles))
	for draw := range Draws {
		clear(weight)
		for range d.Rounds {
			r := rng.IntN(d.Rounds)
			for range d.blocks {
				weight[r*d.blocks+rng.IntN(d.blocks)]++
			}
		}
		n, total := 0.0, 0.0
		for b, w := range weight {
			n += float64(w) * size[b]
			total += float64(w) * sum[b]
		}
		if n == 0 {
			continue // a rare group, and none of its blocks was drawn
		}
		for _, i := range means {
			found[i][draw] = total / n
		}
		for i, limit := range below {
			seen := 0.0
			for _, s := range d.samples {
				if s.Value > limit {
					break
				}
				seen += float64(weight[s.Block]) * float64(s.Count)
			}
			found[i][draw] = 100 * seen / n
		}
		for k, q := range quantiles {
			ranks[k] = rankOf(q.p * n)
		}
		seen, k := 0.0, 0
		for _, s := range d.samples {
			if k == len(quantiles) {
				break
			}
			seen += float64(weight[s.Block]) * float64(s.Count)
			for k < len(quantiles) && seen >= ranks[k] && seen > 0 {
				found[quantiles[k].at][draw] = s.Value
				k++
			}
		}
	}
	return found, nil
}

// RatioMiddle95 is the middle 95 % of a/b over the draws of two statistics (Redraw): the n-th draw of
// both has the same rounds and blocks, see Draws. It is NaN if either has no draws.
func RatioMiddle95(a, b []float64) Interval {
	var ratios []float64
	for i := range min(len(a), len(b)) {
		ratios = append(ratios, a[i]/b[i])
	}
	return Middle95(ratios)
}
