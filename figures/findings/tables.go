// SPDX-License-Identifier: Apache-2.0

package findings

import (
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ds2-lab/alps/figures/format"
)

// tables reads what the report, fidelity and never have left in docs/.
type tables struct{ docs string }

// rows are the lines below the header of a file of columns separated by tabs; each maps a column's name to its text.
func (t *tables) rows(file string) ([]map[string]string, error) {
	f, err := os.Open(filepath.Join(t.docs, file))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma = '\t'
	lines, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var rows []map[string]string
	for _, line := range lines[min(1, len(lines)):] {
		row := map[string]string{}
		for i, name := range lines[0] {
			row[name] = line[i]
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// value is a column, "ours" or "paper", of a figure's row at 90 % load, in the row's unit.
func (t *tables) value(file, column, workload, group, series, stat string) (float64, error) {
	rows, err := t.rows(file)
	if err != nil {
		return 0, err
	}
	for _, r := range rows {
		if r["workload"] == workload && r["load_pct"] == "90" && r["group"] == group && r["series"] == series && r["stat"] == stat {
			return number(file, r[column])
		}
	}
	return 0, fmt.Errorf("%s: no row of %s at 90 %% with group %s, series %s, stat %s", file, workload, group, series, stat)
}

// mean is the mean turnaround of all groups at 90 % load, in ms: the groups' means, weighted by how many
// invocations of ours there are, also where the means are the paper's.
func (t *tables) mean(file, column, workload, series string) (float64, error) {
	rows, err := t.rows(file)
	if err != nil {
		return 0, err
	}
	var sum, all float64
	for _, r := range rows {
		if r["workload"] != workload || r["load_pct"] != "90" || r["series"] != series || r["stat"] != "mean" || r["group"] == "all" {
			continue
		}
		v, err := number(file, r[column])
		if err != nil {
			return 0, err
		}
		n, err := number(file, r["n"])
		if err != nil {
			return 0, err
		}
		sum, all = sum+v*n, all+n
	}
	if all == 0 {
		return 0, fmt.Errorf("%s: no means of %s at 90 %% with series %s", file, workload, series)
	}
	return sum / all, nil
}

// average is a series's mean at 90 % load as report/means.tsv has it: column is turnaround_ms,
// request_ms (from the client's request) or switches.
func (t *tables) average(figure, engine, workload, series, column string) (float64, error) {
	const file = "report/means.tsv"
	rows, err := t.rows(file)
	if err != nil {
		return 0, err
	}
	for _, r := range rows {
		if r["figure"] == figure && r["engine"] == engine && r["workload"] == workload && r["load_pct"] == "90" && r["series"] == series {
			return number(file, r[column])
		}
	}
	return 0, fmt.Errorf("%s: no row of %s, %s, %s at 90 %% with series %s", file, figure, engine, workload, series)
}

// against is by how much a series's mean at 90 % load differs from that of cfs in the same figure, with its interval:
// measure is turnaround or request (from the client's request).
func (t *tables) against(figure, engine, workload, series, measure string) (string, error) {
	var v [3]float64
	for i, column := range []string{"", "_lo95", "_hi95"} {
		var err error
		if v[i], err = t.average(figure, engine, workload, series, measure+"_over_cfs"+column); err != nil {
			return "", err
		}
	}
	rounds, err := t.average(figure, engine, workload, series, "rounds")
	return format.SignedChange(v[0]) + format.Interval(v[1], v[2], int(rounds)), err
}

// simulated is how many invocations a simulated run of cfs on Huawei's workload at 90 % load has in a figure.
func (t *tables) simulated(figure string) (int, error) {
	const file = "report/means.tsv"
	rows, err := t.rows(file)
	if err != nil {
		return 0, err
	}
	for _, r := range rows {
		if r["figure"] == figure && r["engine"] == "sim" && r["workload"] == "huawei" && r["load_pct"] == "90" && r["series"] == "cfs" {
			n, err := number(file, r["n"])
			if err != nil {
				return 0, err
			}
			rounds, err := number(file, r["rounds"])
			return int(n / rounds), err
		}
	}
	return 0, fmt.Errorf("%s: no simulated row of %s", file, figure)
}

// deviation is the median of |ours/paper − 1| over all bars of a workload that the paper
// plots at 90 % load, as text in %: of one series, or of all if series is empty.
func (t *tables) deviation(file, workload, series string) (string, error) {
	rows, err := t.rows(file)
	if err != nil {
		return "", err
	}
	var all []float64
	for _, r := range rows {
		if r["workload"] != workload || r["load_pct"] != "90" || series != "" && r["series"] != series || r["ours/paper"] == "" {
			continue
		}
		v, err := number(file, r["ours/paper"])
		if err != nil {
			return "", err
		}
		all = append(all, math.Abs(v-1))
	}
	if len(all) == 0 {
		return "", fmt.Errorf("%s: no bar of %s at 90 %% that the paper plots, of series %q", file, workload, series)
	}
	slices.Sort(all)
	middle := (all[(len(all)-1)/2] + all[len(all)/2]) / 2
	return fmt.Sprintf("%.0f %%", 100*middle), nil
}

// claim is a line of report/claims.tsv.
type claim struct {
	ID, Text, Figure, Paper, Reason string
	Large, Measured, Simulated      verdict
	Best                            verdict // of the largest machine that was asked
}

// verdict is what runs said of a claim. By says which runs, for people; empty: none did.
type verdict struct{ By, Verdict, Seen string }

// claims are all of the paper's, in its order.
func (t *tables) claims() ([]claim, error) {
	rows, err := t.rows("report/claims.tsv")
	if err != nil {
		return nil, err
	}
	var out []claim
	for _, r := range rows {
		c := claim{ID: r["id"], Text: r["text"], Figure: r["figure"], Paper: r["paper"], Reason: r["reason"]}
		for _, by := range []struct {
			column, name string
			to           *verdict
		}{{"large", "measured on 24 CPUs", &c.Large}, {"measured", "measured", &c.Measured}, {"simulated", "simulated", &c.Simulated}} {
			if strings.HasPrefix(c.Figure, "table") {
				by.name = "in its table"
			}
			if r[by.column+"_rounds"] == "1" {
				by.name += oneRound
			}
			if seen := r[by.column]; seen != "" {
				*by.to = verdict{by.name, r[by.column+"_verdict"], seen}
				if c.Best.By == "" {
					c.Best = *by.to
				}
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// claim is the claim of an id.
func (t *tables) claim(id string) (claim, error) {
	all, err := t.claims()
	if err != nil {
		return claim{}, err
	}
	i := slices.IndexFunc(all, func(c claim) bool { return c.ID == id })
	if i < 0 {
		return claim{}, fmt.Errorf("report/claims.tsv: no claim %q", id)
	}
	return all[i], nil
}

// unconfirmed are the claims that ran and do not hold.
func (t *tables) unconfirmed() ([]claim, error) {
	all, err := t.claims()
	return slices.DeleteFunc(all, func(c claim) bool { return c.Best.By == "" || c.Best.Verdict == "holds" }), err
}

// confirmed are the claims that ran and hold.
func (t *tables) confirmed() ([]claim, error) {
	all, err := t.claims()
	return slices.DeleteFunc(all, func(c claim) bool { return c.Best.Verdict != "holds" }), err
}

// unasked are the claims of which nothing ran.
func (t *tables) unasked() ([]claim, error) {
	all, err := t.claims()
	return slices.DeleteFunc(all, func(c claim) bool { return c.Best.By != "" }), err
}

// ofOneRound is how many claims have a verdict of one round.
func (t *tables) ofOneRound() (int, error) {
	all, err := t.claims()
	return len(slices.DeleteFunc(all, func(c claim) bool { return !strings.HasSuffix(c.Best.By, oneRound) })), err
}

// oneRound ends the name of runs of which there is one round.
const oneRound = ", one round"

// explained is how many of the unconfirmed claims have a reason.
func (t *tables) explained() (int, error) {
	lost, err := t.unconfirmed()
	return len(slices.DeleteFunc(lost, func(c claim) bool { return c.Reason == "" })), err
}

// has says whether a table is there.
func (t *tables) has(file string) bool {
	_, err := os.Stat(filepath.Join(t.docs, file))
	return err == nil
}

// cell is what a page's first table with that column says, in the row that begins
// with these cells. A column is given by its name up to a comma, or as "A > B":
// the first B behind A.
func (t *tables) cell(file, column string, first ...string) (string, error) {
	text, err := os.ReadFile(filepath.Join(t.docs, file))
	if err != nil {
		return "", err
	}
	at := -1
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "|") {
			at = -1
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case at < 0:
			at = find(cells, column)
		case len(cells) > at && len(cells) >= len(first) && slices.Equal(cells[:len(first)], first):
			return strings.Trim(strings.Replace(cells[at], "-", "−", 1), "*"), nil
		}
	}
	return "", fmt.Errorf("%s: no table with the column %q has a row %v", file, column, first)
}

// find is the position of a column as in cell, or -1.
func find(header []string, column string) int {
	from := 0
	if after, name, ok := strings.Cut(column, " > "); ok {
		if from = slices.Index(header, after); from < 0 {
			return -1
		}
		column = name
	}
	i := slices.IndexFunc(header[from:], func(h string) bool { return h == column || strings.HasPrefix(h, column+",") })
	if i < 0 {
		return -1
	}
	return from + i
}

// cells is how many cells the grid of a page has, such as never.md.
func (t *tables) cells(page string) (string, error) {
	text, err := os.ReadFile(filepath.Join(t.docs, page))
	if err != nil {
		return "", err
	}
	m := regexp.MustCompile(`Simulated: (\d+) cells`).FindSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("%s does not say how many cells there are", page)
	}
	return string(m[1]), nil
}

func number(file, text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", file, err)
	}
	return v, nil
}
