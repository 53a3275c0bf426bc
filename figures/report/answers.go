// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/claims"
	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/format"
	"github.com/ds2-lab/alps/figures/never"
	"github.com/ds2-lab/alps/figures/paper"
)

// answer is the answer to one of the questions on the page's first screen.
type answer struct {
	Question string
	Note     string
	Section  string // where there is more
	Lines    []answerLine
}

// Lacks are the sentences of an answer on numbers that are missing, each once.
func (a answer) Lacks() []string {
	var out []string
	for _, l := range a.Lines {
		for _, text := range []string{l.MeasuredLacks, l.SimLacks} {
			if text != "" && !slices.Contains(out, text) {
				out = append(out, text)
			}
		}
	}
	return out
}

// answerLine is a number of an answer, with its unit. A number that is missing is "not measured" or "not
// simulated"; MeasuredLacks and SimLacks say why, and the command that makes it.
type answerLine struct {
	Text                       string
	Measured, Simulated, Paper string
	MeasuredLacks, SimLacks    string
}

// answers are those on the page's first screen.
func (r *report) answers(grids map[string]*dataset.Grid, n *never.Grid) ([]answer, error) {
	reproduced, err := r.reproduced()
	if err != nil {
		return nil, err
	}
	requests, err := r.fromRequest()
	if err != nil {
		return nil, err
	}
	cost, err := r.cost(grids)
	if err != nil {
		return nil, err
	}
	return []answer{reproduced, requests, loses(n), cost}, nil
}

// change is a line that says by how much a statistic of number differs from that of with, measured and
// simulated. Both are named as "fig06 huawei 90 alps all".
func (r *report) change(text, number, with, stat, ofPaper string) (answerLine, error) {
	line := answerLine{Text: text, Paper: ofPaper}
	for _, x := range []struct {
		engine      string
		seen, lacks *string
	}{{results.EngineVM, &line.Measured, &line.MeasuredLacks}, {results.EngineSim, &line.Simulated, &line.SimLacks}} {
		f, err := claims.Change(r.library, x.engine, number, with, stat)
		if err != nil {
			return line, err
		}
		if f.Lacks != "" {
			figure, _, _ := strings.Cut(number, " ")
			*x.seen, *x.lacks = claims.NotDone.Name(x.engine), f.Lacks+" To make it: "+claims.Command(figure, x.engine)
			continue
		}
		*x.seen = f.Text()
	}
	return line, nil
}

// large says in words on how many CPUs and in how many rounds paper.Headline was measured; it is empty if
// Headline was not measured.
func (r *report) large() string {
	set, err := r.library.Figure(paper.Headline, results.EngineVM)
	if err != nil || set == nil || len(set.Series) == 0 {
		return "" // an error stands in the figure's own section of the page
	}
	rounds := dataset.Distinct(set.Series, func(x results.Series) int { return x.Result.Run.Round })
	return format.Plural(set.Series[0].Result.Run.FunctionCPUs, "CPU") + ", " + format.Plural(len(rounds), "round")
}

// addLarge adds a line to an answer: by how much a series differs from CFS in paper.Headline.
// beside is the line that says the same of the usual runs. If Headline has no such runs it adds nothing.
func (r *report) addLarge(a *answer, beside answerLine, workload, series, group, stat string) error {
	at := func(series string) string {
		return fmt.Sprintf("%s %s %d %s %s", paper.Headline, workload, paper.BarsLoad, series, group)
	}
	f, err := claims.Change(r.library, results.EngineVM, at(series), at("cfs"), stat)
	if err == nil && f.Lacks == "" {
		a.Lines = append(a.Lines, answerLine{Text: beside.Text + ", on " + r.page.Large, Measured: f.Text(), Paper: beside.Paper})
	}
	return err
}

// reproduced counts the claims that hold, and gives ALPS's mean turnaround against CFS's on both workloads,
// and the median of the short functions on Huawei's. What paper.Headline measured, too, has a second line
// by its runs.
func (r *report) reproduced() (answer, error) {
	a := answer{Question: "Did it reproduce?", Section: "claims",
		Note: "An effect holds if at least two thirds of the paper's size is found and the interval spans no zero. What was simulated only is no measurement."}
	count := answerLine{Text: fmt.Sprintf("of the paper's %d claims hold", len(r.page.Claims)), Paper: fmt.Sprint(len(r.page.Claims))}
	hold := func(of func(claims.Judged) claims.Answer) string {
		hold, asked := 0, 0
		for _, j := range r.page.Claims {
			switch of(j).Verdict {
			case claims.Holds:
				hold++
				asked++
			case claims.NotDone:
			default:
				asked++
			}
		}
		return fmt.Sprintf("%d of %d", hold, asked)
	}
	count.Measured = hold(func(j claims.Judged) claims.Answer { return j.Measured })
	count.Simulated = hold(func(j claims.Judged) claims.Answer { return j.Simulated })
	a.Lines = append(a.Lines, count)
	if r.page.Large != "" {
		large := answerLine{Text: "of those that can be asked of " + r.page.Large}
		large.Measured = hold(func(j claims.Judged) claims.Answer { return j.Large })
		a.Lines = append(a.Lines, large)
	}
	for _, workload := range []string{"huawei", "azure"} {
		at := func(series string) string {
			return fmt.Sprintf("%s %s %d %s %s", paper.Bars, workload, paper.BarsLoad, series, results.All)
		}
		l, err := r.change("mean turnaround, ALPS against CFS, "+name(workload), at("alps"), at("cfs"), "mean", r.paperChange(workload))
		if err != nil {
			return a, err
		}
		a.Lines = append(a.Lines, l)
		if err := r.addLarge(&a, l, workload, "alps", results.All, "mean"); err != nil {
			return a, err
		}
	}
	at := func(series string) string {
		return fmt.Sprintf("%s huawei %d %s G1", paper.Bars, paper.BarsLoad, series)
	}
	l, err := r.change("median of the short functions, G1, Huawei", at("alps"), at("cfs"), "p50", r.paperRatio("huawei", "G1", "p50"))
	if err != nil {
		return a, err
	}
	a.Lines = append(a.Lines, l)
	return a, r.addLarge(&a, l, "huawei", "alps", "G1", "p50")
}

// name is a workload for people.
func name(workload string) string { return strings.ToUpper(workload[:1]) + workload[1:] }

// paperRatio is by how much the paper's ALPS differs from its CFS at 90 % load: in a bar of Fig 6, or, for all
// groups, in the means of Fig 5.
func (r *report) paperRatio(workload, group, stat string) string {
	value := func(figure, series string) float64 {
		for _, n := range r.reference[paper.Position{Figure: figure, Workload: workload, LoadPct: paper.BarsLoad, Group: group, Series: series}] {
			if n.Stat == stat {
				return n.Value
			}
		}
		return math.NaN()
	}
	figure := paper.Bars
	if group == results.All {
		figure = paper.Curves // Fig 6 has no bars of all; these means weight the groups by their shares
	}
	return format.Change(value(figure, "alps") / value(figure, "cfs"))
}

// paperChange is paperRatio of the mean over all invocations.
func (r *report) paperChange(workload string) string {
	return r.paperRatio(workload, results.All, "mean")
}

// fromRequest compares means from the client's request on, which the paper does not give.
func (r *report) fromRequest() (answer, error) {
	a := answer{Question: "Does it help from the user's request on?", Section: paper.Bars,
		Note: "The paper's turnaround begins when the invocation's process exists, and leaves out what the request waited before. Mean from the client's request to the process's exit, against CFS at 90 % load."}
	for _, series := range []string{"alps", paper.Artifact, "steady"} {
		for _, workload := range []string{"huawei", "azure"} {
			at := func(series string) string {
				return fmt.Sprintf("%s %s %d %s %s", paper.Bars, workload, paper.BarsLoad, series, results.All)
			}
			l, err := r.change(series+", "+name(workload), at(series), at("cfs"), dataset.JoinStat(dataset.FromRequest, "mean"), "not given")
			if err != nil {
				return a, err
			}
			if series != "steady" || l.MeasuredLacks == "" || l.SimLacks == "" { // results may be older than steady: that is no gap
				a.Lines = append(a.Lines, l)
			}
			if err := r.addLarge(&a, l, workload, series, results.All, dataset.JoinStat(dataset.FromRequest, "mean")); err != nil {
				return a, err
			}
		}
	}
	return a, nil
}

// loses says how many cells of the grid are lost.
func loses(n *never.Grid) answer {
	a := answer{Question: "Does it ever lose?", Section: never.Experiment}
	if n == nil {
		a.Note = "Not simulated. To make it: " + claims.Command(never.Experiment, results.EngineSim)
		return a
	}
	a.Note = n.Question()
	for _, s := range n.Scores() {
		a.Lines = append(a.Lines, answerLine{Text: s.Series + ": cells lost; worst cell", Measured: claims.NotDone.Name(results.EngineVM), MeasuredLacks: "The grid is simulated only.",
			Simulated: fmt.Sprintf("%d of %d; × %s", s.Lost, s.Cells, format.Fixed(s.Worst, 2)), Paper: "not given"})
	}
	return a
}

// cost says what the hooks cost per decision, what an update of the policy costs, and what ALPS costs where one
// function runs alone, so that it can gain nothing.
func (r *report) cost(grids map[string]*dataset.Grid) (answer, error) {
	a := answer{Question: "What does it cost?", Section: "table3", Note: "The hooks' programs and an update are timed on this computer. With one function there is nothing to put in order: what differs from CFS at 50 % load is the price."}
	cell := func(text, table, row, column, unit string, digits int) {
		l := answerLine{Text: text, Simulated: "not simulated", SimLacks: "Tables are measured."}
		ours, theirs := math.NaN(), math.NaN()
		if g := grids[table]; g != nil {
			ours, theirs = g.Find(row, column)
		}
		if math.IsNaN(ours) {
			l.Measured, l.MeasuredLacks = claims.NotDone.Name(results.EngineVM), "To make it: "+claims.Command(table, results.EngineVM)
		} else {
			l.Measured = format.Grouped(ours, digits) + " " + unit
		}
		if !math.IsNaN(theirs) {
			l.Paper = format.Grouped(theirs, digits) + " " + unit
		}
		a.Lines = append(a.Lines, l)
	}
	cell("both hooks, per scheduling decision", "table3", "both hooks, per decision", "ns on this host", "ns", 0)
	cell("an update of the policy, 5,000 records", "table2", "avg", "5000", "ms", 1)
	l, err := r.change("mean turnaround of one function alone, ALPS against CFS", "overhead alike 50 alps all", "overhead alike 50 cfs all", "mean", "not given")
	a.Lines = append(a.Lines, l)
	return a, err
}
