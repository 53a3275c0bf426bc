package figures

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ds2-lab/alps/experiments/results"
)

// neverFigure is the experiment that asks whether a scheduler ever loses to CFS
// or EEVDF: a table of means, a row for each run.
const neverFigure = "never"

// lost is by how much a mean must be above another's to count: a difference of
// two in a thousand is none.
const lost = 1.002

// lostTail is the same of a group's 99th percentile.
const lostTail = 1.05

// neverCell is one workload on one machine at one load.
type neverCell struct {
	workload string
	cores    int
	load     float64
}

// neverMeans are the means over the rounds of one series in one cell, ms.
type neverMeans struct {
	rounds, unfinished int
	mean, request      float64
	n                  [4]float64 // invocations of each group in a round
	p99                [4]float64 // 0: it has none
}

// never is what the table says.
type never struct {
	cells  []neverCell
	series []string
	means  map[neverCell]map[string]neverMeans
	seeds  []string
	run    results.Run
}

// references are the series that others are held against.
var neverReferences = []string{"cfs", "eevdf"}

// neverOracle is the series that is the bound.
const neverOracle = "oracle"

// readNever reads the table; nil if it was not made.
func readNever(root string) (*never, error) {
	t, run, err := readTable(root, neverFigure)
	if t == nil || err != nil {
		return nil, err
	}
	at, err := columnsOf(t, neverFigure, "workload", "cores", "load", "series", "seed", "unfinished", "mean_ms", "request_ms",
		"g1_n", "g1_p99_ms", "g2_n", "g2_p99_ms", "g3_n", "g3_p99_ms", "g4_n", "g4_p99_ms")
	if err != nil {
		return nil, err
	}
	n := &never{means: map[neverCell]map[string]neverMeans{}, run: run}
	for i, row := range t.Rows {
		number := func(column string) float64 {
			v, e := strconv.ParseFloat(row[at[column]], 64)
			if e != nil && err == nil {
				err = fmt.Errorf("%s: table.csv:%d: %s: %q is not a number", neverFigure, i+2, column, row[at[column]])
			}
			return v
		}
		c := neverCell{row[at["workload"]], int(number("cores")), number("load")}
		series := row[at["series"]]
		if n.means[c] == nil {
			n.means[c] = map[string]neverMeans{}
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
		for _, s := range append([]string{neverOracle}, neverReferences...) {
			if n.means[c][s].rounds == 0 {
				return nil, fmt.Errorf("%s: %s on %d cores at %g %% has no run of %s", neverFigure, c.workload, c.cores, 100*c.load, s)
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

// readTable is the table of a figure that has one only; nil if it was not made.
func readTable(root, figure string) (*results.Table, results.Run, error) {
	series, err := results.ReadPlan(root, results.EngineSim, figure)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, results.Run{}, nil
	}
	if err != nil {
		return nil, results.Run{}, err
	}
	for _, s := range series {
		if s.Result.Table != nil {
			return s.Result.Table, s.Result.Run, nil
		}
	}
	return nil, results.Run{}, nil
}

// columnsOf says where a table has the columns.
func columnsOf(t *results.Table, figure string, names ...string) (map[string]int, error) {
	at := map[string]int{}
	for _, name := range names {
		i := slices.Index(t.Columns, name)
		if i < 0 {
			return nil, fmt.Errorf("%s: no column %s in table.csv: run the experiment again", figure, name)
		}
		at[name] = i
	}
	return at, nil
}

// reference is the least of the references' values in a cell.
func (n *never) reference(c neverCell, value func(neverMeans) float64) float64 {
	least := math.Inf(1)
	for _, s := range neverReferences {
		least = min(least, value(n.means[c][s]))
	}
	return least
}

func turnaround(m neverMeans) float64 { return m.mean }
func request(m neverMeans) float64    { return m.request }

// ratio is a series' mean turnaround over the better reference's.
func (n *never) ratio(c neverCell, series string) float64 {
	return n.means[c][series].mean / n.reference(c, turnaround)
}

// judgedSeries are those that are no reference and no oracle.
func (n *never) judgedSeries() []string {
	return slices.DeleteFunc(slices.Clone(n.series), func(s string) bool { return s == neverOracle || slices.Contains(neverReferences, s) })
}

// geometric mean of a ratio over the cells that keep lets through.
func (n *never) geometric(ratio func(neverCell) float64, keep func(neverCell) bool) float64 {
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
func (n *never) over(series, base string) func(neverCell) float64 {
	return func(c neverCell) float64 { return n.means[c][series].mean / n.means[c][base].mean }
}

// losses are the cells in which a series loses by a measure, the worst first.
func (n *never) losses(series string, value func(neverMeans) float64) []neverCell {
	ratio := func(c neverCell) float64 { return value(n.means[c][series]) / n.reference(c, value) }
	out := slices.DeleteFunc(slices.Clone(n.cells), func(c neverCell) bool { return ratio(c) <= lost })
	slices.SortStableFunc(out, func(a, b neverCell) int {
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

// tails counts, over cells and their groups but the longest, 99th percentiles of
// enough samples, and those above CFS's.
func (n *never) tails(series string) (worse, all int, worst float64) {
	for _, c := range n.cells {
		mine, cfs := n.means[c][series].p99, n.means[c]["cfs"].p99
		longest := n.longest(c)
		for g := range longest {
			if n.means[c]["cfs"].n[g] < minP99 {
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

// longest is the last group that has invocations.
func (n *never) longest(c neverCell) int {
	cfs := n.means[c]["cfs"].p99
	for g := len(cfs) - 1; g > 0; g-- {
		if cfs[g] > 0 {
			return g
		}
	}
	return 0
}

// summary is a row for each series.
func (n *never) summary() (head []string, rows [][]string) {
	head = []string{"scheduler", "mean / CFS's", "mean / oracle's", fmt.Sprintf("cells lost, of %d", len(n.cells)), "worst cell", "lost from request to exit", "P99 worse than CFS's, of groups but the longest", "worst P99"}
	for _, s := range n.series {
		worst := 0.0
		for _, c := range n.cells {
			worst = max(worst, n.ratio(c, s))
		}
		tails, all, tail := n.tails(s)
		rows = append(rows, []string{s, num(n.geometric(n.over(s, "cfs"), nil), 3), num(n.geometric(n.over(s, neverOracle), nil), 3),
			strconv.Itoa(len(n.losses(s, turnaround))), num(worst, 3), strconv.Itoa(len(n.losses(s, request))), fmt.Sprintf("%d of %d", tails, all), num(tail, 2)})
	}
	return head, rows
}

// by is a table of the geometric mean of a series' means over CFS's, and of what
// the longest group's 99th percentile is of CFS's, by a property of the cells.
func (n *never) by(name string, property func(neverCell) string) (head []string, rows [][]string) {
	values := distinctOf(n.cells, property)
	head = append([]string{"scheduler, by " + name}, values...)
	for _, s := range append(n.judgedSeries(), neverOracle) {
		row := []string{s}
		longest := []string{s + ", P99 of the longest group"}
		for _, v := range values {
			keep := func(c neverCell) bool { return property(c) == v }
			row = append(row, num(n.geometric(n.over(s, "cfs"), keep), 3))
			longest = append(longest, num(n.geometric(func(c neverCell) float64 {
				g := n.longest(c)
				return n.means[c][s].p99[g] / n.means[c]["cfs"].p99[g]
			}, keep), 2))
		}
		rows = append(rows, row, longest)
	}
	return head, rows
}

// lossTable are all cells that a series loses.
func (n *never) lossTable(series string) (head []string, rows [][]string) {
	head = []string{"workload", "cores", "load", "CFS, ms", "EEVDF, ms", series + ", ms", "× the better"}
	for _, c := range n.losses(series, turnaround) {
		rows = append(rows, []string{c.workload, strconv.Itoa(c.cores), num(100*c.load, 0) + " %", num(n.means[c]["cfs"].mean, 1), num(n.means[c]["eevdf"].mean, 1),
			num(n.means[c][series].mean, 1), num(n.ratio(c, series), 3)})
	}
	return head, rows
}

// conditions are what holds for all cells.
func (n *never) conditions() []string {
	return []string{fmt.Sprintf("simulated: %d cells, means over seeds %s; a cell is lost if the mean turnaround is more than %g times that of the better of CFS and EEVDF; a P99 needs %d invocations of its group in a run, and is worse if it is more than %g times CFS's", len(n.cells), strings.Join(n.seeds, ", "), lost, minP99, lostTail)}
}

func (n *never) tsv() string {
	var b strings.Builder
	b.WriteString("workload\tcores\tload\tseries\tmean_ms\trequest_ms\tover_better\tover_cfs\tover_oracle\tunfinished\n")
	for _, c := range n.cells {
		for _, s := range n.series {
			m := n.means[c][s]
			fmt.Fprintf(&b, "%s\t%d\t%g\t%s\t%s\t%s\t%s\t%s\t%s\t%d\n", c.workload, c.cores, c.load, s, num(m.mean, 1), num(m.request, 1),
				num(n.ratio(c, s), 3), num(n.over(s, "cfs")(c), 3), num(n.over(s, neverOracle)(c), 3), m.unfinished)
		}
	}
	return b.String()
}

// markdown is the page of docs/.
func (n *never) markdown() string {
	var b strings.Builder
	b.WriteString("<!-- Generated by figures:fidelity from simulated results: do not edit. -->\n# Does it ever lose?\n\n" +
		"ALPS, SFS and [steady](policy.md#steady) beside CFS and EEVDF, by simulation: ten workloads, five of which are made to be hard, on 1 to 64 cores at 50 to\n" +
		"110 % load (`experiments/never.yaml`). The seeds are none that a parameter was chosen by. Every cell is in [never.tsv](never.tsv).\n\n" +
		strings.Replace(n.conditions()[0], "simulated", "Simulated", 1) + ".\n\n![heat map](never.svg)\n\n")
	b.WriteString(table(n.summary()))
	b.WriteString("\nMean over CFS's, geometric over the cells, and the same of the 99th percentile of the longest group:\n\n")
	b.WriteString(table(n.by("load", func(c neverCell) string { return num(100*c.load, 0) + " %" })) + "\n")
	b.WriteString(table(n.by("cores", func(c neverCell) string { return strconv.Itoa(c.cores) })) + "\n")
	b.WriteString(table(n.by("workload", func(c neverCell) string { return c.workload })))
	judged := n.judgedSeries()
	slices.Reverse(judged) // the newest first
	for _, s := range judged {
		fmt.Fprintf(&b, "\n## Every cell that %s loses\n\n", s)
		if head, rows := n.lossTable(s); len(rows) > 0 {
			b.WriteString(table(head, rows))
		} else {
			b.WriteString("None.\n")
		}
	}
	return b.String()
}

// addNever draws the heat map, and says what it amounts to.
func (r *report) addNever() error {
	n, err := readNever(r.options.Results)
	if err != nil {
		return err
	}
	s := section{Name: neverFigure, Title: "Beyond the paper: does it ever lose?",
		Note: "Simulated. Blue: the mean turnaround is shorter than that of the better of CFS and EEVDF; red, framed: longer. steady is in the simulator only, so far. The oracle is SRPT with one queue for all cores."}
	p := part{Engine: results.EngineSim}
	if err := r.forget(neverFigure + "-sim"); err != nil {
		return err
	}
	if n != nil {
		p.File, p.Conditions = neverFigure+"-sim", n.conditions()
		if err := r.write(&p, func() (sheet, error) { return n.sheet(), nil }); err != nil {
			return err
		}
		s.Head, s.Lines = n.summary()
		if err := r.file(p.File+".tsv", []byte(n.tsv())); err != nil {
			return err
		}
	}
	s.Parts = []part{p}
	s.YAML, err = r.copyYAML(neverFigure)
	r.page.Sections = append(r.page.Sections, s)
	return err
}
