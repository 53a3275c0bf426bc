// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"math/rand/v2"
	"strings"
	"time"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/paper"
	"github.com/ds2-lab/alps/figures/stats"
)

// Measures of a run, with their units. A number's Stat has the measure before the statistic, as slice_p50;
// the turnaround (ms) has an empty name.
const (
	Turnaround   = ""
	FromRequest  = "request"       // from the client's request to the exit, ms
	CPUTime      = "cpu"           // CPU time of an invocation, ms
	Segments     = "slice"         // length of on-CPU segments, ms
	Switches     = "switches"      // how often an invocation lost a CPU to another
	Wait         = "wait"          // turnaround without CPU time, % of CPU time
	Spread       = "spread"        // of turnarounds: a round's mean against that of all rounds, %
	SavedAgainst = "cfs"           // no measure: the series that Saved compares with
	Saved        = "saved"         // how much shorter an invocation's turnaround is than under CFS, %
	SavedFixed   = "saved+11ms"    // Saved with 11 ms of a platform added to both turnarounds (Fig 8)
	SavedRandom  = "saved+1..10ms" // Saved with a random 1 to 10 ms added to both, for each invocation
)

// Unit is the unit of a measure: ms, %, or empty for a count.
func Unit(measure string) string {
	switch measure {
	case Turnaround, FromRequest, CPUTime, Segments:
		return "ms"
	case Switches:
		return ""
	}
	return "%"
}

// SplitStat splits slice_p50 into the measure slice and the statistic p50; p50 alone is of the turnaround.
func SplitStat(s string) (measure, name string) {
	measure, name, ok := strings.Cut(s, "_")
	if !ok {
		return Turnaround, s
	}
	return measure, name
}

// JoinStat joins what SplitStat splits.
func JoinStat(measure, name string) string {
	if measure == Turnaround {
		return name
	}
	return measure + "_" + name
}

// PaperNumbers are the paper's numbers of a position and a measure. Their Stat is without the measure.
func PaperNumbers(ref paper.Reference, at paper.Position, measure string) []paper.Number {
	var out []paper.Number
	for _, n := range ref.At(at) {
		if w, name := SplitStat(n.Stat); w == measure {
			n.Stat = name
			out = append(out, n)
		}
	}
	return out
}

// Measure is the distribution of a measure in one run, over the invocations of a group, or of all groups
// (results.All), that are OK. base is the run under CFS that Saved needs, with the same invocations; without
// it there is nothing. Of Spread it is the turnarounds: spreadOver compares rounds. An invocation without CPU time has
// no Wait, and one that took no time under CFS no Saved: they are left out.
func Measure(measure, group string, r results.Result, base *results.Result) stats.Distribution {
	var out []stats.Sample
	if measure == Segments {
		for _, t := range r.Slices {
			if group == results.All || t.Group == group {
				out = append(out, stats.Sample{Value: Milliseconds(t.Length.Nanoseconds()), Count: t.Count})
			}
		}
		return stats.New(out, 0)
	}
	saved := strings.HasPrefix(measure, Saved)
	if saved && (base == nil || len(base.Invocations) != len(r.Invocations)) {
		return stats.New(nil, 0)
	}
	blocks := stats.Blocks(len(r.Invocations))
	for k, i := range r.Invocations {
		if i.Status != results.OK || group != results.All && i.Group != group {
			continue
		}
		var v float64
		switch {
		case saved:
			b := base.Invocations[k]
			cost := platformCost(measure, k)
			if b.Status != results.OK || b.Turnaround()+cost <= 0 {
				continue
			}
			v = 100 * (1 - float64(i.Turnaround()+cost)/float64(b.Turnaround()+cost))
		case measure == FromRequest:
			v = Milliseconds(i.EndToEnd().Nanoseconds())
		case measure == CPUTime:
			v = Milliseconds(i.CPUNS)
		case measure == Switches:
			v = float64(i.SwitchesInvol)
		case measure == Wait:
			if i.CPUNS == 0 {
				continue
			}
			v = 100 * (float64(i.Turnaround())/float64(i.CPUNS) - 1)
		default:
			v = Milliseconds(i.Turnaround().Nanoseconds())
		}
		out = append(out, stats.Sample{Value: v, Count: 1, Block: uint16(k * blocks / len(r.Invocations))})
	}
	return stats.New(out, blocks)
}

// platformCost is the time that Fig 8 adds to the turnarounds of invocation k, the same in both runs.
func platformCost(measure string, k int) time.Duration {
	switch measure {
	case SavedFixed:
		return 11 * time.Millisecond
	case SavedRandom:
		rng := rand.New(rand.NewPCG(uint64(k), 8))
		return time.Millisecond + time.Duration(rng.Int64N(int64(9*time.Millisecond)+1))
	}
	return 0
}

// Milliseconds converts ns to ms.
func Milliseconds(ns int64) float64 { return float64(ns) / 1e6 }
