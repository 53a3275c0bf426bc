package figures

import (
	"cmp"
	"fmt"
	"math"
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
	blocks  int // of consecutive invocations in each round; 0: the samples know none
}

// blocksOf is how many blocks a run has. What queues together is alike, so the
// bootstrap draws blocks, of twenty invocations or more, and not single ones.
func blocksOf(invocations int) int { return min(50, max(5, invocations/20)) }

func newDist(samples []sample, blocks int) dist {
	slices.SortFunc(samples, func(a, b sample) int { return cmp.Compare(a.value, b.value) })
	d := dist{samples: samples, upTo: make([]int64, len(samples)), rounds: 1, blocks: blocks}
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
	blocks := rounds[0].blocks
	for r, d := range rounds {
		if d.blocks != blocks { // rounds of other lengths
			blocks = 0
		}
		for _, s := range d.samples {
			s.block += uint16(r * blocks)
			all = append(all, s)
		}
	}
	d := newDist(all, blocks)
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

// shareBelow is the share of values at or below v, in %; NaN of nothing.
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
	return 100 * float64(d.upTo[i-1]) / float64(d.n())
}

// stat is by its name the mean, the maximum, a percentile such as p99.5, or the
// share of values of at most 1000 as upto1000.
func (d dist) stat(name string) (float64, error) {
	switch name {
	case "mean":
		return d.mean(), nil
	case "max":
		return d.quantile(1), nil
	}
	if limit, ok, err := shareLimit(name); err != nil || ok {
		return d.shareBelow(limit), err
	}
	p, err := percentile(name)
	if err != nil {
		return 0, err
	}
	return d.quantile(p), nil
}

// has says whether the samples are enough for a statistic: a percentile is none
// without two values on either side of it.
func (d dist) has(name string) bool {
	p, err := percentile(name)
	return err != nil || float64(d.n())*min(p, 1-p) >= 2-1e-9
}

// shareLimit is what a name such as upto1000 asks for.
func shareLimit(name string) (limit float64, ok bool, err error) {
	text, ok := strings.CutPrefix(name, "upto")
	if !ok {
		return 0, false, nil
	}
	if limit, err = strconv.ParseFloat(text, 64); err != nil {
		err = fmt.Errorf("stat %q: want a number after upto", name)
	}
	return limit, true, err
}

// percentile is the share that a name such as p99.5 means.
func percentile(name string) (float64, error) {
	q, err := strconv.ParseFloat(strings.TrimPrefix(name, "p"), 64)
	if err != nil || !strings.HasPrefix(name, "p") || q < 0 || q > 100 {
		return 0, fmt.Errorf("stat %q: want mean, max or a percentile", name)
	}
	return q / 100, nil
}
