// SPDX-License-Identifier: Apache-2.0

package findings

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
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

// cells is how many cells the grid of never.md has.
func (t *tables) cells() (string, error) {
	text, err := os.ReadFile(filepath.Join(t.docs, "never.md"))
	if err != nil {
		return "", err
	}
	m := regexp.MustCompile(`Simulated: (\d+) cells`).FindSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("never.md does not say how many cells there are")
	}
	return string(m[1]), nil
}

// measuredRun is what findings need of report/runs.json.
type measuredRun struct {
	Engine, Workload, Scheduler string
	Revision                    string // of the code
	Round, Invocations          int
	FunctionCPUs                int `json:"function_cpus"`
	Kernel, Accelerator         string
	LoadAsked                   float64 `json:"load_asked"`
	LoadAchieved                float64 `json:"load_achieved"`
	PlatformPerRequest          float64 `json:"platform_per_request_ns"`
	MeanGap                     float64 `json:"mean_gap_ns"`
}

// measured are the runs of a scheduler on a workload at 90 % load in guests with so
// many CPUs for the functions; an error if there are none.
func (t *tables) measured(workload, scheduler string, functionCPUs int) ([]measuredRun, error) {
	text, err := os.ReadFile(filepath.Join(t.docs, "report", "runs.json"))
	if err != nil {
		return nil, err
	}
	var runs []measuredRun
	if err := json.Unmarshal(text, &runs); err != nil {
		return nil, fmt.Errorf("report/runs.json: %w", err)
	}
	runs = slices.DeleteFunc(runs, func(r measuredRun) bool {
		return r.Engine != "vm" || r.Workload != workload || r.Scheduler != scheduler || r.LoadAsked != 0.9 || r.FunctionCPUs != functionCPUs
	})
	if len(runs) == 0 {
		return nil, fmt.Errorf("report/runs.json: no run of %s on %s at 90 %% in a guest with %d CPUs for the functions", scheduler, workload, functionCPUs)
	}
	return runs, nil
}

// invocations is how many a run on Huawei's workload has in guests with so many CPUs for the functions.
func (t *tables) invocations(functionCPUs int) (int, error) {
	runs, err := t.measured("huawei", "cfs", functionCPUs)
	if err != nil {
		return 0, err
	}
	return runs[0].Invocations, nil
}

// demand is which part of the functions' CPU time functions and platform ask for together
// under CFS on Huawei's workload, in percent.
func (t *tables) demand(functionCPUs int) (string, error) {
	runs, err := t.measured("huawei", "cfs", functionCPUs)
	if err != nil {
		return "", err
	}
	r := runs[0]
	return fmt.Sprintf("%.0f %%", 100*(r.LoadAchieved+r.PlatformPerRequest/r.MeanGap/float64(functionCPUs))), nil
}

// conditions say with which kernel, clock, CPUs, rounds, invocations and code the report's measured runs of alps on these
// workloads at 90 % load were made, of those with so many CPUs for the functions.
func (t *tables) conditions(functionCPUs int, workloads ...string) (string, error) {
	rounds, codes, invocations := map[int]bool{}, map[string]bool{}, []string{}
	var r measuredRun
	if len(workloads) == 0 {
		return "", fmt.Errorf("conditions with %d CPUs: of which workloads?", functionCPUs)
	}
	for _, workload := range workloads {
		runs, err := t.measured(workload, "alps", functionCPUs)
		if err != nil {
			return "", err
		}
		for _, r = range runs {
			rounds[r.Round], codes[r.Revision] = true, true
		}
		n := thousands(r.Invocations)
		if len(workloads) > 1 {
			n += " (" + strings.ToUpper(workload[:1]) + workload[1:] + ")"
		}
		invocations = append(invocations, n)
	}
	plural := func(n int, name string) string {
		if n == 1 {
			return "one " + name
		}
		return fmt.Sprintf("%d %ss", n, name)
	}
	time := "accelerator " + r.Accelerator
	if r.Accelerator == "vtime" {
		time = "virtual time"
	}
	return fmt.Sprintf("kernel %s, %s, %s for the functions, %s of %s invocations, code %s", r.Kernel, time, plural(functionCPUs, "CPU"), plural(len(rounds), "round"),
		strings.Join(invocations, " and "), strings.Join(slices.Sorted(maps.Keys(codes)), ", ")), nil
}

func number(file, text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", file, err)
	}
	return v, nil
}
