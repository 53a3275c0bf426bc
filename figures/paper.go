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
