// SPDX-License-Identifier: Apache-2.0

// Package never asks whether a scheduler ever loses to CFS or EEVDF: a grid of
// workloads, machines and loads, its summary, heat map and page.
package never

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/stats"
)

// Experiment is the experiment that asks whether a scheduler ever loses to CFS
// or EEVDF: a table of means, a row for each run.
const Experiment = "never"

// Attack is an experiment of the same form, with workloads made to hurt steady.
const Attack = "attack"

// lost is the ratio of a series' mean to the better reference's above which its cell counts as lost.
const lost = 1.002

// lostTail is the ratio of a group's 99th percentile to CFS's above which it counts as worse.
const lostTail = 1.05

// Cell is one workload on one machine at one load (0 to 1, and above).
type Cell struct {
	workload string
	cores    int
	load     float64
}

// Means are the means over the rounds of one series in one cell. Times are ms.
type Means struct {
	rounds, unfinished int        // unfinished: invocations that had not ended, of all rounds together
	mean, request      float64    // the mean turnaround, and the mean from the request
	n                  [4]float64 // invocations of each group in a round
	p99                [4]float64 // of each group; 0: it has no invocation
}

// Grid is the table of an experiment: a row for each cell, series and seed.
type Grid struct {
	name   string // Experiment or Attack
	cells  []Cell
	series []string
	means  map[Cell]map[string]Means
	seeds  []string
	run    results.Run
}

// references are the series that others are held against.
var references = []string{"cfs", "eevdf"}

// Oracle is the series that bounds the others: SRPT with one queue for all cores.
const Oracle = "oracle"

// Read reads the table of Experiment; nil if it was not made.
func Read(root string) (*Grid, error) { return ReadGrid(root, Experiment) }

// ReadGrid reads the table of Experiment or Attack; nil if it was not made. The error names a column that is
// missing, a line with something else than a number, or a cell without CFS, EEVDF or the oracle.
func ReadGrid(root, experiment string) (*Grid, error) {
	t, run, err := dataset.ReadTable(root, experiment)
	if t == nil || err != nil {
		return nil, err
	}
	at, err := dataset.ColumnsOf(t, experiment, "workload", "cores", "load", "series", "seed", "unfinished", "mean_ms", "request_ms",
		"g1_n", "g1_p99_ms", "g2_n", "g2_p99_ms", "g3_n", "g3_p99_ms", "g4_n", "g4_p99_ms")
	if err != nil {
		return nil, err
	}
	n := &Grid{name: experiment, means: map[Cell]map[string]Means{}, run: run}
	for i, row := range t.Rows {
		number := func(column string) float64 {
			v, e := strconv.ParseFloat(row[at[column]], 64)
			if e != nil && err == nil {
				err = fmt.Errorf("%s: table.csv:%d: %s: %q is not a number", experiment, i+2, column, row[at[column]])
			}
			return v
		}
		c := Cell{row[at["workload"]], int(number("cores")), number("load")}
		series := row[at["series"]]
		if n.means[c] == nil {
			n.means[c] = map[string]Means{}
			n.cells = append(n.cells, c)
		}
		m := n.means[c][series]
		m.rounds++
		m.unfinished += int(number("unfinished"))
		m.mean += (number("mean_ms") - m.mean) / float64(m.rounds)
		m.request += (number("request_ms") - m.request) / float64(m.rounds)
		for g := range m.p99 {
			m.n[g] += (number(fmt.Sprintf("g%d_n", g+1)) - m.n[g]) / float64(m.rounds)
			m.p99[g] += (number(fmt.Sprintf("g%d_p99_ms", g+1)) - m.p99[g]) / float64(m.rounds)
		}
		n.means[c][series] = m
		n.series = appendNew(n.series, series)
		n.seeds = appendNew(n.seeds, row[at["seed"]])
	}
	if err != nil {
		return nil, err
	}
	for _, c := range n.cells {
		for _, s := range append([]string{Oracle}, references...) {
			if n.means[c][s].rounds == 0 {
				return nil, fmt.Errorf("%s: %s on %d cores at %g %% has no run of %s", experiment, c.workload, c.cores, 100*c.load, s)
			}
		}
	}
	return n, nil
}

func appendNew(to []string, s string) []string {
	if slices.Contains(to, s) {
		return to
	}
	return append(to, s)
}

// reference is the least of the references' values in a cell.
func (n *Grid) reference(c Cell, value func(Means) float64) float64 {
	least := math.Inf(1)
	for _, s := range references {
		least = min(least, value(n.means[c][s]))
	}
	return least
}

func turnaround(m Means) float64 { return m.mean }

func request(m Means) float64 { return m.request }

// ratio is a series' mean turnaround over the better reference's.
func (n *Grid) ratio(c Cell, series string) float64 {
	return n.means[c][series].mean / n.reference(c, turnaround)
}

// judgedSeries are those that are no reference and no oracle.
func (n *Grid) judgedSeries() []string {
	return slices.DeleteFunc(slices.Clone(n.series), func(s string) bool { return s == Oracle || slices.Contains(references, s) })
}

// geometric is the geometric mean of a ratio over the cells that keep lets through; nil lets all.
func (n *Grid) geometric(ratio func(Cell) float64, keep func(Cell) bool) float64 {
	sum, k := 0.0, 0.0
	for _, c := range n.cells {
		if keep == nil || keep(c) {
			sum += math.Log(ratio(c))
			k++
		}
	}
	return math.Exp(sum / k)
}

// over is a series' mean over another's.
func (n *Grid) over(series, base string) func(Cell) float64 {
	return func(c Cell) float64 { return n.means[c][series].mean / n.means[c][base].mean }
}

// losses are the cells in which a series loses by a measure, the worst first.
func (n *Grid) losses(series string, value func(Means) float64) []Cell {
	ratio := func(c Cell) float64 { return value(n.means[c][series]) / n.reference(c, value) }
	out := slices.DeleteFunc(slices.Clone(n.cells), func(c Cell) bool { return ratio(c) <= lost })
	slices.SortStableFunc(out, func(a, b Cell) int {
		switch x, y := ratio(a), ratio(b); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	return out
}

// tails looks at the groups of every cell but its longest that have enough invocations under CFS for a 99th
// percentile. all is how many there are, worse those whose percentile is above lostTail times CFS's, and worst
// the largest ratio to CFS's.
func (n *Grid) tails(series string) (worse, all int, worst float64) {
	for _, c := range n.cells {
		mine, cfs := n.means[c][series].p99, n.means[c]["cfs"].p99
		longest := n.longest(c)
		for g := range longest {
			if n.means[c]["cfs"].n[g] < stats.MinP99 {
				continue
			}
			all++
			r := mine[g] / cfs[g]
			worst = max(worst, r)
			if r > lostTail {
				worse++
			}
		}
	}
	return worse, all, worst
}

// longest is the index of the last group that has invocations in a cell, under CFS.
func (n *Grid) longest(c Cell) int {
	cfs := n.means[c]["cfs"].p99
	for g := len(cfs) - 1; g > 0; g-- {
		if cfs[g] > 0 {
			return g
		}
	}
	return 0
}
