package figures

import (
	"embed"
	"encoding/csv"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

//go:embed paper/*.csv
var paperFiles embed.FS

// paperRows are the rows of a file below their header.
func paperRows(name string) ([][]string, error) {
	f, err := paperFiles.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return rows[1:], nil
}

// stats is what Fig 6 shows of one group under one scheduler, in ms.
type stats struct {
	P50, P75, P90, P99, Mean float64
}

// paperFig06 is the paper's bars: workload → group → scheduler (lower case).
func paperFig06() (map[string]map[string]map[string]stats, error) {
	const name = "paper/fig06.csv"
	rows, err := paperRows(name)
	if err != nil {
		return nil, err
	}
	out := map[string]map[string]map[string]stats{}
	for i, r := range rows {
		var v [5]float64
		for j := range v {
			if v[j], err = strconv.ParseFloat(r[3+j], 64); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, i+2, err)
			}
		}
		if out[r[0]] == nil {
			out[r[0]] = map[string]map[string]stats{}
		}
		if out[r[0]][r[1]] == nil {
			out[r[0]][r[1]] = map[string]stats{}
		}
		out[r[0]][r[1]][strings.ToLower(r[2])] = stats{v[0], v[1], v[2], v[3], v[4]}
	}
	return out, nil
}

// curve names one of Fig 5.
type curve struct {
	Workload, Group string
	LoadPct         int
	Scheduler       string // lower case
}

// point of a curve.
type point struct{ Quantile, MS float64 }

// paperFig05 is the paper's curves, by ascending quantile.
func paperFig05() (map[curve][]point, error) {
	const name = "paper/fig05.csv"
	rows, err := paperRows(name)
	if err != nil {
		return nil, err
	}
	out := map[curve][]point{}
	for i, r := range rows {
		load, err1 := strconv.Atoi(r[2])
		q, err2 := strconv.ParseFloat(r[4], 64)
		ms, err3 := strconv.ParseFloat(r[5], 64)
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+2, err)
		}
		c := curve{r[0], r[1], load, strings.ToLower(r[3])}
		out[c] = append(out[c], point{q, ms})
	}
	return out, nil
}

// paperOthers are single numbers of the other figures.
func paperOthers() ([]other, error) {
	const name = "paper/others.csv"
	rows, err := paperRows(name)
	if err != nil {
		return nil, err
	}
	var out []other
	for i, r := range rows {
		load, err1 := strconv.Atoi(r[2])
		v, err2 := strconv.ParseFloat(r[6], 64)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+2, err)
		}
		out = append(out, other{r[0], r[1], load, r[3], r[4], r[5], v, r[7]})
	}
	return out, nil
}

// paperNumbers are the bars of Fig 6, the curves of Fig 5 and the other numbers.
func paperNumbers() (bars map[string]map[string]map[string]stats, curves map[curve][]point, others []other, err error) {
	bars, err1 := paperFig06()
	curves, err2 := paperFig05()
	others, err3 := paperOthers()
	return bars, curves, others, errors.Join(err1, err2, err3)
}

// place is where a number stands: of a figure, its workload, load, group of
// functions and series.
type place struct {
	figure, workload string
	load             int // %
	group, series    string
}

// reference is all that the paper gives in numbers. A statistic's name begins
// with what is measured, as in slice_p50.
type reference map[place][]paperStat

// artifact is the series of ALPS in the order that the published comparison amounts
// to, fifo. Both it and alps, of which the text speaks, stand beside the ALPS that the paper plots.
const artifact = "alps-artifact"

// orders are compared with the ALPS that the paper plots in Fig 6.
const ordersFigure, ordersReference = "order", "fig06"

func newReference() (reference, error) {
	bars, curves, others, err := paperNumbers()
	if err != nil {
		return nil, err
	}
	out := reference{}
	for workload, groups := range bars {
		for group, schedulers := range groups {
			for s, v := range schedulers {
				out[place{"fig06", workload, 90, group, s}] = []paperStat{{"p50", v.P50}, {"p75", v.P75}, {"p90", v.P90}, {"p99", v.P99}, {"mean", v.Mean}}
			}
		}
	}
	for c, points := range curves {
		at := place{"fig05", c.Workload, c.LoadPct, c.Group, c.Scheduler}
		for _, p := range points {
			out[at] = append(out[at], paperStat{fmt.Sprintf("p%g", 100*p.Quantile), p.MS})
		}
	}
	for _, o := range others {
		at := place{o.Figure, o.Workload, o.LoadPct, o.Group, o.Series}
		out[at] = append(out[at], paperStat{o.Stat, o.Value})
	}
	return out, nil
}

// of is what the paper has of a place and a measure; names lose the measure.
func (r reference) of(at place, what string) []paperStat {
	if at.figure == ordersFigure {
		at.figure, at.series = ordersReference, "alps"
	}
	if at.series == artifact {
		at.series = "alps"
	}
	var out []paperStat
	for _, s := range r[at] {
		if w, name := splitStat(s.name); w == what {
			out = append(out, paperStat{name, s.value})
		}
	}
	return out
}
