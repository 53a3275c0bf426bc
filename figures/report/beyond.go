// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"fmt"
	"strings"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/architecture"
	"github.com/ds2-lab/alps/figures/claims"
	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/never"
	"github.com/ds2-lab/alps/figures/plot"
)

// addDiagram draws the architecture.
func (r *report) addDiagram(ctx context.Context, f plot.Figure) error {
	s := section{Name: f.Name, Title: f.Title, Note: f.Note}
	p := part{Engine: codeEngine}
	if err := r.forget(f.Name); err != nil {
		return err
	}
	if r.options.Code != "" {
		a, err := architecture.Read(r.options.Code)
		if err != nil {
			return err
		}
		p.File = f.Name
		svg, err := a.SVG(ctx)
		if err != nil {
			return err
		}
		p.SVG = inline(svg)
		p.Formats = []string{"svg"}
		p.Conditions = []string{"Not drawn, because most packages import them: " + strings.Join(a.Common(), ", ") + "."}
		if err := r.file(f.Name+".svg", svg); err != nil {
			return err
		}
		if err := r.file(f.Name+".tsv", []byte(a.TSV())); err != nil {
			return err
		}
	}
	s.Parts = []part{p}
	r.page.Sections = append(r.page.Sections, s)
	return nil
}

// drawRelative makes the pictures and the table of means as multiples of EEVDF's or CFS's.
func (r *report) drawRelative(f plot.Figure, set *dataset.Set, s *section, p *part) error {
	ratios, err := f.Ratios(r.library, set)
	if err != nil {
		return err
	}
	if len(ratios) == 0 {
		p.Warnings = append(p.Warnings, "Neither EEVDF nor CFS ran: there is nothing to compare with.")
		return nil
	}
	p.File, p.Conditions = f.Name+"-"+set.Engine, set.Conditions()
	if err := r.write(p, func() (plot.Sheet, error) { return f.RatioPicture(ratios, set, false).Sheet(), nil }); err != nil {
		return err
	}
	svg, err := f.RatioPicture(ratios, set, true).Sheet().SVG()
	if err != nil {
		return err
	}
	p.Narrow = inline(svg)
	p.Head, p.Lines = plot.RatioTable(ratios)
	if err := r.addMeans(s, f.Name, set); err != nil {
		return err
	}
	return r.file(p.File+".tsv", []byte(plot.RatioTSV(set.Engine, ratios)))
}

// addGrid reads a table of the paper, writes it as .tsv and .md, and adds its section.
func (r *report) addGrid(g *dataset.Grid) error {
	s := section{Name: g.Name, Title: g.Title, Note: g.Note}
	ok, err := g.Read(r.library)
	if err != nil {
		return err
	}
	p := part{Engine: results.EngineHost, Command: claims.Command(g.Name, results.EngineHost)}
	if err := r.forget(g.Name); err != nil {
		return err
	}
	if ok {
		p.File = g.Name
		p.Head, p.Lines = g.Lines()
		p.Conditions = []string{strings.TrimPrefix(g.Unit+"; in brackets the paper's", "; ")}
		if g.From.Run.Kernel != "" {
			p.Conditions = append(p.Conditions, fmt.Sprintf("guest: kernel %s, %s; code %s", g.From.Run.Kernel, g.From.Run.Accelerator, g.From.Run.Revision))
		}
		for _, k := range []string{"cpu", "go"} {
			if v, ok := g.From.Run.Parameters[k]; ok {
				p.Conditions = append(p.Conditions, fmt.Sprintf("%s: %v", k, v))
			}
		}
		for ext, data := range map[string]string{"tsv": g.TSV(), "md": g.Markdown()} {
			if err := r.file(g.Name+"."+ext, []byte(data)); err != nil {
				return err
			}
		}
		r.note(g.From)
	}
	s.Parts = []part{p}
	s.YAML, err = r.copyYAML(g.Name)
	r.page.Sections = append(r.page.Sections, s)
	return err
}

// addNever draws the heat map, with the grid's summary below it. It returns the grid; nil if it was not simulated.
func (r *report) addNever() (*never.Grid, error) {
	n, err := never.Read(r.options.Results)
	if err != nil {
		return nil, err
	}
	s := section{Name: never.Experiment, Title: "Beyond the paper: does it ever lose?",
		Note: "Simulated. Blue: the mean turnaround is shorter than that of the better of CFS and EEVDF; red, framed: longer. The oracle is SRPT with one queue for all cores."}
	p := part{Engine: results.EngineSim, Command: claims.Command(never.Experiment, results.EngineSim)}
	if err := r.forget(never.Experiment + "-sim"); err != nil {
		return nil, err
	}
	if n != nil {
		p.File, p.Conditions = never.Experiment+"-sim", n.Conditions()
		if err := r.write(&p, func() (plot.Sheet, error) { return n.Sheet(false), nil }); err != nil {
			return nil, err
		}
		small, err := n.Sheet(true).SVG()
		if err != nil {
			return nil, err
		}
		p.Narrow = inline(small)
		p.Head, p.Lines = n.Summary()
		if err := r.file(p.File+".tsv", []byte(n.TSV())); err != nil {
			return nil, err
		}
	}
	s.Parts = []part{p}
	s.YAML, err = r.copyYAML(never.Experiment)
	r.page.Sections = append(r.page.Sections, s)
	return n, err
}
