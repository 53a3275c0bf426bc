// SPDX-License-Identifier: Apache-2.0

package fidelity

import (
	"math"
	"slices"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/paper"
)

// filter picks numbers. A field that is empty or 0 lets all through. load is in %.
type filter struct {
	figure, workload, series, group string
	load                            int
}

// eachGroup, as a filter's group, lets through the numbers of single groups and not those of all.
const eachGroup = "each"

func (k filter) has(c paper.Compared) bool {
	is := func(want, got string) bool { return want == "" || want == got }
	group := is(k.group, c.Group) || k.group == eachGroup && c.Group != results.All
	return is(k.figure, c.Figure) && is(k.workload, c.Workload) && is(k.series, c.Series) && group && (k.load == 0 || k.load == c.LoadPct)
}

// pick are the numbers that a filter lets through.
func (f *fidelity) pick(k filter) []paper.Compared {
	var out []paper.Compared
	for _, c := range f.Values {
		if k.has(c) {
			out = append(out, c)
		}
	}
	return out
}

// medianDeviation is the median of |ours/paper − 1|, in %; NaN of none.
func medianDeviation(numbers []paper.Compared) float64 {
	var d []float64
	for _, n := range numbers {
		if off := math.Abs(n.Ratio() - 1); !math.IsNaN(off) {
			d = append(d, 100*off)
		}
	}
	if len(d) == 0 {
		return math.NaN()
	}
	slices.Sort(d)
	return (d[(len(d)-1)/2] + d[len(d)/2]) / 2
}

// Properties of numbers, for the heads of rows and columns.
func seriesOf(c paper.Compared) string { return c.Series }

func workloadOf(c paper.Compared) string { return c.Workload }

func groupOf(c paper.Compared) string { return c.Group }

func loadOf(c paper.Compared) int { return c.LoadPct }

func statisticOf(c paper.Compared) string { return c.Stat }

var (
	barsFilter   = filter{figure: fidelityBars}
	curvesFilter = filter{figure: fidelityCurves, group: eachGroup}
	ordersFilter = filter{figure: fidelityOrders}
	choiceFilter = filter{figure: fidelityChoice}
	loadsFilter  = filter{figure: fidelityLoad}
)

// of narrows a filter to a workload and a series, and to a group unless it is empty.
func (k filter) of(workload, series, group string) filter {
	k.workload, k.series = workload, series
	if group != "" {
		k.group = group
	}
	return k
}

// at narrows a filter to a load.
func (k filter) at(load int) filter {
	k.load = load
	return k
}
