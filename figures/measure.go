package figures

import (
	"math/rand/v2"
	"strings"
	"time"

	"github.com/ds2-lab/alps/experiments/results"
)

// What can be measured of a run. A paper's number names it before its
// statistic, as slice_p50; the turnaround has no name.
const (
	whatTurnaround = ""
	whatRequest    = "request"       // from the client's request to the exit, ms
	whatCPU        = "cpu"           // CPU time of an invocation, ms
	whatSlice      = "slice"         // turns on a CPU, ms
	whatSwitches   = "switches"      // lost CPUs per invocation
	whatWait       = "wait"          // turnaround without CPU time, % of CPU time
	whatSpread     = "spread"        // of turnarounds: a round's mean against that of all rounds, %
	savedAgainst   = "cfs"           // the series that saved is against
	whatSaved      = "saved"         // how much shorter an invocation is than under CFS, %
	whatSaved11    = "saved+11ms"    // with a platform's cost added to both (Fig 8)
	whatSavedRand  = "saved+1..10ms" // likewise, drawn for each invocation
)

// unitOf what is measured.
func unitOf(what string) string {
	switch what {
	case whatTurnaround, whatRequest, whatCPU, whatSlice:
		return "ms"
	case whatSwitches:
		return ""
	}
	return "%"
}

// splitStat takes slice_p50 apart.
func splitStat(s string) (what, name string) {
	what, name, ok := strings.Cut(s, "_")
	if !ok {
		return whatTurnaround, s
	}
	return what, name
}

// joinStat puts it together.
func joinStat(what, name string) string {
	if what == whatTurnaround {
		return name
	}
	return what + "_" + name
}

// measure is what a group, or results.All, has in one run. base is the run
// under CFS that saved needs; without it there is nothing.
func measure(what, group string, r results.Result, base *results.Result) dist {
	var out []sample
	if what == whatSlice {
		for _, t := range r.Slices {
			if group == results.All || t.Group == group {
				out = append(out, sample{value: ms(t.Length.Nanoseconds()), count: t.Count})
			}
		}
		return newDist(out, 0)
	}
	saved := strings.HasPrefix(what, whatSaved)
	if saved && (base == nil || len(base.Invocations) != len(r.Invocations)) {
		return newDist(nil, 0)
	}
	blocks := blocksOf(len(r.Invocations))
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
			cost := platformCost(what, k)
			v = 100 * (1 - float64(i.Turnaround()+cost)/float64(b.Turnaround()+cost))
		case what == whatRequest:
			v = ms(i.EndToEnd().Nanoseconds())
		case what == whatCPU:
			v = ms(i.CPUNS)
		case what == whatSwitches:
			v = float64(i.SwitchesInvol)
		case what == whatWait:
			v = 100 * (float64(i.Turnaround())/float64(i.CPUNS) - 1)
		default:
			v = ms(i.Turnaround().Nanoseconds())
		}
		out = append(out, sample{v, 1, uint16(k * blocks / len(r.Invocations))})
	}
	return newDist(out, blocks)
}

// platformCost is what Fig 8 adds to invocation k.
func platformCost(what string, k int) time.Duration {
	switch what {
	case whatSaved11:
		return 11 * time.Millisecond
	case whatSavedRand:
		rng := rand.New(rand.NewPCG(uint64(k), 8))
		return time.Millisecond + time.Duration(rng.Int64N(int64(9*time.Millisecond)+1))
	}
	return 0
}

func ms(ns int64) float64 { return float64(ns) / 1e6 }
