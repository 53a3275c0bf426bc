// SPDX-License-Identifier: Apache-2.0

package never

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/format"
	"github.com/ds2-lab/alps/figures/stats"
)

// Summary is a row for each series.
func (n *Grid) Summary() (head []string, rows [][]string) {
	other, otherWord := request, "lost from request to exit"
	if n.name == Server {
		other, otherWord = turnaround, "lost by turnaround"
	}
	head = []string{"scheduler", "mean / CFS's", "mean / oracle's", fmt.Sprintf("cells lost, of %d", len(n.cells)), "worst cell", otherWord, "P99 worse than CFS's, of groups but the longest", "worst P99"}
	for _, s := range n.series {
		worstTail := 0.0
		for _, t := range n.compared(s) {
			worstTail = max(worstTail, t.ratio)
		}
		rows = append(rows, []string{s, format.Fixed(n.geometric(n.over(s, "cfs"), nil), 3), format.Fixed(n.geometric(n.over(s, Oracle), nil), 3),
			strconv.Itoa(len(n.losses(s, n.value))), format.Fixed(n.worst(s), 3), strconv.Itoa(len(n.losses(s, other))), fmt.Sprintf("%d of %d", len(n.worse(s)), len(n.compared(s))), format.Fixed(worstTail, 2)})
	}
	return head, rows
}

// by is a table with a column for each value of a property of the cells. Judged series and the oracle have two
// rows each: the geometric mean of the series' means over CFS's, and the same of the longest group's 99th percentile.
func (n *Grid) by(name string, property func(Cell) string) (head []string, rows [][]string) {
	values := dataset.Distinct(n.cells, property)
	head = append([]string{"scheduler, by " + name}, values...)
	for _, s := range append(n.judgedSeries(), Oracle) {
		row := []string{s}
		longest := []string{s + ", P99 of the longest group"}
		for _, v := range values {
			keep := func(c Cell) bool { return property(c) == v }
			row = append(row, format.Fixed(n.geometric(n.over(s, "cfs"), keep), 3))
			longest = append(longest, format.Fixed(n.geometric(func(c Cell) float64 { return n.p99Over(c, s, n.longest(c)) }, keep), 2))
		}
		rows = append(rows, row, longest)
	}
	return head, rows
}

// lossTable are all cells that a series loses.
func (n *Grid) lossTable(series string) (head []string, rows [][]string) {
	head = []string{"workload", "cores", "load", "CFS, ms", "EEVDF, ms", series + ", ms", "× the better"}
	ms := func(c Cell, series string) string { return format.Fixed(n.value(n.means[c][series]), 1) }
	for _, c := range n.losses(series, n.value) {
		rows = append(rows, []string{c.workload, strconv.Itoa(c.cores), format.Fixed(100*c.load, 0) + " %", ms(c, "cfs"), ms(c, "eevdf"), ms(c, series), format.Fixed(n.ratio(c, series), 3)})
	}
	return head, rows
}

// Conditions are what holds for all cells, and which series lack some of them.
func (n *Grid) Conditions() []string {
	out := []string{fmt.Sprintf("simulated: %d cells, means over seeds %s; a cell is lost if the %s is more than %g times that of the better of CFS and EEVDF; a P99 needs %d invocations of its group in a run under CFS, and is worse if it is more than %g times CFS's", len(n.cells), strings.Join(n.seeds, ", "), n.what, lost, stats.MinP99, lostTail)}
	for _, s := range n.series {
		if lacks := len(n.cells) - n.runs(s); lacks > 0 {
			out = append(out, fmt.Sprintf("%s has no run in %d of the %d cells: there it is neither lost nor in a mean", s, lacks, len(n.cells)))
		}
	}
	return out
}

// TSV has a line per cell and series: means in ms, and their ratios; empty where a series has no run.
func (n *Grid) TSV() string {
	var b strings.Builder
	b.WriteString("workload\tcores\tload\tseries\tmean_ms\trequest_ms\tover_better\tover_cfs\tover_oracle\tunfinished\n")
	for _, c := range n.cells {
		for _, s := range n.series {
			m := n.means[c][s]
			if m.rounds == 0 {
				m.mean, m.request = math.NaN(), math.NaN()
			}
			fmt.Fprintf(&b, "%s\t%d\t%g\t%s\t%s\t%s\t%s\t%s\t%s\t%d\n", c.workload, c.cores, c.load, s, format.Fixed(m.mean, 1), format.Fixed(m.request, 1),
				format.Fixed(n.ratio(c, s), 3), format.Fixed(n.over(s, "cfs")(c), 3), format.Fixed(n.over(s, Oracle)(c), 3), m.unfinished)
		}
	}
	return b.String()
}

// intros begin the pages, by experiment.
var intros = map[string]string{
	Experiment: "# Does it ever lose?\n\n" +
		"ALPS, SFS and [steady](policy.md#steady) beside CFS and EEVDF, by simulation: ten workloads, five of which are made to be hard, on 1 to 64 cores at 50 to\n" +
		"110 % load (`experiments/never.yaml`). The seeds are none that a parameter was chosen by. Every cell is in [never.tsv](never.tsv).\n\n",
	Attack: "# Attacks\n\n" +
		"Six workloads made to hurt [steady](policy.md#steady), by simulation, on 1, 4 and 24 cores at 80 to 110 % load (`experiments/attack.yaml`). Every cell is in [attack.tsv](attack.tsv).\n\n" +
		"- `swap`: half of the functions are long, and every 60 invocations the halves change places, so that what was learnt is the opposite of what comes\n" +
		"- `turncoat`: in the middle of a burst, the most frequent short function takes a second from then on\n" +
		"- `once`: ten thousand functions, most of which are called once\n" +
		"- `pool`: eight invocations of one function come at once\n" +
		"- `alike`: one function, always called alike: there is nothing to choose between\n" +
		"- `flood`: a tenth of the invocations comes a hundred times as fast as the others, most of it CPU time of long functions\n\n",
	Server: "# Does it ever lose, from the request?\n\n" +
		"ALPS, SFS and [steady](policy.md#steady) beside CFS and EEVDF, by simulation, where each function has one server for all its requests, with a lock, as in this\n" +
		"project's guest (`experiments/machines/guest.yaml`; [why it matters](findings.md#why-requests-wait-for-their-process)): eight workloads on 1 to 24 cores at 70 to 95 % load (`experiments/server.yaml`).\n" +
		"All means are from the client's request to the invocation's end. The seeds are none that a parameter was chosen by. Every cell is in [server.tsv](server.tsv).\n\n",
}

// Markdown is the page of docs/.
func (n *Grid) Markdown() string {
	var b strings.Builder
	b.WriteString("<!-- Generated by figures:fidelity from simulated results: do not edit. -->\n" + intros[n.name] +
		strings.Replace(strings.Join(n.Conditions(), ".\n\n**Missing:** "), "simulated", "Simulated", 1) + ".\n\n![heat map](" + n.name + ".svg)\n\n")
	b.WriteString(format.Markdown(n.Summary()))
	b.WriteString("\nMean over CFS's, geometric over the cells, and the same of the 99th percentile of the longest group:\n\n")
	b.WriteString(format.Markdown(n.by("load", func(c Cell) string { return format.Fixed(100*c.load, 0) + " %" })) + "\n")
	b.WriteString(format.Markdown(n.by("cores", func(c Cell) string { return strconv.Itoa(c.cores) })) + "\n")
	b.WriteString(format.Markdown(n.by("workload", func(c Cell) string { return c.workload })))
	judged := n.judgedSeries()
	slices.Reverse(judged) // the newest first
	for _, s := range judged {
		fmt.Fprintf(&b, "\n## Every cell that %s loses\n\n", s)
		if head, rows := n.lossTable(s); len(rows) > 0 {
			b.WriteString(format.Markdown(head, rows))
		} else {
			b.WriteString("None.\n")
		}
	}
	if n.name == Attack {
		fmt.Fprintf(&b, "\n## Every 99th percentile of a group but the longest that steady makes worse\n\n")
		b.WriteString(format.Markdown(n.tailTable("steady")))
	}
	return b.String()
}

// tailTable are the 99th percentiles that are worse, by cell and group.
func (n *Grid) tailTable(series string) (head []string, rows [][]string) {
	head = []string{"workload", "cores", "load", "group", "CFS, ms", series + ", ms", "× CFS's"}
	for _, t := range n.worse(series) {
		c := t.cell
		rows = append(rows, []string{c.workload, strconv.Itoa(c.cores), format.Fixed(100*c.load, 0) + " %", fmt.Sprintf("G%d", t.group+1), format.Fixed(n.means[c]["cfs"].p99[t.group], 0),
			format.Fixed(n.means[c][series].p99[t.group], 0), format.Fixed(t.ratio, 2)})
	}
	return head, rows
}

// Score says in how many of the cells in which it has a run a series loses, and how much in the worst.
type Score struct {
	Series      string
	Lost, Cells int
	Worst       float64 // its mean turnaround over that of the better of CFS and EEVDF, in the worst cell
}

// Scores are of the series that are neither a reference nor the bound.
func (n *Grid) Scores() []Score {
	var out []Score
	for _, s := range n.judgedSeries() {
		out = append(out, Score{Series: s, Lost: len(n.losses(s, n.value)), Cells: n.runs(s), Worst: n.worst(s)})
	}
	return out
}

// Question says in a sentence what a cell is and when it is lost.
func (n *Grid) Question() string {
	return fmt.Sprintf("Simulated: %d cells, each a workload on a number of cores at a load. A cell is lost if the %s is more than %g times that of the better of CFS and EEVDF.", len(n.cells), n.what, lost)
}
