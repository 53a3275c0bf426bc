// SPDX-License-Identifier: Apache-2.0

// Package report draws one page of what there are results for: the paper's claims
// with verdicts, then every figure beside the paper's.
//
// Nothing is drawn that is not in a result. The table behind a picture is
// written beside it; what is missing or not valid is said on the page.
package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/claims"
	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/never"
	"github.com/ds2-lab/alps/figures/paper"
	"github.com/ds2-lab/alps/figures/plot"
	"github.com/ds2-lab/alps/figures/stats"
	"github.com/ds2-lab/alps/internal/atomicfile"
	"github.com/ds2-lab/alps/internal/progress"
)

// Options say where results are and where the report goes.
type Options struct {
	Results     string // directory
	Experiments string // their YAMLs are put beside the pictures; none if empty
	Code        string // the repository, whose architecture is drawn; not drawn if empty
	Out         string // directory; made if need be
	Light       bool   // of the pictures only SVG
	Progress    *progress.Reporter
}

// Draw draws every figure there are results for, of both engines, and writes
// Out/index.html. It returns that page's path, and an error that names what is missing
// or not valid: the page is written all the same. If it could not be written, or there
// are no results at all, the path is empty and the error says why.
func Draw(ctx context.Context, o Options) (string, error) {
	plans, err := filepath.Glob(filepath.Join(o.Results, "*", "plan*.json"))
	if err != nil {
		return "", err
	}
	if len(plans) == 0 {
		return "", fmt.Errorf("figures: no results in %s: run an experiment first (experiments:run -engine=sim all)", o.Results)
	}
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return "", fmt.Errorf("figures: %w", err)
	}
	ref, err := paper.NewReference()
	if err != nil {
		return "", err
	}
	r := &report{options: o, library: dataset.NewLibrary(o.Results), reference: ref}
	steps := len(plot.Catalog) + len(dataset.Grids) + 2
	for i, f := range plot.Catalog {
		step := o.Progress.Step("draw "+f.Name, i+1, steps)
		add := r.addFigure
		if f.Kind == plot.CodeOnly {
			add = func(f plot.Figure) error { return r.addDiagram(ctx, f) }
		}
		if err := add(f); err != nil {
			return "", err
		}
		step.Done("")
	}
	tables := map[string]*dataset.Grid{}
	for i, g := range dataset.Grids {
		step := o.Progress.Step("draw "+g.Name, len(plot.Catalog)+i+1, steps)
		if err := r.addGrid(&g); err != nil {
			return "", err
		}
		tables[g.Name] = &g
		step.Done("")
	}
	step := o.Progress.Step("draw "+never.Experiment, steps-1, steps)
	grid, err := r.addNever()
	if err != nil {
		return "", err
	}
	step.Done("")
	step = o.Progress.Step("draw report", steps, steps)
	if r.page.Claims, err = claims.Judge(claims.All, r.library, tables); err != nil {
		return "", err
	}
	r.page.Large = r.large()
	if r.page.Answers, err = r.answers(tables, grid); err != nil {
		return "", err
	}
	if r.page.Setup, err = dataset.Setups(r.shown); err != nil {
		return "", err
	}
	r.page.Warning = dataset.OtherKernel(r.shown)
	html, err := r.page.render()
	if err != nil {
		return "", err
	}
	var all []results.Run
	for _, x := range r.shown {
		all = append(all, x.Run)
	}
	runs, err := json.MarshalIndent(all, "", "\t")
	if err != nil {
		return "", fmt.Errorf("figures: %w", err)
	}
	const index = "index.html"
	if err := errors.Join(r.file(index, html), r.file("runs.json", runs), r.file("claims.tsv", []byte(claims.TSV(r.page.Claims))), r.file("means.tsv", []byte(r.page.meansTSV())), r.file("data.md", []byte(dataMarkdown()))); err != nil {
		return "", err
	}
	step.Done("")
	return filepath.Join(o.Out, index), errors.Join(r.errs...)
}

// report is what a call of Draw has so far.
type report struct {
	options   Options
	library   *dataset.Library
	reference paper.Reference
	page      page
	shown     []results.Result // each once
	errs      []error          // on runs that are missing or not valid, which do not end Draw
}

// addFigure draws a figure of both engines.
func (r *report) addFigure(f plot.Figure) error {
	s := section{Name: f.Name, Title: f.Title, Note: f.Note}
	for _, engine := range dataset.Engines {
		p := part{Engine: engine, Command: claims.Command(f.Name, engine)}
		if err := r.forget(f.Name + "-" + engine); err != nil {
			return err
		}
		set, err := r.library.Figure(f.Name, engine)
		switch {
		case err != nil:
			p.Warnings = append(p.Warnings, err.Error())
			r.errs = append(r.errs, err)
		case set != nil:
			if set.Lacks(1) != "" {
				p.Warnings = append(p.Warnings, set.Lacks(len(set.Missing))+". To make them: "+p.Command)
				r.errs = append(r.errs, fmt.Errorf("%s, %s: %s", f.Name, engine, set.Lacks(3)))
			}
			for _, m := range set.Invalid {
				p.Warnings = append(p.Warnings, "Not valid and not drawn: "+m)
				r.errs = append(r.errs, fmt.Errorf("%s, %s: not valid and not drawn: %s", f.Name, engine, m))
			}
			if len(set.Series) == 0 {
				p.Warnings = append(p.Warnings, "No valid run: nothing is drawn.")
				break
			}
			draw := r.draw
			if f.Kind == plot.Relative {
				draw = r.drawRelative
			}
			if err := draw(f, set, &s, &p); err != nil {
				return err
			}
		}
		if set != nil {
			for _, x := range set.Found {
				r.note(x.Result)
				s.Runs = append(s.Runs, x.Result.Run)
			}
		}
		if set != nil || err != nil || p.Command != "" { // else no part of the figure is for this engine
			s.Parts = append(s.Parts, p)
		}
	}
	var err error
	s.YAML, err = r.copyYAML(f.Name)
	r.page.Sections = append(r.page.Sections, s)
	return err
}

// forget removes the pictures and the tables that an earlier call drew: this call may have nothing to draw.
func (r *report) forget(name string) error {
	for _, ext := range []string{".svg", ".png", ".pdf", ".tsv", ".md"} {
		if err := os.Remove(filepath.Join(r.options.Out, name+ext)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("figures: %w", err)
		}
	}
	return nil
}

// draw makes the pictures and the table of one engine.
func (r *report) draw(f plot.Figure, set *dataset.Set, s *section, p *part) error {
	panels := f.Panels(r.library, set, r.reference)
	if len(panels) == 0 {
		p.Warnings = append(p.Warnings, "No run of what this figure shows.")
		return nil
	}
	p.File, p.Conditions = f.Name+"-"+set.Engine, set.Conditions()
	// Drawing sets a plot's range, so no two formats share one picture.
	sheet := func(narrow bool) (plot.Sheet, error) {
		pic, err := f.Picture(panels, set, narrow)
		return pic.Sheet(), err
	}
	if err := r.write(p, func() (plot.Sheet, error) { return sheet(false) }); err != nil {
		return err
	}
	small, err := sheet(true)
	if err != nil {
		return err
	}
	svg, err := small.SVG()
	if err != nil {
		return err
	}
	p.Narrow = inline(svg)
	rows, err := f.Compare(panels, set.Engine)
	if err != nil {
		return err
	}
	s.add(rows)
	if err := r.addMeans(s, f.Name, set); err != nil {
		return err
	}
	return r.file(p.File+".tsv", []byte(plot.TSV(rows)))
}

// formats are those of pictures.
func (r *report) formats() []string {
	if r.options.Light {
		return []string{"svg"}
	}
	return []string{"svg", "png", "pdf"}
}

// write writes a part's picture in every format, and takes the SVG into the page.
func (r *report) write(p *part, draw func() (plot.Sheet, error)) error {
	g := errgroup.Group{}
	g.SetLimit(runtime.NumCPU())
	for _, ext := range r.formats() {
		format := map[string]func(plot.Sheet) ([]byte, error){"svg": plot.Sheet.SVG, "png": plot.Sheet.PNG, "pdf": plot.Sheet.PDF}[ext]
		g.Go(func() error {
			s, err := draw()
			if err != nil {
				return err
			}
			data, err := format(s)
			if err != nil {
				return fmt.Errorf("figures: %s: %w", p.File, err)
			}
			if ext == "svg" {
				p.SVG = inline(data)
				p.Formats = r.formats()
				p.Wide = s.Width > widest
			}
			return r.file(p.File+"."+ext, data)
		})
	}
	return g.Wait()
}

// file writes a file of the report.
func (r *report) file(name string, data []byte) error {
	if err := atomicfile.Write(filepath.Join(r.options.Out, name), data, 0o644); err != nil {
		return fmt.Errorf("figures: %w", err)
	}
	return nil
}

// addMeans adds the means of a set to its section.
func (r *report) addMeans(s *section, figure string, set *dataset.Set) error {
	m, err := r.means(figure, set)
	s.Means = append(s.Means, m...)
	return err
}

// means are those over all invocations of every series, workload and load.
func (r *report) means(figure string, set *dataset.Set) ([]means, error) {
	at := func(x results.Series) paper.Position {
		return paper.Position{Figure: figure, Workload: x.Workload, LoadPct: dataset.LoadPct(x.Load), Group: results.All, Series: x.Name}
	}
	var out []means
	for _, where := range dataset.Distinct(set.Series, at) {
		d := r.library.Distribution(set, where, dataset.Turnaround)
		m := means{Figure: figure, Engine: set.Engine, Workload: where.Workload, Load: where.LoadPct, Series: where.Series, N: d.N(), Rounds: d.Rounds, Turnaround: d.Mean(),
			Request: r.library.Distribution(set, where, dataset.FromRequest).Mean(), Switch: r.library.Distribution(set, where, dataset.Switches).Mean()}
		var err error
		if m.OverCFS, err = r.overCFS(set, where, dataset.Turnaround); err != nil {
			return nil, err
		}
		if m.RequestOverCFS, err = r.overCFS(set, where, dataset.FromRequest); err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// overCFS is the mean of a measure as a multiple of that of cfs in the same set; NaN if cfs is not in it.
func (r *report) overCFS(set *dataset.Set, at paper.Position, measure string) (multiple, error) {
	cfs, stat := at, dataset.JoinStat(measure, "mean")
	cfs.Series = "cfs"
	a, err := r.library.Redraw(set, at, stat)
	if err != nil {
		return multiple{}, err
	}
	b, err := r.library.Redraw(set, cfs, stat)
	return multiple{r.library.Distribution(set, at, measure).Mean() / r.library.Distribution(set, cfs, measure).Mean(), stats.RatioMiddle95(a, b)}, err
}

// note remembers a run that is shown.
func (r *report) note(x results.Result) {
	if !slices.ContainsFunc(r.shown, func(o results.Result) bool { return o.Dir == x.Dir }) {
		r.shown = append(r.shown, x)
	}
}

// copyYAML copies an experiment's YAML into the report, and says whether there is one.
func (r *report) copyYAML(name string) (bool, error) {
	if r.options.Experiments == "" {
		return false, nil
	}
	file := name + ".yaml"
	data, err := os.ReadFile(filepath.Join(r.options.Experiments, file))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("figures: %s: %w", name, err)
	}
	return true, r.file(file, data)
}
