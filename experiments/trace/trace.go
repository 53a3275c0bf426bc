// SPDX-License-Identifier: Apache-2.0

// Package trace makes the sequence of invocations that an experiment replays.
//
// The sequence is generated from the workload's classes, distribution of gaps and a
// seed, or read from a file. Either way its gaps are in arbitrary units; Scale and
// Artifact turn them into due times.
package trace

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat/distuv"
)

// Class is one kind of invocation: a function with an argument.
type Class struct {
	Function string
	UID      string
	Port     string        // at which the function is served
	Group    string        // G1 to G4
	N        int           // the argument, as in the artifact
	CPU      time.Duration // isolated CPU time in the paper's set-up
	Share    float64       // of all invocations; shares sum to 1
}

// Row is one invocation of a trace.
type Row struct {
	Class int     // index into the classes
	Gap   float64 // time to the row before, in arbitrary units
}

// Distributions of gaps.
const (
	Poisson     = "poisson"     // of whole numbers: smoother than a Poisson process
	Exponential = "exponential" // a Poisson process
)

// Gap is a distribution of the time between invocations.
type Gap struct {
	Distribution string
	Mean         float64 // in arbitrary units
	Batch        float64 // rows of one class that come together, on average; up to 1: each alone
}

// Generate draws n rows: each class as often as its share says, to the nearest whole
// number, in random order, with gaps drawn from gap. Classes whose share rounds to
// fewer get atLeast rows, as far as n suffices, so that a short trace has them at all.
func Generate(classes []Class, n int, gap Gap, atLeast int, seed uint64) []Row {
	rng := rand.New(rand.NewPCG(seed, 0x616c7073))
	counts := apportion(classes, n, atLeast)
	rows := make([]Row, 0, n)
	for c, k := range counts {
		for range k {
			rows = append(rows, Row{Class: c})
		}
	}
	rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	var gaps distuv.Rander = distuv.Poisson{Lambda: gap.Mean, Src: rng}
	if gap.Distribution == Exponential {
		gaps = distuv.Exponential{Rate: 1 / gap.Mean, Src: rng}
	}
	for i := range rows {
		rows[i].Gap = gaps.Rand()
	}
	if gap.Batch > 1 {
		batch(rows, gap.Batch, rng)
	}
	return rows
}

// batch makes batches of rows, geometric in size with the given mean. All rows of a batch
// have the class of its first and come at the same time as that; the gap before the
// first is longer by the gaps of the others.
func batch(rows []Row, mean float64, rng *rand.Rand) {
	for i := 0; i < len(rows); {
		first := i
		for i++; i < len(rows) && rng.Float64() >= 1/mean; i++ {
			rows[first].Gap += rows[i].Gap
			rows[i] = Row{Class: rows[first].Class}
		}
	}
}

// apportion splits n by share, largest remainders first, and then lifts rare
// classes to atLeast at the expense of the most frequent one.
func apportion(classes []Class, n, atLeast int) []int {
	counts := make([]int, len(classes))
	left := n
	for c, cl := range classes {
		counts[c] = int(cl.Share * float64(n))
		left -= counts[c]
	}
	for ; left > 0; left-- {
		best, bestRest := 0, math.Inf(-1)
		for c, cl := range classes {
			if rest := cl.Share*float64(n) - float64(counts[c]); rest > bestRest {
				best, bestRest = c, rest
			}
		}
		counts[best]++
	}
	for c := range classes {
		for counts[c] < atLeast {
			most := 0
			for o := range counts {
				if counts[o] > counts[most] {
					most = o
				}
			}
			if counts[most] <= atLeast {
				return counts
			}
			counts[most]--
			counts[c]++
		}
	}
	return counts
}

// Repeat is the first n of rows, from the first again when they are used up.
func Repeat(rows []Row, n int) []Row {
	out := make([]Row, n)
	for i := range out {
		out[i] = rows[i%len(rows)]
	}
	return out
}

// reorderBlock is how many neighbouring rows stay together in Reorder, so that a trace
// keeps its bursts.
const reorderBlock = 100

// Reorder is n of rows in another order: blocks of neighbouring rows, shuffled
// anew each time the rows are used up.
func Reorder(rows []Row, n int, seed uint64) []Row {
	rng := rand.New(rand.NewPCG(seed, 0x726f7773))
	out := make([]Row, 0, n+len(rows))
	for len(out) < n {
		blocks := slices.Collect(slices.Chunk(rows, reorderBlock))
		rng.Shuffle(len(blocks), func(i, j int) { blocks[i], blocks[j] = blocks[j], blocks[i] })
		for _, b := range blocks {
			out = append(out, b...)
		}
	}
	return out[:n]
}

// Scale returns when each row is due, from the first at 0, such that the CPU
// time demanded equals load × cpus over Span. demand is each row's CPU time where the
// rows are replayed. All are due at 0 if there are no gaps.
func Scale(rows []Row, demand []time.Duration, load float64, cpus int) []time.Duration {
	var work time.Duration
	gaps := 0.0
	for i, r := range rows {
		work += demand[i]
		if i > 0 {
			gaps += r.Gap
		}
	}
	due := make([]time.Duration, len(rows))
	if gaps == 0 {
		return due
	}
	span := float64(work) / (load * float64(cpus)) * float64(len(rows)-1) / float64(len(rows))
	at := 0.0
	for i, r := range rows {
		if i > 0 {
			at += r.Gap
		}
		due[i] = time.Duration(at / gaps * span)
	}
	return due
}

const (
	// artifactCPUs is how many CPUs the artifact's functions have.
	artifactCPUs = 24
	// artifactPerRequest is what the artifact's client needs for a request beside
	// its sleep: with it the mean rate of the Huawei trace is the paper's 190/s
	// (section 6; docs/fidelity.md).
	artifactPerRequest = 500 * time.Microsecond
)

// artifactLoads are, by the paper's nominal loads, what the artifact's client sleeps in
// proportion to 90 %.
var artifactLoads = map[float64]float64{0.9: 1, 0.8: 24. / 21, 0.7: 27. / 21}

// ArtifactHas reports whether the artifact's client knows a load.
func ArtifactHas(load float64) bool { return artifactLoads[load] > 0 }

// Artifact returns when each row is due if the artifact's client sends it. Between two
// requests that client sleeps int(k × gap) ms, where k is factor at a nominal load of 90 %
// and more at the others that it knows (ArtifactHas), and needs artifactPerRequest. That is for 24 CPUs; for
// fewer or more all times are stretched in proportion.
func Artifact(rows []Row, factor, load float64, cpus int) []time.Duration {
	k := factor * artifactLoads[load]
	due := make([]time.Duration, len(rows))
	var at time.Duration
	for i, r := range rows {
		if i > 0 {
			// The slack undoes rounding: 0.21 × 8 / 7 × 100 is 23.999999999999996.
			at += time.Duration(k*r.Gap+1e-9)*time.Millisecond + artifactPerRequest
		}
		due[i] = at * artifactCPUs / time.Duration(cpus)
	}
	return due
}

// Span is the time that a trace covers: until the last row is due, and one mean gap. It
// is 0 for fewer than two rows.
func Span(due []time.Duration) time.Duration {
	n := time.Duration(len(due))
	if n < 2 {
		return 0
	}
	return due[n-1] + due[n-1]/(n-1)
}
