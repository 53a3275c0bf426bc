// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/claims"
	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/format"
	"github.com/ds2-lab/alps/figures/plot"
	"github.com/ds2-lab/alps/internal/progress"
)

//go:embed report.html
var reportHTML string

// page is report/index.html.
type page struct {
	Formats  []string // of pictures
	Setup    []dataset.Setup
	Warning  string // for the first screen
	Claims   []claims.Judged
	Sections []section
}

// section is one figure or table of it.
type section struct {
	Name, Title, Note string
	Parts             []part
	Numbers           []numbers
	Means             []means
	Runs              []results.Run
	YAML              bool
	Head              []string // of a table, and its lines
	Lines             [][]string
}

// part is what one engine has of a figure.
type part struct {
	Engine     string
	SVG        template.HTML
	Wide       bool   // too wide for two beside each other
	File       string // of picture and data, without the ending; empty: nothing is there
	Conditions []string
	Warnings   []string
}

// numbers are one statistic of the paper, simulated and measured.
type numbers struct {
	Workload                  string
	Load                      int
	Series, Group, Stat, Unit string
	Paper                     string
	Simulated, SimulatedRatio string
	Measured, MeasuredRatio   string
}

// means of one series over all its invocations.
type means struct {
	Engine, Workload            string
	Load                        int
	Series                      string
	N                           int64
	Rounds                      int
	Turnaround, Request, Switch string
}

// add puts an engine's rows beside those of the other.
func (s *section) add(rows []plot.Number) {
	for _, r := range rows {
		if !r.Shown() {
			continue
		}
		i := slices.IndexFunc(s.Numbers, func(n numbers) bool {
			return n.Workload == r.Workload && n.Load == r.LoadPct && n.Series == r.Series && n.Group == r.Group && n.Stat == r.Stat
		})
		if i < 0 {
			digits := 0
			if r.Unit == "%" {
				digits = 1
			}
			i = len(s.Numbers)
			s.Numbers = append(s.Numbers, numbers{Workload: r.Workload, Load: r.LoadPct, Series: r.Series, Group: r.Group, Stat: r.Stat, Unit: r.Unit, Paper: format.Fixed(r.Paper, digits)})
		}
		n := &s.Numbers[i]
		ours, ratio := &n.Simulated, &n.SimulatedRatio
		if r.Engine == results.EngineVM {
			ours, ratio = &n.Measured, &n.MeasuredRatio
		}
		*ours, *ratio = format.Short(r.Ours), r.RatioText()
	}
}

// widest is how wide pictures may be of which two stand beside each other.
const widest = 15 * vg.Centimeter

// svg takes a picture into the page. The XML header does not belong inside.
func (p *part) svg(svg []byte) {
	text := string(svg)
	if i := strings.Index(text, "<svg"); i >= 0 {
		text = text[i:]
	}
	p.SVG = template.HTML(text)
}

// Count is how many claims got a verdict.
func (p page) Count(verdict string) int {
	n := 0
	for _, c := range p.Claims {
		if c.Verdict == verdict {
			n++
		}
	}
	return n
}

// Tally is every verdict, with its count and its class on the page.
func (p page) Tally() [][3]string {
	var out [][3]string
	for _, v := range []string{claims.Holds, claims.HoldsInSim, claims.DoesNotHold, claims.NotTested} {
		out = append(out, [3]string{fmt.Sprint(p.Count(v)), v, class(v)})
	}
	return out
}

// class is a verdict's colour and sign.
func class(verdict string) string {
	return map[string]string{claims.Holds: "yes", claims.HoldsInSim: "sim", claims.DoesNotHold: "no"}[verdict]
}

// codeEngine is where Fig 4 comes from: nothing ran.
const codeEngine = "code"

// engineName is for people.
func engineName(e string) string {
	return map[string]string{results.EngineSim: "Simulated", results.EngineVM: "Measured", results.EngineHost: "In this process", codeEngine: "From the code"}[e]
}

func (p page) render() ([]byte, error) {
	t, err := template.New("report").Funcs(template.FuncMap{
		"round":  progress.Round,
		"pct":    func(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) },
		"class":  class,
		"engine": engineName,
		"unbroken": func(s string) string {
			return strings.NewReplacer(" %", "\u00a0%", " ms", "\u00a0ms", "→ ", "→\u00a0", "× ", "×\u00a0").Replace(s)
		},
		"spaced": func(s string) string { return strings.ReplaceAll(s, "_", " ") },
	}).Parse(reportHTML)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return b.Bytes(), nil
}
