package figures

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// sample is a value, how often it was seen, and in which block of a run.
type sample struct {
	value float64
	count int64
	block uint16
}

// dist is a distribution of one or several rounds. Samples are sorted.
type dist struct {
	samples []sample
	upTo    []int64 // how many are at or below samples[i]
	rounds  int
	blocked bool // the samples know their blocks
}

// blocks of consecutive invocations per run. What queues together is alike, so
// the bootstrap draws blocks and not single invocations.
const blocks = 50

func newDist(samples []sample, blocked bool) dist {
	slices.SortFunc(samples, func(a, b sample) int { return cmp.Compare(a.value, b.value) })
	d := dist{samples: samples, upTo: make([]int64, len(samples)), rounds: 1, blocked: blocked}
	n := int64(0)
	for i, s := range samples {
		n += s.count
		d.upTo[i] = n
	}
	return d
}

// pool makes one distribution of several rounds.
func pool(rounds []dist) dist {
	if len(rounds) == 1 {
		return rounds[0]
	}
	var all []sample
	blocked := true
	for r, d := range rounds {
		blocked = blocked && d.blocked
		for _, s := range d.samples {
			s.block += uint16(r * blocks)
			all = append(all, s)
		}
	}
	d := newDist(all, blocked)
	d.rounds = len(rounds)
	return d
}

func (d dist) n() int64 {
	if len(d.upTo) == 0 {
		return 0
	}
	return d.upTo[len(d.upTo)-1]
}

// quantile is the smallest value with at least the share p at or below it;
// NaN of nothing.
func (d dist) quantile(p float64) float64 {
	if d.n() == 0 {
		return math.NaN()
	}
	want := p * float64(d.n())
	i, _ := slices.BinarySearchFunc(d.upTo, want, func(n int64, w float64) int { return cmp.Compare(float64(n), w) })
	return d.samples[min(i, len(d.samples)-1)].value
}

func (d dist) mean() float64 {
	sum := 0.0
	for _, s := range d.samples {
		sum += s.value * float64(s.count)
	}
	return sum / float64(d.n())
}

// shareBelow is the share of values at or below v; NaN of nothing.
func (d dist) shareBelow(v float64) float64 {
	if d.n() == 0 {
		return math.NaN()
	}
	i, _ := slices.BinarySearchFunc(d.samples, v, func(s sample, v float64) int {
		if s.value <= v {
			return -1
		}
		return 1
	})
	if i == 0 {
		return 0
	}
	return float64(d.upTo[i-1]) / float64(d.n())
}

// stat is the mean, the maximum or a percentile such as p99.5 by its name.
func (d dist) stat(name string) (float64, error) {
	switch name {
	case "mean":
		return d.mean(), nil
	case "max":
		return d.quantile(1), nil
	}
	p, err := percentile(name)
	if err != nil {
		return 0, err
	}
	return d.quantile(p), nil
}

// percentile is the share that a name such as p99.5 means.
func percentile(name string) (float64, error) {
	q, err := strconv.ParseFloat(strings.TrimPrefix(name, "p"), 64)
	if err != nil || !strings.HasPrefix(name, "p") || q < 0 || q > 100 {
		return 0, fmt.Errorf("stat %q: want mean, max or a percentile", name)
	}
	return q / 100, nil
}

// interval holds a bootstrap's middle 95 %.
type interval struct{ lo, hi float64 }

// draws of the bootstrap, always the same ones.
const draws = 300

// bootstrap draws rounds, and in each as many blocks as it has, with
// replacement, and returns the interval of every statistic. Without blocks
// there is none: NaN.
func (d dist) bootstrap(stats []string) ([]interval, error) {
	none := interval{math.NaN(), math.NaN()}
	out := slices.Repeat([]interval{none}, len(stats))
	if !d.blocked || d.n() < 2 {
		return out, nil
	}
	// Quantiles are found in one walk, so they are asked for in order.
	type want struct {
		at int
		p  float64
	}
	var quantiles []want
	means := []int{}
	for i, name := range stats {
		switch name {
		case "mean":
			means = append(means, i)
		case "max": // a bootstrap says nothing of a maximum
		default:
			p, err := percentile(name)
			if err != nil {
				return nil, err
			}
			quantiles = append(quantiles, want{i, p})
		}
	}
	slices.SortFunc(quantiles, func(a, b want) int { return cmp.Compare(a.p, b.p) })
	size, sum := make([]float64, d.rounds*blocks), make([]float64, d.rounds*blocks)
	for _, s := range d.samples {
		size[s.block]++
		sum[s.block] += s.value
	}
	found := make([][]float64, len(stats))
	rng := rand.New(rand.NewPCG(2024, uint64(d.rounds)))
	weight := make([]int32, len(size))
	for range draws {
		clear(weight)
		for range d.rounds {
			r := rng.IntN(d.rounds)
			for range blocks {
				weight[r*blocks+rng.IntN(blocks)]++
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
			found[i] = append(found[i], total/n)
		}
		seen, k := 0.0, 0
		for _, s := range d.samples {
			seen += float64(weight[s.block])
			for k < len(quantiles) && seen >= quantiles[k].p*n && seen > 0 {
				found[quantiles[k].at] = append(found[quantiles[k].at], s.value)
				k++
			}
			if k == len(quantiles) {
				break
			}
		}
	}
	for i, v := range found {
		if len(v) > 0 {
			slices.Sort(v)
			out[i] = interval{v[int(0.025*float64(len(v)))], v[int(0.975*float64(len(v)))]}
		}
	}
	return out, nil
}
