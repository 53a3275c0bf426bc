// SPDX-License-Identifier: Apache-2.0

// Package paper has the numbers that the paper prints and plots, in one shape: a Number with its
// Position, which is figure, workload, load, group and series. README.md says where each file comes from.
package paper

import (
	"embed"
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

//go:embed *.csv
var files embed.FS

// Artifact is the series of ALPS in the order fifo, first come, first served, which
// the published comparison amounts to. The series alps has the order of the paper's
// text; both stand beside the ALPS that the paper plots.
const Artifact = "alps-artifact"

// Figures whose numbers were read off whole.
const (
	Bars   = "fig06" // five statistics of each group
	Curves = "fig05" // 24 quantiles of each group
	Orders = "order" // beyond the paper: the orders of ALPS, held against the plotted ALPS of Bars
)

// Experiments that repeat Bars in the paper's deployment.
const (
	Deployment = "deployment" // on as many CPUs as the other experiments
	Headline   = "headline"   // on as many as the paper's functions had
)

// Deployed stands between a series and its deployment where a figure has several.
const Deployed = ", deployment "

// Scheduler is the name of a series without its deployment.
func Scheduler(series string) string {
	scheduler, _, _ := strings.Cut(series, Deployed)
	return scheduler
}

// allGroups is the group of numbers over all invocations.
const allGroups = "all"

// BarsLoad is the load of Bars, in %.
const BarsLoad = 90

// barStatistics are the statistics of Bars, in the order of its file's columns.
var barStatistics = []string{"p50", "p75", "p90", "p99", "mean"}

// Position says where a number stands: a figure, its workload, its load in %, a
// group of functions (G1 to G4, or all) and a series.
type Position struct {
	Figure, Workload string
	LoadPct          int
	Group, Series    string
}

// Number is one number that the paper prints or plots (±1 %). Stat is mean or a
// percentile such as p99.5 of the turnaround, or of the measure that stands before it: slice_p50.
type Number struct {
	Position
	Stat  string
	Value float64 // in Unit
	Unit  string
}

// OfCurve says whether the number is a point of a curve of Fig 5.
func (n Number) OfCurve() bool { return n.Figure == Curves && n.Group != allGroups }

// OfBar says whether the number is a bar of Fig 6.
func (n Number) OfBar() bool { return n.Figure == Bars }

// Compared is a number of ours beside the paper's.
type Compared struct {
	Position
	Stat, Unit  string
	Ours, Paper float64 // in Unit
	N           int     // invocations or on-CPU segments behind ours
}

// Ratio is ours as a multiple of the paper's.
func (c Compared) Ratio() float64 { return c.Ours / c.Paper }

// records calls convert for every row of a file below its header. It adds file and line to an error of convert.
func records(name string, convert func(row []string) error) error {
	f, err := files.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return fmt.Errorf("figures/paper/%s: %w", name, err)
	}
	for i, row := range rows[1:] {
		if err := convert(row); err != nil {
			return fmt.Errorf("figures/paper/%s:%d: %w", name, i+2, err)
		}
	}
	return nil
}

// Numbers are all that the paper gives in its figures: the bars of Fig 6, the
// curves of Fig 5 by ascending quantile, then the single numbers of the others.
func Numbers() ([]Number, error) {
	var out []Number
	err := records("fig06.csv", func(row []string) error {
		position := Position{Bars, row[0], BarsLoad, row[1], strings.ToLower(row[2])}
		for i, stat := range barStatistics {
			v, err := strconv.ParseFloat(row[3+i], 64)
			if err != nil {
				return err
			}
			out = append(out, Number{position, stat, v, "ms"})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = records("fig05.csv", func(row []string) error {
		load, err1 := strconv.Atoi(row[2])
		quantile, err2 := strconv.ParseFloat(row[4], 64)
		v, err3 := strconv.ParseFloat(row[5], 64)
		out = append(out, Number{Position{Curves, row[0], load, row[1], strings.ToLower(row[3])}, percentile(quantile), v, "ms"})
		return errors.Join(err1, err2, err3)
	})
	if err != nil {
		return nil, err
	}
	err = records("others.csv", func(row []string) error {
		load, err1 := strconv.Atoi(row[2])
		v, err2 := strconv.ParseFloat(row[6], 64)
		out = append(out, Number{Position{row[0], row[1], load, row[3], row[4]}, row[5], v, row[7]})
		return errors.Join(err1, err2)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// percentile is the name of a quantile (0 to 1), such as p99.5. 0.55 is p55, though 100 × 0.55 is a little more.
func percentile(quantile float64) string {
	return fmt.Sprintf("p%g", math.Round(1e6*quantile)/1e4)
}

// Reference is what the paper gives of every position.
type Reference map[Position][]Number

// NewReference reads all numbers.
func NewReference() (Reference, error) {
	numbers, err := Numbers()
	if err != nil {
		return nil, err
	}
	out := Reference{}
	for _, n := range numbers {
		out[n.Position] = append(out[n.Position], n)
	}
	return out, nil
}

// At is what the paper gives to compare a series of ours with, whatever its deployment: for the orders of ALPS
// and for Artifact that is the ALPS which the paper plots.
func (r Reference) At(position Position) []Number {
	position.Series = Scheduler(position.Series)
	if position.Figure == Deployment || position.Figure == Headline {
		position.Figure = Bars
	}
	if position.Figure == Orders {
		position.Figure, position.Series = Bars, "alps"
	}
	if position.Series == Artifact {
		position.Series = "alps"
	}
	return r[position]
}

// Table is a printed table of the paper.
type Table struct {
	Cells  [][2]string           // row and column of each, in the order they are printed
	Values map[[2]string]float64 // by row and column
}

// ReadTable is table1 (%), table2 (s) or table3 (ns on the paper's host). Of another name it is empty.
func ReadTable(name string) (Table, error) {
	t := Table{Values: map[[2]string]float64{}}
	err := records("tables.csv", func(row []string) (err error) {
		if row[0] != name {
			return nil
		}
		cell := [2]string{row[1], row[2]}
		t.Cells = append(t.Cells, cell)
		t.Values[cell], err = strconv.ParseFloat(row[3], 64)
		return err
	})
	return t, err
}

// String is a position as people say it.
func (p Position) String() string {
	text := fmt.Sprintf("%s on %s at %d %% in %s", p.Series, p.Workload, p.LoadPct, p.Figure)
	if p.Group != allGroups {
		text = p.Group + " under " + text
	}
	return text
}
