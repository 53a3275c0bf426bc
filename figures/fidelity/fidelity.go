// SPDX-License-Identifier: Apache-2.0

// Package fidelity writes docs/: the simulation beside the paper's plots, and whether
// a scheduler ever loses.
package fidelity

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/format"
	"github.com/ds2-lab/alps/figures/never"
	"github.com/ds2-lab/alps/figures/paper"
	"github.com/ds2-lab/alps/figures/plot"
	"github.com/ds2-lab/alps/figures/stats"
	"github.com/ds2-lab/alps/internal/atomicfile"
)

//go:embed fidelity.md.tmpl
var fidelityText string

// fidelity is what docs/fidelity.md is made of.
type fidelity struct {
	Values  []paper.Compared
	Ends    []end
	Tails   []tail
	Runs    []results.Run // of all figures, each once
	Lengths []length      // of the runs of each figure
	Invalid []string
	// Unplanned are single numbers of the paper's whose series no experiment plans.
	Unplanned []string
}

// end is a run's mean turnaround, and its mean from the client's request to the
// exit, ms.
type end struct {
	figure, workload, series string
	turnaround, endToEnd     float64
}

// length is how many invocations runs of a figure have.
type length struct {
	invocations int
	figure      string
}

// tail is one group of one run of fidelityTails.
type tail struct {
	series string
	results.Summary
}

// addEnds notes both means of a run. ends shows those of the bars and orders, choices that of the turnaround.
func (f *fidelity) addEnds(figure string, s results.Series) {
	var e end
	n := 0.0
	for _, i := range s.Result.Invocations {
		if i.Status == results.OK {
			e.turnaround += dataset.Milliseconds(i.Turnaround().Nanoseconds())
			e.endToEnd += dataset.Milliseconds(i.EndToEnd().Nanoseconds())
			n++
		}
	}
	f.Ends = append(f.Ends, end{figure, s.Result.Run.Workload, s.Name, e.turnaround / n, e.endToEnd / n})
}

// Figures that are compared whole: the bars of Fig 6 and the curves of Fig 5. The paper does not plot
// order, choices and load: they are compared with the bars of Fig 6, order with those of ALPS. Of other
// figures addOthers compares single numbers.
const (
	fidelityBars   = "fig06"
	fidelityCurves = "fig05"
	fidelityOrders = "order"
	fidelityChoice = "choices"
	fidelityLoad   = "load"
	fidelityTails  = "tails" // compared with nothing of the paper's
)

// Write compares the simulated figures with the paper's numbers and writes fidelity.md and .tsv, and the
// simulated bars as fig06-sim.svg; beside them never.md, .tsv and .svg, the same of attack if it was
// simulated, and steady-index.svg. root is the directory of results; the files go into the directory out.
// The error names an experiment that was not simulated; then nothing is written.
func Write(root, out string) error {
	f, err := newFidelity(root)
	if err != nil {
		return err
	}
	text, err := f.markdown()
	if err != nil {
		return err
	}
	svg, err := simulatedBars(root)
	if err != nil {
		return err
	}
	files := map[string]string{"fidelity.md": text, "fidelity.tsv": f.tsv(), "fig06-sim.svg": svg}
	if err := beyond(root, files); err != nil {
		return err
	}
	for name, data := range files {
		if err := atomicfile.Write(filepath.Join(out, name), []byte(data), 0o644); err != nil {
			return fmt.Errorf("figures: %w", err)
		}
	}
	return nil
}

// beyond adds to files what the simulator says beyond the paper: whether a
// scheduler ever loses, and what the index is.
func beyond(root string, files map[string]string) error {
	const first = "simulate first (experiments:run -engine=sim all)"
	n, err := never.Read(root)
	if err != nil {
		return err
	}
	index, _, err := dataset.ReadTable(root, plot.IndexFigure)
	if err != nil {
		return err
	}
	if n == nil || index == nil {
		return fmt.Errorf("%s or %s is not there: %s", never.Experiment, plot.IndexFigure, first)
	}
	heat, err := n.Sheet(false).SVG()
	if err != nil {
		return err
	}
	p, err := plot.IndexPicture(index)
	if err != nil {
		return err
	}
	curves, err := p.Sheet().SVG()
	if err != nil {
		return err
	}
	files["never.md"], files["never.tsv"], files["never.svg"], files["steady-index.svg"] = n.Markdown(), n.TSV(), string(heat), string(curves)
	for _, name := range []string{never.Attack, never.Server} {
		g, err := never.ReadGrid(root, name)
		if err != nil {
			return err
		}
		if g == nil {
			continue
		}
		if heat, err = g.Sheet(false).SVG(); err != nil {
			return err
		}
		files[name+".md"], files[name+".tsv"], files[name+".svg"] = g.Markdown(), g.TSV(), string(heat)
	}
	return nil
}

// simulatedBars is the picture of the bars.
func simulatedBars(root string) (string, error) {
	l := dataset.NewLibrary(root)
	s, err := l.Figure(fidelityBars, results.EngineSim)
	if err != nil {
		return "", err
	}
	ref, err := paper.NewReference()
	if err != nil {
		return "", err
	}
	f := plot.Catalog[slices.IndexFunc(plot.Catalog, func(f plot.Figure) bool { return f.Name == fidelityBars })]
	p, err := f.Picture(f.Panels(l, s, ref), s, false)
	if err != nil {
		return "", err
	}
	svg, err := p.Sheet().SVG()
	return string(svg), err
}

func newFidelity(root string) (*fidelity, error) {
	numbers, err := paper.Numbers()
	if err != nil {
		return nil, err
	}
	ref, err := paper.NewReference()
	if err != nil {
		return nil, err
	}
	f := &fidelity{}
	figures := []string{fidelityBars, fidelityCurves, fidelityOrders, fidelityChoice, fidelityLoad}
	for _, n := range numbers {
		if !slices.Contains(figures, n.Figure) {
			figures = append(figures, n.Figure)
		}
	}
	for _, figure := range figures {
		planned, valid, err := f.read(root, figure)
		if err != nil {
			return nil, err
		}
		for _, s := range valid {
			if s.Name == "alps" && slices.ContainsFunc(valid, func(o results.Series) bool { return o.Name == paper.Artifact }) {
				continue // the paper's plots show the order of alps-artifact; alps is compared as an order
			}
			switch figure {
			case fidelityCurves:
				err = f.addCurves(figure, s, ref)
			case fidelityBars, fidelityChoice, fidelityLoad:
				err = f.addBars(figure, s, s.Result.Run.Scheduler, ref)
			case fidelityOrders:
				err = f.addBars(figure, s, "alps", ref)
			}
			if err != nil {
				return nil, err
			}
			f.addEnds(figure, s)
		}
		if err := f.addOthers(figure, planned, valid, numbers); err != nil {
			return nil, err
		}
	}
	f.average()
	_, tails, err := f.read(root, fidelityTails)
	if err != nil {
		return nil, err
	}
	for _, s := range tails {
		for _, sum := range results.Summarize(s.Result.Invocations) {
			f.Tails = append(f.Tails, tail{s.Name, sum})
		}
	}
	return f, nil
}

// average makes the values of several rounds one, their mean.
func (f *fidelity) average() {
	type number struct {
		paper.Position
		stat string
	}
	index := map[number]int{}
	rounds := []float64{}
	var out []paper.Compared
	for _, v := range f.Values {
		k := number{v.Position, v.Stat}
		i, known := index[k]
		if !known {
			index[k] = len(out)
			out, rounds = append(out, v), append(rounds, 1)
			continue
		}
		rounds[i]++
		out[i].Ours += (v.Ours - out[i].Ours) / rounds[i]
		out[i].N += v.N
	}
	f.Values = out
}

// read reads the series of a figure, notes their runs, and returns all that are planned and those of them that
// are valid.
func (f *fidelity) read(root, figure string) (planned, valid []results.Series, err error) {
	planned, err = results.ReadPlan(root, results.EngineSim, figure)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w: simulate first (experiments:run -engine=sim all)", err)
	}
	if err != nil {
		return nil, nil, err
	}
	for _, s := range planned {
		run := s.Result.Run
		if l := (length{run.Invocations, figure}); !slices.Contains(f.Lengths, l) {
			f.Lengths = append(f.Lengths, l)
		}
		if !slices.ContainsFunc(f.Runs, func(r results.Run) bool { return r.Key == run.Key }) {
			f.Runs = append(f.Runs, run)
		}
		if run.Valid {
			valid = append(valid, s)
		} else {
			f.Invalid = append(f.Invalid, fmt.Sprintf("%s: %s on %s: %s", figure, s.Name, run.Workload, strings.Join(run.Invalid, "; ")))
		}
	}
	return planned, valid, nil
}

// addBars compares a run with the paper's bars of a scheduler.
func (f *fidelity) addBars(figure string, s results.Series, scheduler string, ref paper.Reference) error {
	run := s.Result.Run
	for _, group := range append(slices.Clone(results.Groups), results.All) {
		d := dataset.Measure(dataset.Turnaround, group, s.Result, nil)
		for _, n := range ref[paper.Position{Figure: paper.Bars, Workload: run.Workload, LoadPct: paper.BarsLoad, Group: group, Series: scheduler}] {
			if err := f.add(paper.Position{Figure: figure, Workload: run.Workload, LoadPct: dataset.LoadPct(s.Load), Group: group, Series: s.Name}, n, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// addCurves compares a run with the paper's curves at their quantiles.
func (f *fidelity) addCurves(figure string, s results.Series, ref paper.Reference) error {
	run := s.Result.Run
	for _, group := range results.Groups {
		d := dataset.Measure(dataset.Turnaround, group, s.Result, nil)
		for _, n := range ref[paper.Position{Figure: paper.Curves, Workload: run.Workload, LoadPct: dataset.LoadPct(s.Load), Group: group, Series: run.Scheduler}] {
			if err := f.add(paper.Position{Figure: figure, Workload: run.Workload, LoadPct: dataset.LoadPct(s.Load), Group: group, Series: s.Name}, n, d); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *fidelity) tsv() string {
	var b strings.Builder
	b.WriteString("figure\tworkload\tload_pct\tgroup\tseries\tstat\tunit\tours\tpaper\tours/paper\tn\n")
	for _, v := range f.Values {
		fmt.Fprintf(&b, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\n", v.Figure, v.Workload, v.LoadPct, v.Group, v.Series, v.Stat, v.Unit,
			format.Fixed(v.Ours, 1), format.Fixed(v.Paper, 1), format.Fixed(v.Ratio(), 3), v.N)
	}
	return b.String()
}

func (f *fidelity) markdown() (string, error) {
	t, err := template.New("fidelity").Parse(fidelityText)
	if err != nil {
		return "", fmt.Errorf("fidelity: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, f.page()); err != nil {
		return "", fmt.Errorf("fidelity: %w", err)
	}
	return b.String(), nil
}

// addOthers compares the single numbers of a figure, in every round: those that are no bar and no
// point of a curve. It notes those whose series is not planned.
func (f *fidelity) addOthers(figure string, planned, valid []results.Series, numbers []paper.Number) error {
	for _, n := range numbers {
		if n.Figure != figure || n.OfBar() || n.OfCurve() {
			continue
		}
		rounds := func(of []results.Series, series string) []results.Series {
			return slices.DeleteFunc(slices.Clone(of), func(s results.Series) bool {
				return s.Name != series || s.Result.Run.Workload != n.Workload || dataset.LoadPct(s.Load) != n.LoadPct
			})
		}
		position := n.Position
		found, bases := rounds(valid, n.Series), rounds(valid, dataset.SavedAgainst)
		if a := rounds(valid, paper.Artifact); len(a) > 0 && n.Series == "alps" {
			found, position.Series = a, paper.Artifact // as in newFidelity
		}
		if len(found) == 0 {
			if len(rounds(planned, n.Series)) == 0 {
				f.Unplanned = append(f.Unplanned, fmt.Sprintf("%s: %s %s", n.Position, n.Stat, strings.TrimSpace(format.Short(n.Value)+" "+n.Unit)))
			}
			continue // not planned, or not valid: f.Invalid says so
		}
		what, _ := dataset.SplitStat(n.Stat)
		for _, s := range found {
			var base *results.Result
			if i := slices.IndexFunc(bases, func(b results.Series) bool { return b.Round == s.Round }); i >= 0 {
				base = &bases[i].Result
			}
			if err := f.add(position, n, dataset.Measure(what, n.Group, s.Result, base)); err != nil {
				return err
			}
		}
	}
	return nil
}

// add notes our value of a number of the paper.
func (f *fidelity) add(position paper.Position, n paper.Number, ours stats.Distribution) error {
	_, name := dataset.SplitStat(n.Stat)
	v, err := ours.Statistic(name)
	if err != nil {
		return fmt.Errorf("paper's numbers: %s: %w", n.Figure, err)
	}
	f.Values = append(f.Values, paper.Compared{Position: position, Stat: n.Stat, Unit: n.Unit, Ours: v, Paper: n.Value, N: int(ours.N())})
	return nil
}
