// Package figures turns results into tables, tables into plots, and both into
// one page that shows them beside the paper's numbers.
//
// Nothing is drawn that is not in a result. The table behind a picture is
// written beside it; what is missing or not valid is said on the page.
package figures

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/atomicfile"
	"github.com/ds2-lab/alps/internal/progress"
)

// Options say where results are and where the report goes.
type Options struct {
	Results     string
	Experiments string // their YAMLs are put beside the pictures; none if empty
	Code        string // the repository, whose architecture is drawn; not drawn if empty
	Out         string
	Light       bool // of the pictures only SVG
	Progress    *progress.Reporter
}

// engines in the order they are shown.
var engines = []string{results.EngineSim, results.EngineVM}

// Draw draws every figure there are results for, of both engines, and writes
// Out/index.html. It returns that page's path. The error names what is missing
// or not valid; the page is written all the same.
func Draw(o Options) (string, error) {
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
	ref, err := newReference()
	if err != nil {
		return "", err
	}
	r := &report{options: o, library: newLibrary(o.Results), reference: ref}
	r.page.Formats = r.formats()
	steps := len(catalog) + len(grids) + 2
	for i, f := range catalog {
		step := o.Progress.Step("draw "+f.name, i+1, steps)
		add := r.addFigure
		if f.kind == codeOnly {
			add = r.addDiagram
		}
		if err := add(f); err != nil {
			return "", err
		}
		step.Done("")
	}
	tables := map[string]*grid{}
	for i, g := range grids {
		step := o.Progress.Step("draw "+g.name, len(catalog)+i+1, steps)
		if err := r.addGrid(&g); err != nil {
			return "", err
		}
		tables[g.name] = &g
		step.Done("")
	}
	step := o.Progress.Step("draw "+neverFigure, steps-1, steps)
	if err := r.addNever(); err != nil {
		return "", err
	}
	step.Done("")
	step = o.Progress.Step("draw report", steps, steps)
	if r.page.Claims, err = judgeAll(claims, r.library, tables); err != nil {
		return "", err
	}
	if r.page.Setup, err = setups(r.shown); err != nil {
		return "", err
	}
	r.page.Warning = otherKernel(r.shown)
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
	if err := errors.Join(r.file(index, html), r.file("runs.json", runs), r.file("claims.tsv", []byte(claimsTSV(r.page.Claims)))); err != nil {
		return "", err
	}
	step.Done("")
	return filepath.Join(o.Out, index), errors.Join(r.errs...)
}

// report is what a call of Draw has so far.
type report struct {
	options   Options
	library   *library
	reference reference
	page      page
	shown     []results.Result // each once
	errs      []error          // what the reader has to know, and no reason to stop
}

// addFigure draws a figure of both engines.
func (r *report) addFigure(f figure) error {
	s := section{Name: f.name, Title: f.title, Note: f.note}
	for _, engine := range engines {
		p := part{Engine: engine}
		if err := r.forget(f.name + "-" + engine); err != nil {
			return err
		}
		set, err := r.library.get(f.name, engine)
		switch {
		case err != nil:
			p.Warnings = append(p.Warnings, err.Error())
			r.errs = append(r.errs, err)
		case set != nil:
			if set.lacks(1) != "" {
				p.Warnings = append(p.Warnings, set.lacks(len(set.missing)))
				r.errs = append(r.errs, fmt.Errorf("%s, %s: %s", f.name, engine, set.lacks(3)))
			}
			for _, m := range set.invalid {
				p.Warnings = append(p.Warnings, "Not valid and not drawn: "+m)
				r.errs = append(r.errs, fmt.Errorf("%s, %s: not valid and not drawn: %s", f.name, engine, m))
			}
			if len(set.series) == 0 {
				p.Warnings = append(p.Warnings, "No valid run: nothing is drawn.")
				break
			}
			if err := r.draw(f, set, &s, &p); err != nil {
				return err
			}
		}
		if set != nil {
			for _, x := range set.found {
				r.note(x.Result)
				s.Runs = append(s.Runs, x.Result.Run)
			}
		}
		s.Parts = append(s.Parts, p)
	}
	var err error
	s.YAML, err = r.copyYAML(f.name)
	r.page.Sections = append(r.page.Sections, s)
	return err
}

// forget removes what an earlier call drew: it may not be drawn this time.
func (r *report) forget(name string) error {
	for _, ext := range []string{".svg", ".png", ".pdf", ".tsv"} {
		if err := os.Remove(filepath.Join(r.options.Out, name+ext)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("figures: %w", err)
		}
	}
	return nil
}

// draw makes the pictures and the table of one engine.
func (r *report) draw(f figure, set *set, s *section, p *part) error {
	panels := f.panels(r.library, set, r.reference)
	if len(panels) == 0 {
		p.Warnings = append(p.Warnings, "No run of what this figure shows.")
		return nil
	}
	p.File, p.Conditions = f.name+"-"+set.engine, set.conditions()
	// Drawing sets a plot's range, so no two formats share one picture.
	err := r.write(p, func() (sheet, error) {
		pic, err := f.picture(panels, set)
		return pic.sheet(), err
	})
	if err != nil {
		return err
	}
	rows, err := f.compare(panels, set.engine)
	if err != nil {
		return err
	}
	s.add(rows)
	s.Means = append(s.Means, r.means(f.name, set)...)
	return r.file(p.File+".tsv", []byte(rowsTSV(rows)))
}

// formats of pictures.
func (r *report) formats() []string {
	if r.options.Light {
		return []string{"svg"}
	}
	return []string{"svg", "png", "pdf"}
}

// write writes a part's picture in every format, and takes the SVG into the page.
func (r *report) write(p *part, draw func() (sheet, error)) error {
	g := errgroup.Group{}
	g.SetLimit(runtime.NumCPU())
	for _, ext := range r.formats() {
		format := map[string]func(sheet) ([]byte, error){"svg": sheet.svg, "png": sheet.png, "pdf": sheet.pdf}[ext]
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
				p.svg(data)
				p.Wide = s.width > widest
			}
			return r.file(p.File+"."+ext, data)
		})
	}
	return g.Wait()
}

// file writes one of the report's.
func (r *report) file(name string, data []byte) error {
	if err := atomicfile.Write(filepath.Join(r.options.Out, name), data, 0o644); err != nil {
		return fmt.Errorf("figures: %w", err)
	}
	return nil
}

// addDiagram draws the architecture.
func (r *report) addDiagram(f figure) error {
	s := section{Name: f.name, Title: f.title, Note: f.note}
	p := part{Engine: codeEngine}
	if err := r.forget(f.name); err != nil {
		return err
	}
	if r.options.Code != "" {
		a, err := readArchitecture(r.options.Code)
		if err != nil {
			return err
		}
		p.File = f.name
		if err := r.write(&p, func() (sheet, error) { return diagram(a), nil }); err != nil {
			return err
		}
		if err := r.file(f.name+".tsv", []byte(a.tsv())); err != nil {
			return err
		}
	}
	s.Parts = []part{p}
	r.page.Sections = append(r.page.Sections, s)
	return nil
}

// means over all invocations of every series.
func (r *report) means(figure string, set *set) []means {
	at := func(x results.Series) place {
		return place{figure, x.Workload, pct(x.Load), results.All, x.Name}
	}
	var out []means
	for _, where := range distinctOf(set.series, at) {
		d := r.library.dist(set, where, whatTurnaround)
		out = append(out, means{set.engine, where.workload, where.load, where.series, d.n(), d.rounds, num(d.mean(), 0),
			num(r.library.dist(set, where, whatRequest).mean(), 0), num(r.library.dist(set, where, whatSwitches).mean(), 1)})
	}
	return out
}

// addGrid writes a table.
func (r *report) addGrid(g *grid) error {
	s := section{Name: g.name, Title: g.title, Note: g.note}
	ok, err := g.read(r.library)
	if err != nil {
		return err
	}
	p := part{Engine: results.EngineHost}
	if ok {
		p.File = g.name
		s.Head, s.Lines = g.lines()
		p.Conditions = []string{strings.TrimPrefix(g.unit+"; in brackets the paper's", "; ")}
		if g.from.Run.Kernel != "" {
			p.Conditions = append(p.Conditions, fmt.Sprintf("guest: kernel %s, %s; code %s", g.from.Run.Kernel, g.from.Run.Accelerator, g.from.Run.Revision))
		}
		for _, k := range []string{"cpu", "go"} {
			if v, ok := g.from.Run.Parameters[k]; ok {
				p.Conditions = append(p.Conditions, fmt.Sprintf("%s: %v", k, v))
			}
		}
		for ext, data := range map[string]string{"tsv": g.tsv(), "md": g.markdown()} {
			if err := r.file(g.name+"."+ext, []byte(data)); err != nil {
				return err
			}
		}
		r.note(g.from)
	}
	s.Parts = []part{p}
	s.YAML, err = r.copyYAML(g.name)
	r.page.Sections = append(r.page.Sections, s)
	return err
}

// note remembers a run that is shown.
func (r *report) note(x results.Result) {
	if !slices.ContainsFunc(r.shown, func(o results.Result) bool { return o.Dir == x.Dir }) {
		r.shown = append(r.shown, x)
	}
}

// copyYAML puts the experiment's description into the report.
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
