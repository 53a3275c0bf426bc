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

// Server is one on a machine where each function has a server with a lock, so that requests wait before they
// have a process. Its means are from the request.
const Server = "server"

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
	p99                [4]float64 // of each group, over the rounds in which it has invocations
	with               [4]int     // in how many rounds it has; 0: p99 is none
}

// Grid is the table of an experiment: a row for each cell, series and seed.
type Grid struct {
	name   string              // Experiment, Attack or Server
	value  func(Means) float64 // by which series are compared: turnaround, or of Server request
	what   string              // the name of value
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

// ReadGrid reads the table of Experiment, Attack or Server; nil if it was not made. The error names a column that is
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
	n := &Grid{name: experiment, value: turnaround, what: "mean turnaround", means: map[Cell]map[string]Means{}, run: run}
	if experiment == Server {
		n.value, n.what = request, "mean from the request"
	}
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
			k := number(fmt.Sprintf("g%d_n", g+1))
			m.n[g] += (k - m.n[g]) / float64(m.rounds)
			p99 := number(fmt.Sprintf("g%d_p99_ms", g+1))
			if k == 0 {
				continue // the table has a 0, which is no percentile
			}
			m.with[g]++
			m.p99[g] += (p99 - m.p99[g]) / float64(m.with[g])
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

// ratio is a series' mean over the better reference's; NaN if it has no run in the cell.
func (n *Grid) ratio(c Cell, series string) float64 { return n.ratioOf(c, series, n.value) }

// ratioOf is ratio by any measure.
func (n *Grid) ratioOf(c Cell, series string, value func(Means) float64) float64 {
	m := n.means[c][series]
	if m.rounds == 0 {
		return math.NaN()
	}
	return value(m) / n.reference(c, value)
}

// worst is the largest ratio of a series.
func (n *Grid) worst(series string) float64 {
	worst := 0.0
	for _, c := range n.cells {
		if r := n.ratio(c, series); r > worst {
			worst = r
		}
	}
	return worst
}

// runs is in how many cells a series has a run.
func (n *Grid) runs(series string) int {
	k := 0
	for _, c := range n.cells {
		if n.means[c][series].rounds > 0 {
			k++
		}
	}
	return k
}

// judgedSeries are those that are no reference and no oracle.
func (n *Grid) judgedSeries() []string {
	return slices.DeleteFunc(slices.Clone(n.series), func(s string) bool { return s == Oracle || slices.Contains(references, s) })
}

// geometric is the geometric mean of a ratio over the cells that keep lets through; nil lets all. Cells without the
// ratio, where it is NaN, do not count; without any other it is NaN.
func (n *Grid) geometric(ratio func(Cell) float64, keep func(Cell) bool) float64 {
	sum, k := 0.0, 0.0
	for _, c := range n.cells {
		if r := ratio(c); !math.IsNaN(r) && (keep == nil || keep(c)) {
			sum += math.Log(r)
			k++
		}
	}
	return math.Exp(sum / k)
}

// over is a series' mean over another's; NaN if it has no run in the cell.
func (n *Grid) over(series, base string) func(Cell) float64 {
	return func(c Cell) float64 {
		if n.means[c][series].rounds == 0 {
			return math.NaN()
		}
		return n.value(n.means[c][series]) / n.value(n.means[c][base])
	}
}

// p99Over is a group's 99th percentile over that under CFS; NaN if either has no invocation of the group.
func (n *Grid) p99Over(c Cell, series string, g int) float64 {
	m, base := n.means[c][series], n.means[c]["cfs"]
	if m.with[g] == 0 || base.with[g] == 0 {
		return math.NaN()
	}
	return m.p99[g] / base.p99[g]
}

// losses are the cells in which a series loses by a measure, the worst first.
func (n *Grid) losses(series string, value func(Means) float64) []Cell {
	ratio := func(c Cell) float64 { return n.ratioOf(c, series, value) }
	out := slices.DeleteFunc(slices.Clone(n.cells), func(c Cell) bool { return !(ratio(c) > lost) }) // NaN is not lost
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

// tail is a group of a cell.
type tail struct {
	cell  Cell
	group int // 0 is G1
	ratio float64
}

// compared are the 99th percentiles of a series that are held against CFS's: of the groups of every cell but its
// longest that have enough invocations under CFS, and any under the series.
func (n *Grid) compared(series string) []tail {
	var out []tail
	for _, c := range n.cells {
		for g := range n.longest(c) {
			if r := n.p99Over(c, series, g); n.means[c]["cfs"].n[g] >= stats.MinP99 && !math.IsNaN(r) {
				out = append(out, tail{c, g, r})
			}
		}
	}
	return out
}

// worse are those of compared that are above lostTail times CFS's.
func (n *Grid) worse(series string) []tail {
	return slices.DeleteFunc(n.compared(series), func(t tail) bool { return t.ratio <= lostTail })
}

// longest is the index of the last group that has invocations in a cell, under CFS.
func (n *Grid) longest(c Cell) int {
	cfs := n.means[c]["cfs"].with
	for g := len(cfs) - 1; g > 0; g-- {
		if cfs[g] > 0 {
			return g
		}
	}
	return 0
}
