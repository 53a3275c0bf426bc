package figures

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/ds2-lab/alps/experiments/results"
)

// cell is a number of a table beside the paper's.
type cell struct {
	row, column string
	ours, paper float64
}

// grid is a table of the paper.
type grid struct {
	name, title, note string
	corner            string
	unit              string // none: each column has its own
	digits            int    // -1: as many as help, up to two
	value             string // the column that is shown
	rowOf, columnOf   string // and those that name its row and column
	paperFactor       float64
	all               bool // what only the paper has is shown, too
	cells             []cell
	from              results.Result
}

var grids = []grid{
	{name: "table1", title: "Invocations per group", corner: "workload", unit: "%", digits: 1, value: "share_pct", rowOf: "workload", columnOf: "group", paperFactor: 1,
		note: "Counted from the rows that are replayed. Azure's are those of the public artifact, which are not in the shares of the paper's table."},
	{name: "table2", title: "What an update of the policy takes", corner: "learner, records", unit: "ms", digits: 2, value: "median_us", rowOf: "learner", columnOf: "records", paperFactor: 1000,
		note: "Median, timed in this process, so no two machines agree. An update here includes the SRPT simulation, so the paper's learner and SRPT times are added up."},
	{name: "table3", title: "What the hooks cost", corner: "", digits: -1, value: "value", rowOf: "what", columnOf: "in", paperFactor: 1, all: true,
		note: "A switch is between two processes in two cgroups, over a pipe. In virtual time the guest's clock counts instructions, one per ns; they are not the paper's ns and are not compared with them. " +
			"On this host only the hooks' programs run, by the kernel's own test run, without what calls them; its per-decision value uses the calls counted in the guest. ghOSt is not run."},
}

// read fills the grid from the table that the engine host wrote; false if there is none.
func (g *grid) read(l *library) (bool, error) {
	s, err := l.get(g.name, results.EngineSim)
	if err != nil || s == nil || len(s.series) == 0 || s.series[0].Result.Table == nil {
		return false, err
	}
	g.from = s.series[0].Result
	t := g.from.Table
	at := map[string]int{}
	for i, c := range t.Columns {
		at[c] = i
	}
	for _, c := range []string{g.value, g.rowOf, g.columnOf} {
		if _, ok := at[c]; !ok {
			return false, fmt.Errorf("%s: no column %s in table.csv: run the experiment again", g.name, c)
		}
	}
	paper, err := paperTable(g.name)
	if err != nil {
		return false, err
	}
	g.cells = nil
	for _, r := range t.Rows {
		v, err := strconv.ParseFloat(r[at[g.value]], 64)
		if err != nil {
			return false, fmt.Errorf("%s: %s: %w", g.name, g.value, err)
		}
		if strings.HasSuffix(g.value, "_us") {
			v /= 1000
		}
		c := cell{r[at[g.rowOf]], r[at[g.columnOf]], v, math.NaN()}
		if p, ok := paper.values[[2]string{c.row, c.column}]; ok {
			c.paper = (p + paper.values[[2]string{"srpt", c.column}]) * g.paperFactor
		}
		g.cells = append(g.cells, c)
	}
	if !g.all {
		return true, nil
	}
	for _, p := range paper.order {
		if v, _ := g.find(p[0], p[1]); math.IsNaN(v) {
			g.cells = append(g.cells, cell{p[0], p[1], math.NaN(), paper.values[p] * g.paperFactor})
		}
	}
	return true, nil
}

// printed is a table of the paper by row and column.
type printed struct {
	order  [][2]string
	values map[[2]string]float64
}

func paperTable(name string) (printed, error) {
	const file = "paper/tables.csv"
	out := printed{values: map[[2]string]float64{}}
	rows, err := paperRows(file)
	if err != nil {
		return out, err
	}
	for i, r := range rows {
		if r[0] != name {
			continue
		}
		at := [2]string{r[1], r[2]}
		if out.values[at], err = strconv.ParseFloat(r[3], 64); err != nil {
			return out, fmt.Errorf("%s:%d: %w", file, i+2, err)
		}
		out.order = append(out.order, at)
	}
	return out, nil
}

// lines are the grid's rows under a head, ours and in brackets the paper's.
func (g grid) lines() (head []string, rows [][]string) {
	columns := distinctOf(g.cells, func(c cell) string { return c.column })
	for _, r := range distinctOf(g.cells, func(c cell) string { return c.row }) {
		line := []string{r}
		for _, col := range columns {
			ours, paper := g.find(r, col)
			text := g.number(ours, 0)
			if p := g.number(paper, 0); p != "" {
				text = strings.TrimSpace(text + " (" + p + ")")
			}
			line = append(line, text)
		}
		rows = append(rows, line)
	}
	return append([]string{g.corner}, columns...), rows
}

// number with the grid's digits, or more.
func (g grid) number(v float64, more int) string {
	if g.digits < 0 {
		return strings.TrimSuffix(strings.TrimRight(num(v, 2), "0"), ".")
	}
	return num(v, g.digits+more)
}

func (g grid) tsv() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\t%s\tunit\tours\tpaper\tours/paper\n", g.rowOf, g.columnOf)
	for _, c := range g.cells {
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\t%s\t%s\n", c.row, c.column, cmp.Or(g.unit, c.column), g.number(c.ours, 1), g.number(c.paper, 1), num(c.ours/c.paper, 3))
	}
	return b.String()
}

func (g grid) markdown() string {
	head, rows := g.lines()
	title := g.title
	if g.unit != "" {
		title += ", " + g.unit
	}
	return fmt.Sprintf("%s; in brackets the paper's.\n\n%s\n%s\n", title, table(head, rows), g.note)
}

// find is our value of a cell, and the paper's.
func (g grid) find(row, column string) (ours, paper float64) {
	for _, c := range g.cells {
		if c.row == row && c.column == column {
			return c.ours, c.paper
		}
	}
	return math.NaN(), math.NaN()
}
