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

// What can be measured of a run. A paper's number names it before its
// statistic, as slice_p50; the turnaround has no name.
const (
	Turnaround   = ""
	FromRequest  = "request"       // from the client's request to the exit, ms
	CPUTime      = "cpu"           // CPU time of an invocation, ms
	Segments     = "slice"         // turns on a CPU, ms
	Switches     = "switches"      // lost CPUs per invocation
	Wait         = "wait"          // turnaround without CPU time, % of CPU time
	Spread       = "spread"        // of turnarounds: a round's mean against that of all rounds, %
	SavedAgainst = "cfs"           // the series that saved is against
	Saved        = "saved"         // how much shorter an invocation is than under CFS, %
	SavedFixed   = "saved+11ms"    // with a platform's cost added to both (Fig 8)
	SavedRandom  = "saved+1..10ms" // likewise, drawn for each invocation
)

// Unit what is measured.
func Unit(measure string) string {
	switch measure {
	case Turnaround, FromRequest, CPUTime, Segments:
		return "ms"
	case Switches:
		return ""
	}
	return "%"
}

// SplitStat takes slice_p50 apart.
func SplitStat(s string) (measure, name string) {
	measure, name, ok := strings.Cut(s, "_")
	if !ok {
		return Turnaround, s
	}
	return measure, name
}

// JoinStat puts it together.
func JoinStat(measure, name string) string {
	if measure == Turnaround {
		return name
	}
	return measure + "_" + name
}

// PaperNumbers are what the paper has of a place and a measure; their names lose the measure.
func PaperNumbers(ref paper.Reference, at paper.Place, measure string) []paper.Number {
	var out []paper.Number
	for _, n := range ref.At(at) {
		if w, name := SplitStat(n.Stat); w == measure {
			n.Stat = name
			out = append(out, n)
		}
	}
	return out
}

// Measure is what a group, or results.All, has in one run. base is the run
// under CFS that saved needs; without it there is nothing.
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
			if b.Status != results.OK {
				continue
			}
			cost := platformCost(measure, k)
			v = 100 * (1 - float64(i.Turnaround()+cost)/float64(b.Turnaround()+cost))
		case measure == FromRequest:
			v = Milliseconds(i.EndToEnd().Nanoseconds())
		case measure == CPUTime:
			v = Milliseconds(i.CPUNS)
		case measure == Switches:
			v = float64(i.SwitchesInvol)
		case measure == Wait:
			v = 100 * (float64(i.Turnaround())/float64(i.CPUNS) - 1)
		default:
			v = Milliseconds(i.Turnaround().Nanoseconds())
		}
		out = append(out, stats.Sample{Value: v, Count: 1, Block: uint16(k * blocks / len(r.Invocations))})
	}
	return stats.New(out, blocks)
}

// platformCost is what Fig 8 adds to invocation k.
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

// Milliseconds of ns.
func Milliseconds(ns int64) float64 { return float64(ns) / 1e6 }
