// Package trace makes the sequence of invocations that an experiment replays.
//
// A workload is described by facts (function mix, distribution of gaps, seed)
// and generated, or read from the artifact's own trace files. Either way a
// trace has gaps in arbitrary units; Scale turns them into due times.
package trace

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"gonum.org/v1/gonum/stat/distuv"
)

// Class is one kind of invocation: a function, an argument, and its place.
type Class struct {
	Function string
	UID      string
	Port     string
	Group    string        // G1 to G4
	N        int           // the artifact's argument
	CPU      time.Duration // isolated CPU time in the paper's set-up
	Share    float64       // of all invocations; shares sum to 1
}

// Row is one invocation of a trace.
type Row struct {
	Class int     // index into the classes
	Gap   float64 // time to the row before, in arbitrary units
}

// Generate draws n rows: each class as often as its share says, to the
// nearest whole number, in random order; gaps Poisson distributed with the
// given mean. The classes whose share rounds to less get at least atLeast
// rows, so that a short trace has them at all.
func Generate(classes []Class, n int, meanGap float64, atLeast int, seed uint64) []Row {
	rng := rand.New(rand.NewPCG(seed, 0x616c7073))
	counts := apportion(classes, n, atLeast)
	rows := make([]Row, 0, n)
	for c, k := range counts {
		for range k {
			rows = append(rows, Row{Class: c})
		}
	}
	rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	gaps := distuv.Poisson{Lambda: meanGap, Src: rng}
	for i := range rows {
		rows[i].Gap = gaps.Rand()
	}
	return rows
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

// Read parses the artifact's form, "id n function gap port" per line. Every
// (function, n, port) must be one of classes. Errors begin with name:line.
func Read(name string, r io.Reader, classes []Class) ([]Row, error) {
	type key struct {
		function string
		n        int
		port     string
	}
	index := map[key]int{}
	for i, c := range classes {
		index[key{c.Function, c.N, c.Port}] = i
	}
	var rows []Row
	sc := bufio.NewScanner(r)
	line := 0
	for sc.Scan() {
		line++
		f := strings.Fields(sc.Text())
		if len(f) == 0 {
			continue
		}
		if len(f) != 5 {
			return nil, fmt.Errorf("%s:%d: %d fields: want id n function gap port", name, line, len(f))
		}
		n, err := strconv.Atoi(f[1])
		if err != nil {
			return nil, fmt.Errorf("%s:%d: n: %q is not a number", name, line, f[1])
		}
		gap, err := strconv.ParseFloat(f[3], 64)
		if err != nil || gap < 0 || math.IsNaN(gap) || math.IsInf(gap, 0) {
			return nil, fmt.Errorf("%s:%d: gap: %q is not a number ≥ 0", name, line, f[3])
		}
		c, ok := index[key{f[2], n, f[4]}]
		if !ok {
			return nil, fmt.Errorf("%s:%d: the workload has no class %s n=%d port %s", name, line, f[2], n, f[4])
		}
		rows = append(rows, Row{Class: c, Gap: gap})
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", name, line+1, err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s: no rows", name)
	}
	return rows, nil
}

// Scale returns when each row is due, from the first at 0, such that the CPU
// time demanded equals load × cpus over the time until the last is due plus
// one mean gap. demand is each class's CPU time on the machine at hand.
func Scale(rows []Row, demand []time.Duration, load float64, cpus int) []time.Duration {
	var work time.Duration
	gaps := 0.0
	for i, r := range rows {
		work += demand[r.Class]
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
