package figures

import (
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

// grid is Table 1 or 2 of the paper.
type grid struct {
	name, title, note string
	corner, unit      string
	digits            int
	value             string // the column that is shown
	rowOf, columnOf   string // and those that name its row and column
	paperFactor       float64
	cells             []cell
	run               results.Run
}

var grids = []grid{
	{name: "table1", title: "Invocations per group", corner: "workload", unit: "%", digits: 1, value: "share_pct", rowOf: "workload", columnOf: "group", paperFactor: 1,
		note: "Counted from the rows that are replayed. Azure's are those of the public artifact, which are not in the shares of the paper's table."},
	{name: "table2", title: "What an update of the policy takes", corner: "learner, records", unit: "ms", digits: 2, value: "median_us", rowOf: "learner", columnOf: "records", paperFactor: 1000,
		note: "Median, timed in this process, so no two machines agree. An update here includes the SRPT simulation, so the paper's learner and SRPT times are added up."},
}

// read fills the grid from the table that the engine host wrote; false if there is none.
func (g *grid) read(l *library) (bool, error) {
	s, err := l.get(g.name, results.EngineSim)
	if err != nil || s == nil || len(s.series) == 0 || s.series[0].Result.Table == nil {
		return false, err
	}
	g.run = s.series[0].Result.Run
	t := s.series[0].Result.Table
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
		if p, ok := paper[[2]string{c.row, c.column}]; ok {
			c.paper = (p + paper[[2]string{"srpt", c.column}]) * g.paperFactor
		}
		g.cells = append(g.cells, c)
	}
	return true, nil
}

// paperTable is a table of the paper by row and column.
func paperTable(name string) (map[[2]string]float64, error) {
	const file = "paper/tables.csv"
	rows, err := paperRows(file)
	if err != nil {
		return nil, err
	}
	out := map[[2]string]float64{}
	for i, r := range rows {
		if r[0] != name {
			continue
		}
		if out[[2]string{r[1], r[2]}], err = strconv.ParseFloat(r[3], 64); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, i+2, err)
		}
	}
	return out, nil
}

// lines are the grid's rows under a head, ours and in brackets the paper's.
func (g grid) lines() (head []string, rows [][]string) {
	row := func(c cell) string { return c.row }
	column := func(c cell) string { return c.column }
	head = append([]string{g.corner}, distinctOf(g.cells, column)...)
	for _, r := range distinctOf(g.cells, row) {
		line := []string{r}
		for _, c := range g.cells {
			if c.row == r {
				line = append(line, strings.TrimSuffix(fmt.Sprintf("%s (%s)", num(c.ours, g.digits), num(c.paper, g.digits)), " ()"))
			}
		}
		rows = append(rows, line)
	}
	return head, rows
}

func (g grid) tsv() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\t%s\tunit\tours\tpaper\tours/paper\n", g.rowOf, g.columnOf)
	for _, c := range g.cells {
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\t%s\t%s\n", c.row, c.column, g.unit, num(c.ours, g.digits+1), num(c.paper, g.digits+1), num(c.ours/c.paper, 3))
	}
	return b.String()
}

func (g grid) markdown() string {
	head, rows := g.lines()
	return fmt.Sprintf("%s, %s; in brackets the paper's.\n\n%s\n%s\n", g.title, g.unit, table(head, rows), g.note)
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
