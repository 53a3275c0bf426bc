// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/format"
	"github.com/ds2-lab/alps/figures/paper"
)

// Cell is a number of a table beside the paper's.
type Cell struct {
	Row, Column string
	Ours, paper float64 // in the grid's unit, or the column's; NaN: none
}

// Grid is a table of the paper.
type Grid struct {
	Name, Title, Note string
	corner            string  // the heading above the rows' names
	Unit              string  // empty: each column has its own
	digits            int     // -1: as many as help, up to two
	value             string  // the column of table.csv that is shown
	rowOf, columnOf   string  // the columns of table.csv that name a cell's row and column
	paperFactor       float64 // the paper's values times this are in Unit
	all               bool    // cells that only the paper has are shown, too
	Cells             []Cell
	From              results.Result
}

// Grids are the paper's tables, without their cells: copy one and Read it.
var Grids = []Grid{
	{Name: "table1", Title: "Invocations per group", corner: "workload", Unit: "%", digits: 1, value: "share_pct", rowOf: "workload", columnOf: "group", paperFactor: 1,
		Note: "Counted from the rows that are replayed. Azure's are those of the public artifact, which are not in the shares of the paper's table."},
	{Name: "table2", Title: "What an update of the policy takes", corner: "learner, records", Unit: "ms", digits: 2, value: "median_us", rowOf: "learner", columnOf: "records", paperFactor: 1000,
		Note: "Median, timed in this process, so no two hosts agree. An update here includes the SRPT simulation, so the paper's learner and SRPT times are added up."},
	{Name: "table3", Title: "What the hooks cost", corner: "", digits: -1, value: "value", rowOf: "what", columnOf: "in", paperFactor: 1, all: true,
		Note: "A switch is between two processes in two cgroups, over a pipe. In virtual time the guest's clock counts instructions, one per ns; they are not the paper's ns and are not compared with them. " +
			"On this host only the hooks' programs run, by the kernel's own test run, without what calls them; its per-decision value uses the calls counted in the guest. ghOSt is not run."},
}

// Read fills the grid from the table that the engine host wrote; false if there is none. A table that lacks a
// column, or has something else than a number, is an error.
func (g *Grid) Read(l *Library) (bool, error) {
	s, err := l.Figure(g.Name, results.EngineSim)
	if err != nil || s == nil || len(s.Series) == 0 || s.Series[0].Result.Table == nil {
		return false, err
	}
	g.From = s.Series[0].Result
	t := g.From.Table
	at := map[string]int{}
	for i, c := range t.Columns {
		at[c] = i
	}
	for _, c := range []string{g.value, g.rowOf, g.columnOf} {
		if _, ok := at[c]; !ok {
			return false, fmt.Errorf("%s: no column %s in table.csv: run the experiment again", g.Name, c)
		}
	}
	paper, err := paper.ReadTable(g.Name)
	if err != nil {
		return false, err
	}
	g.Cells = nil
	for _, r := range t.Rows {
		v, err := strconv.ParseFloat(r[at[g.value]], 64)
		if err != nil {
			return false, fmt.Errorf("%s: %s: %w", g.Name, g.value, err)
		}
		if strings.HasSuffix(g.value, "_us") {
			v /= 1000
		}
		g.Cells = append(g.Cells, Cell{r[at[g.rowOf]], r[at[g.columnOf]], v, g.printed(paper, r[at[g.rowOf]], r[at[g.columnOf]])})
	}
	if !g.all {
		return true, nil
	}
	for _, p := range paper.Cells {
		if v, _ := g.Find(p[0], p[1]); math.IsNaN(v) {
			g.Cells = append(g.Cells, Cell{p[0], p[1], math.NaN(), paper.Values[p] * g.paperFactor})
		}
	}
	return true, nil
}

// printed is the paper's value of a cell in the grid's unit; NaN if the paper has none. The time of SRPT, which
// an update of ours includes, is added to that of a learner.
func (g Grid) printed(t paper.Table, row, column string) float64 {
	p, ok := t.Values[[2]string{row, column}]
	if !ok {
		return math.NaN()
	}
	return (p + t.Values[[2]string{srptRow, column}]) * g.paperFactor
}

// srptRow is the row of the paper's Table 2 that is no learner.
const srptRow = "srpt"

// OfPaper is the grid with the paper's numbers in place of ours.
func (g Grid) OfPaper() (Grid, error) {
	t, err := paper.ReadTable(g.Name)
	g.Cells = nil
	for _, c := range t.Cells {
		if c[0] != srptRow {
			v := g.printed(t, c[0], c[1])
			g.Cells = append(g.Cells, Cell{c[0], c[1], v, v})
		}
	}
	return g, err
}

// Lines are the grid's rows under a head, ours and in brackets the paper's.
func (g Grid) Lines() (head []string, rows [][]string) {
	columns := Distinct(g.Cells, func(c Cell) string { return c.Column })
	for _, r := range Distinct(g.Cells, func(c Cell) string { return c.Row }) {
		line := []string{r}
		for _, col := range columns {
			ours, paper := g.Find(r, col)
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

// number is v with the grid's digits and so many more; nothing of NaN.
func (g Grid) number(v float64, more int) string {
	if g.digits < 0 {
		return strings.TrimSuffix(strings.TrimRight(format.Fixed(v, 2), "0"), ".")
	}
	return format.Fixed(v, g.digits+more)
}

// TSV has a line per cell: its row, column and unit, ours, the paper's and the ratio.
func (g Grid) TSV() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\t%s\tunit\tours\tpaper\tours/paper\n", g.rowOf, g.columnOf)
	for _, c := range g.Cells {
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\t%s\t%s\n", c.Row, c.Column, cmp.Or(g.Unit, c.Column), g.number(c.Ours, 1), g.number(c.paper, 1), format.Fixed(c.Ours/c.paper, 3))
	}
	return b.String()
}

// Markdown is the table with the paper's values in brackets, and its note.
func (g Grid) Markdown() string {
	head, rows := g.Lines()
	title := g.Title
	if g.Unit != "" {
		title += ", " + g.Unit
	}
	return fmt.Sprintf("%s; in brackets the paper's.\n\n%s\n%s\n", title, format.Markdown(head, rows), g.Note)
}

// Find is our value of a cell, and the paper's; NaN where there is none.
func (g Grid) Find(row, column string) (ours, paper float64) {
	for _, c := range g.Cells {
		if c.Row == row && c.Column == column {
			return c.Ours, c.paper
		}
	}
	return math.NaN(), math.NaN()
}
