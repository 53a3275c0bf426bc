// SPDX-License-Identifier: Apache-2.0

// Package stats is the one stack of statistics: distributions of weighted samples,
// their percentiles and means, and the bootstrap over rounds and blocks. Pure.
//
// The percentile rule: p90 is the smallest value with at least nine tenths of all
// values at or below it. There is no interpolation: a percentile is a value that was seen.
package stats

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// MinP99 is how many samples a 99th percentile needs; with fewer the maximum
// is shown, and called so.
const MinP99 = 200

// Sample is a value, how often it was seen, and in which block of a run.
type Sample struct {
	Value float64 // in the unit of what was measured
	Count int64   // of samples with that value
	Block uint16
}

// Distribution is of one or several rounds. The zero Distribution is of nothing.
type Distribution struct {
	Rounds  int      // that were pooled
	samples []Sample // sorted
	upTo    []int64  // how many are at or below samples[i]
	blocks  int      // of consecutive invocations in each round; 0: the samples know none
}

// Blocks is how many blocks a run has: 5 to 50, of twenty invocations or more if it has 100 invocations or more.
// Invocations that queue together wait alike, so the bootstrap draws blocks and not single invocations.
func Blocks(invocations int) int { return min(50, max(5, invocations/20)) }

// New makes the distribution of one round, and sorts its samples. Their blocks
// count from 0 to below blocks; with 0 there is no bootstrap.
func New(samples []Sample, blocks int) Distribution {
	slices.SortFunc(samples, func(a, b Sample) int { return cmp.Compare(a.Value, b.Value) })
	d := Distribution{samples: samples, upTo: make([]int64, len(samples)), Rounds: 1, blocks: blocks}
	n := int64(0)
	for i, s := range samples {
		n += s.Count
		d.upTo[i] = n
	}
	return d
}

// Of makes the distribution of values that count once each.
func Of(values []float64) Distribution {
	samples := make([]Sample, len(values))
	for i, v := range values {
		samples[i] = Sample{Value: v, Count: 1}
	}
	return New(samples, 0)
}

// Pool makes one distribution of one or more rounds. Where their numbers of blocks differ there is no bootstrap.
func Pool(rounds []Distribution) Distribution {
	if len(rounds) == 1 {
		return rounds[0]
	}
	var all []Sample
	blocks := rounds[0].blocks
	for r, d := range rounds {
		if d.blocks != blocks { // rounds of other lengths
			blocks = 0
		}
		for _, s := range d.samples {
			s.Block += uint16(r * blocks)
			all = append(all, s)
		}
	}
	d := New(all, blocks)
	d.Rounds = len(rounds)
	return d
}

// Samples are the values in ascending order. They must not be changed.
func (d Distribution) Samples() []Sample { return d.samples }

// N is how many values there are.
func (d Distribution) N() int64 {
	if len(d.upTo) == 0 {
		return 0
	}
	return d.upTo[len(d.upTo)-1]
}

// Quantile is the smallest value with at least the share p (0 to 1) at or below it;
// NaN of nothing.
func (d Distribution) Quantile(p float64) float64 {
	if d.N() == 0 {
		return math.NaN()
	}
	want := rankOf(p * float64(d.N()))
	i, _ := slices.BinarySearchFunc(d.upTo, want, func(n int64, w float64) int { return cmp.Compare(float64(n), w) })
	return d.samples[min(i, len(d.samples)-1)].Value
}

// rankOf is a product of a share and a count without the rounding error of its share: 0.55 × 100 is
// 55.000000000000007, and the 55th percentile of a hundred values is the 55th of them.
func rankOf(product float64) float64 {
	if whole := math.Round(product); math.Abs(product-whole) <= 1e-9*product {
		return whole
	}
	return product
}

// Mean is NaN of nothing.
func (d Distribution) Mean() float64 {
	sum := 0.0
	for _, s := range d.samples {
		sum += s.Value * float64(s.Count)
	}
	return sum / float64(d.N())
}

// ShareUpTo is the share of values at or below v, in %; NaN of nothing.
func (d Distribution) ShareUpTo(v float64) float64 {
	if d.N() == 0 {
		return math.NaN()
	}
	i, _ := slices.BinarySearchFunc(d.samples, v, func(s Sample, v float64) int {
		if s.Value <= v {
			return -1
		}
		return 1
	})
	if i == 0 {
		return 0
	}
	return 100 * float64(d.upTo[i-1]) / float64(d.N())
}

// Statistic is the statistic of that name: mean, max, a percentile such as p99.5, or, as upto1000, the share of
// values of at most 1000, in %. It is NaN of nothing. Any other name is an error.
func (d Distribution) Statistic(name string) (float64, error) {
	switch name {
	case "mean":
		return d.Mean(), nil
	case "max":
		return d.Quantile(1), nil
	}
	if limit, ok, err := shareLimit(name); err != nil || ok {
		return d.ShareUpTo(limit), err
	}
	p, err := Percentile(name)
	if err != nil {
		return 0, err
	}
	return d.Quantile(p), nil
}

// Has says whether there are enough samples for a statistic: a percentile needs two
// values on either side of it.
func (d Distribution) Has(name string) bool {
	p, err := Percentile(name)
	return err != nil || float64(d.N())*min(p, 1-p) >= 2-1e-9
}

// Needed is how many samples a claim's statistic needs: of a percentile, five on
// either side, and from the 99th on MinP99 and as many as Has asks for.
func Needed(name string) int64 {
	p, err := Percentile(name)
	switch {
	case err != nil || p == 0 || p == 1:
		return 1
	case p >= 0.99:
		return max(MinP99, whole(2/(1-p)))
	}
	return whole(5 / min(p, 1-p))
}

// whole is the least whole number from v on; what lies above one by the rounding of a quotient only counts as that one.
func whole(v float64) int64 { return int64(math.Ceil(v - 1e-6)) }

// shareLimit is the number in a name such as upto1000.
func shareLimit(name string) (limit float64, ok bool, err error) {
	text, ok := strings.CutPrefix(name, "upto")
	if !ok {
		return 0, false, nil
	}
	if limit, err = strconv.ParseFloat(text, 64); err != nil || math.IsNaN(limit) || math.IsInf(limit, 0) {
		err = fmt.Errorf("stat %q: want a number after upto", name)
	}
	return limit, true, err
}

// Percentile is the share (0 to 1) that a name such as p99.5 means.
func Percentile(name string) (float64, error) {
	q, err := strconv.ParseFloat(strings.TrimPrefix(name, "p"), 64)
	if err != nil || !strings.HasPrefix(name, "p") || !(q >= 0 && q <= 100) {
		return 0, fmt.Errorf("stat %q: want mean, max, a percentile such as p99.5, or a share such as upto1000", name)
	}
	return q / 100, nil
}
