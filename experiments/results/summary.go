// SPDX-License-Identifier: Apache-2.0

package results

import (
	"slices"
	"time"

	"github.com/ds2-lab/alps/figures/stats"
)

// Groups of functions by isolated CPU time, Table 1 of the paper.
var Groups = []string{"G1", "G2", "G3", "G4"}

// groupBounds are the CPU times at which G2, G3 and G4 begin.
var groupBounds = []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond}

// GroupOf is the group of a function that takes so much CPU time.
func GroupOf(cpu time.Duration) string {
	i, exact := slices.BinarySearch(groupBounds, cpu)
	if exact {
		i++
	}
	return Groups[i]
}

// All is the name of a summary over all groups.
const All = "all"

// Summary is the turnaround of a group's finished invocations, in ms, their mean
// time from the client's request to the exit, and their mean number of
// involuntary switches. Without invocations the numbers are NaN.
type Summary struct {
	Group                    string
	N                        int // invocations
	P50, P75, P90, P99, Mean float64
	EndToEnd                 float64 // mean, ms
	Switches                 float64 // mean of an invocation
}

// Summarize gives a summary per group, in order, and one of all.
func Summarize(invocations []Invocation) []Summary {
	var out []Summary
	for _, g := range append(slices.Clone(Groups), All) {
		var turnarounds []float64
		switches := 0
		endToEnd := 0.0
		for _, i := range invocations {
			if i.Status == OK && (g == All || i.Group == g) {
				turnarounds = append(turnarounds, float64(i.Turnaround())/1e6)
				switches += i.SwitchesInvol
				endToEnd += float64(i.EndToEnd()) / 1e6
			}
		}
		d, n := stats.Of(turnarounds), float64(len(turnarounds))
		out = append(out, Summary{Group: g, N: len(turnarounds), P50: d.Quantile(0.50), P75: d.Quantile(0.75), P90: d.Quantile(0.90),
			P99: d.Quantile(0.99), Mean: d.Mean(), EndToEnd: endToEnd / n, Switches: float64(switches) / n})
	}
	return out
}
