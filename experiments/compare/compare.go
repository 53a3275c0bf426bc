// SPDX-License-Identifier: Apache-2.0

// Package compare puts the series of an experiment beside each other: a table for
// every cell, which is a workload at a load on a number of CPUs in a deployment,
// and in how many cells each series is better than another.
package compare

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/ds2-lab/alps/experiments/results"
)

// Cell is a combination of workload, load, number of CPUs and deployment, in which
// series are compared.
type Cell struct {
	Workload     string
	Load         float64 // CPU time demanded / CPU time of the functions' CPUs, as the figure says it
	FunctionCPUs int
	Deployment   string // of package config; "" in a simulation
}

// String names the cell for people.
func (c Cell) String() string {
	s := fmt.Sprintf("%s at %.0f %%", c.Workload, 100*c.Load)
	if c.FunctionCPUs == 1 {
		s += ", 1 function CPU"
	} else {
		s += fmt.Sprintf(", %d function CPUs", c.FunctionCPUs)
	}
	if c.Deployment != "" {
		s += ", deployment " + c.Deployment
	}
	return s
}

// Row is a series in a cell, over all its rounds. Times are in ms; one that is not
// known is NaN.
type Row struct {
	Cell        Cell
	Series      string
	Kernel      string    // in kernels.yaml, where the experiment names one
	Rounds      int       // that the row comes of
	N           int       // invocations
	Mean        float64   // turnaround
	FromRequest float64   // mean, from the client's request to the end
	P99         []float64 // turnaround, by results.Groups
}

// Read reads the rows of an experiment that ran on an engine, from the results
// directory root. problems name the runs that are missing or not valid; no row has
// them. It is an error if the experiment has no plan there.
func Read(root, engine, experiment string) (rows []Row, problems []error, err error) {
	found, problems, err := results.NewPool(root, engine).Plan(experiment)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("compare: %s has no results of engine %s: experiments:run %s", experiment, engine, experiment)
	}
	if err != nil {
		return nil, nil, err
	}
	type at struct {
		Cell
		series string
	}
	index := map[at]int{}
	pooled := map[int][]results.Invocation{}
	for _, s := range found {
		r := s.Result
		if !r.Run.Valid {
			problems = append(problems, fmt.Errorf("%s is not valid: %s", s, strings.Join(r.Run.Invalid, "; ")))
			continue
		}
		if r.Table != nil {
			more, err := fromTable(s.Name, r.Table)
			if err != nil {
				return nil, nil, err
			}
			rows = append(rows, more...)
			continue
		}
		k := at{Cell{r.Run.Workload, s.Load, r.Run.FunctionCPUs, r.Run.Deployment}, s.Name}
		i, ok := index[k]
		if !ok {
			i = len(rows)
			index[k] = i
			rows = append(rows, Row{Cell: k.Cell, Series: s.Name, Kernel: s.Kernel})
		}
		rows[i].Rounds++
		pooled[i] = append(pooled[i], r.Invocations...)
	}
	for i, invocations := range pooled {
		rows[i].summarize(invocations)
	}
	slices.SortStableFunc(rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Cell.FunctionCPUs, b.Cell.FunctionCPUs), cmp.Compare(a.Cell.Deployment, b.Cell.Deployment),
			cmp.Compare(a.Cell.Workload, b.Cell.Workload), cmp.Compare(a.Cell.Load, b.Cell.Load))
	})
	return rows, problems, nil
}

func (r *Row) summarize(invocations []results.Invocation) {
	for _, s := range results.Summarize(invocations) {
		if s.Group == results.All {
			r.N, r.Mean, r.FromRequest = s.N, s.Mean, s.EndToEnd
		} else {
			r.P99 = append(r.P99, s.P99)
		}
	}
}

// fromTable reads the table of a simulated grid, which has a row per cell, series and
// seed. A grid keeps no invocations: mean and P99 are the means of the rounds' values,
// P99 of those rounds in which the group has invocations.
func fromTable(name string, t *results.Table) ([]Row, error) {
	column := map[string]int{}
	for i, c := range t.Columns {
		column[c] = i
	}
	var errs []error
	number := func(line int, fields []string, key string) float64 {
		i, ok := column[key]
		if !ok {
			errs = append(errs, fmt.Errorf("compare: the table of %s has no column %s", name, key))
			return math.NaN()
		}
		v, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			errs = append(errs, fmt.Errorf("compare: the table of %s: line %d, %s: %w", name, line+2, key, err))
		}
		return v
	}
	for _, c := range []string{"workload", "series"} {
		if _, ok := column[c]; !ok {
			return nil, fmt.Errorf("compare: %s is no table of series in cells: it has no column %s", name, c)
		}
	}
	type at struct {
		Cell
		series string
	}
	index := map[at]int{}
	var rows []Row
	var known [][]int // by row and group: rounds with a P99
	for line, f := range t.Rows {
		k := at{Cell{Workload: f[column["workload"]], Load: number(line, f, "load"), FunctionCPUs: int(number(line, f, "cores"))}, f[column["series"]]}
		i, ok := index[k]
		if !ok {
			i = len(rows)
			index[k] = i
			rows = append(rows, Row{Cell: k.Cell, Series: k.series, P99: slices.Repeat([]float64{math.NaN()}, len(results.Groups))})
			known = append(known, make([]int, len(results.Groups)))
		}
		r := &rows[i]
		r.Rounds++
		r.N += int(number(line, f, "n"))
		r.Mean = mix(r.Mean, number(line, f, "mean_ms"), r.Rounds)
		r.FromRequest = mix(r.FromRequest, number(line, f, "request_ms"), r.Rounds)
		for g := range results.Groups {
			p99 := number(line, f, strings.ToLower(results.Groups[g])+"_p99_ms")
			if p99 == 0 { // nobody is in the group
				continue
			}
			if known[i][g]++; known[i][g] == 1 {
				r.P99[g] = 0
			}
			r.P99[g] = mix(r.P99[g], p99, known[i][g])
		}
		if len(errs) > 0 {
			return nil, errors.Join(errs...)
		}
	}
	return rows, nil
}

// mix is the mean of n values of which v is the last and old the mean of the others.
func mix(old, v float64, n int) float64 { return old + (v-old)/float64(n) }

// Write prints a table for every cell, with each series' difference to the one called
// base, and then in how many cells each series is better. base "" is the first series.
// It is an error if there are no rows, or none of base.
func Write(w io.Writer, rows []Row, base string) error {
	if len(rows) == 0 {
		return errors.New("compare: nothing to compare")
	}
	base = cmp.Or(base, rows[0].Series)
	if !slices.ContainsFunc(rows, func(r Row) bool { return r.Series == base }) {
		return fmt.Errorf("compare: no series %q: there are %s", base, strings.Join(seriesOf(rows), ", "))
	}
	for _, cell := range cells(rows) {
		of := in(rows, cell)
		i := slices.IndexFunc(of, func(r Row) bool { return r.Series == base })
		fmt.Fprintf(w, "%s\n", cell)
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintf(tw, "\tseries\trounds\tinvocations\tmean, ms\tagainst %s\tfrom request, ms\tagainst %s\t", base, base)
		for _, g := range results.Groups {
			fmt.Fprintf(tw, "%s P99, ms\t", g)
		}
		fmt.Fprintln(tw)
		for _, r := range of {
			name := r.Series
			if r.Kernel != "" {
				name += " (" + r.Kernel + ")"
			}
			b := Row{Mean: math.NaN(), FromRequest: math.NaN()}
			if i >= 0 {
				b = of[i]
			}
			fmt.Fprintf(tw, "\t%s\t%d\t%d\t%s\t%s\t%s\t%s\t", name, r.Rounds, r.N, number(r.Mean), change(r.Mean, b.Mean), number(r.FromRequest), change(r.FromRequest, b.FromRequest))
			for _, p := range r.P99 {
				fmt.Fprintf(tw, "%s\t", number(p))
			}
			fmt.Fprintln(tw)
		}
		if err := tw.Flush(); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	return writeScore(w, rows, base)
}

// writeScore prints in how many cells each series has a lower mean than base, and
// than the best of all others.
func writeScore(w io.Writer, rows []Row, base string) error {
	all := cells(rows)
	fmt.Fprintf(w, "Cells with a lower mean, of %d:\n", len(all))
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(tw, "\tseries\tthan %s\tfrom request\tthan all others\tfrom request\t\n", base)
	for _, name := range seriesOf(rows) {
		var wins [4]int
		for _, c := range all {
			of := in(rows, c)
			i := slices.IndexFunc(of, func(r Row) bool { return r.Series == name })
			if i < 0 {
				continue
			}
			for k, value := range []func(Row) float64{func(r Row) float64 { return r.Mean }, func(r Row) float64 { return r.FromRequest }} {
				best, others, than := math.Inf(1), 0, math.NaN()
				for j, r := range of {
					if r.Series == base {
						than = value(r)
					}
					if j != i {
						best, others = min(best, value(r)), others+1
					}
				}
				if value(of[i]) < than {
					wins[k]++
				}
				if others > 0 && value(of[i]) < best {
					wins[2+k]++
				}
			}
		}
		if name == base {
			fmt.Fprintf(tw, "\t%s\t\t\t%d\t%d\t\n", name, wins[2], wins[3])
			continue
		}
		fmt.Fprintf(tw, "\t%s\t%d\t%d\t%d\t%d\t\n", name, wins[0], wins[1], wins[2], wins[3])
	}
	return tw.Flush()
}

func number(v float64) string {
	switch {
	case math.IsNaN(v):
		return "-"
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}

// change is by how much v is above b, in percent of b.
func change(v, b float64) string {
	if math.IsNaN(v) || !(b > 0) {
		return "-"
	}
	return fmt.Sprintf("%+.1f %%", 100*(v/b-1))
}

func in(rows []Row, c Cell) []Row {
	return slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return r.Cell != c })
}

// cells lists the cells of rows, each once, in the rows' order.
func cells(rows []Row) (out []Cell) {
	for _, r := range rows {
		if !slices.Contains(out, r.Cell) {
			out = append(out, r.Cell)
		}
	}
	return out
}

// seriesOf lists the names of the rows' series, each once, in the rows' order.
func seriesOf(rows []Row) (out []string) {
	for _, r := range rows {
		if !slices.Contains(out, r.Series) {
			out = append(out, r.Series)
		}
	}
	return out
}
