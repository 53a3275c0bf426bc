// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot/vg"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/claims"
	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/format"
	"github.com/ds2-lab/alps/figures/plot"
	"github.com/ds2-lab/alps/figures/stats"
	"github.com/ds2-lab/alps/internal/progress"
)

//go:embed report.html
var reportHTML string

//go:embed style.css
var reportStyle string

//go:embed script.js
var reportScript string

// page is report/index.html.
type page struct {
	Setup    []dataset.Setup
	Warning  string // for the first screen
	Answers  []answer
	Large    string // the CPUs and rounds of paper.Headline's runs, for people; empty: there are none
	Claims   []claims.Judged
	Sections []section
}

// section is one figure or table of the page.
type section struct {
	Name, Title, Note string
	Parts             []part
	Numbers           []numbers
	Means             []means
	Runs              []results.Run
	YAML              bool
}

// part is what one engine has of a figure.
type part struct {
	Engine     string
	SVG        template.HTML
	Narrow     template.HTML // the picture for small screens; empty: there is none
	Command    string        // that makes the results that are missing
	Formats    []string      // of the picture
	Wide       bool          // wider than widest: the picture has a row of its own
	File       string        // of picture and data, without the ending; empty: nothing is there
	Head       []string      // of a table, and its lines
	Lines      [][]string
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
	Figure, Engine, Workload    string
	Load                        int
	Series                      string
	N                           int64
	Rounds                      int
	Turnaround, Request, Switch float64 // ms, ms, and lost CPUs per invocation; NaN: none
	OverCFS, RequestOverCFS     multiple
}

// multiple is a ratio and its interval; NaN: none.
type multiple struct {
	Ratio  float64
	Middle stats.Interval
}

// tsv is the ratio and the ends of its interval, each behind a tab.
func (m multiple) tsv() string {
	text := ""
	for _, v := range []float64{m.Ratio, m.Middle.Lo, m.Middle.Hi} {
		text += "\t" + format.Fixed(v, 6)
	}
	return text
}

// meansTSV has a line for each engine, workload, load and series of each figure. Its numbers are not as round as the
// page's: others compute from them.
func (p page) meansTSV() string {
	var b strings.Builder
	b.WriteString("figure\tengine\tworkload\tload_pct\tseries\trounds\tn\tturnaround_ms\trequest_ms\tswitches")
	for _, measure := range []string{"turnaround", "request"} {
		fmt.Fprintf(&b, "\t%[1]s_over_cfs\t%[1]s_over_cfs_lo95\t%[1]s_over_cfs_hi95", measure)
	}
	b.WriteString("\n")
	for _, s := range p.Sections {
		for _, m := range s.Means {
			fmt.Fprintf(&b, "%s\t%s\t%s\t%d\t%s\t%d\t%d\t%s\t%s\t%s%s%s\n", m.Figure, m.Engine, m.Workload, m.Load, m.Series, m.Rounds, m.N,
				format.Fixed(m.Turnaround, 3), format.Fixed(m.Request, 3), format.Fixed(m.Switch, 3), m.OverCFS.tsv(), m.RequestOverCFS.tsv())
		}
	}
	return b.String()
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
			s.Numbers = append(s.Numbers, numbers{Workload: r.Workload, Load: r.LoadPct, Series: r.Series, Group: r.Group, Stat: r.Stat, Unit: r.Unit, Paper: format.Grouped(r.Paper, digits)})
		}
		n := &s.Numbers[i]
		ours, ratio := &n.Simulated, &n.SimulatedRatio
		if r.Engine == results.EngineVM {
			ours, ratio = &n.Measured, &n.MeasuredRatio
		}
		*ours, *ratio = format.Short(r.Ours), r.RatioText()
	}
}

// widest is how wide a picture may be to stand beside another.
const widest = 15 * vg.Centimeter

// inline is a picture as a part of a page. The XML header does not belong inside.
func inline(svg []byte) template.HTML {
	text := string(svg)
	if i := strings.Index(text, "<svg"); i >= 0 {
		text = text[i:]
	}
	return template.HTML(text)
}

// Style is the page's CSS. Like Script it stands in the page itself, which needs no other file.
func (p page) Style() template.CSS { return template.CSS(reportStyle) }

// Script is the page's JavaScript.
func (p page) Script() template.JS { return template.JS(reportScript) }

// engineAnswer is what an engine says of a claim.
type engineAnswer struct {
	claims.Answer
	Engine string
}

// Terms are explained on the page.
func (p page) Terms() []term { return terms }

// OneRound says whether a verdict by the runs of paper.Headline is of one round.
func (p page) OneRound() bool {
	return slices.ContainsFunc(p.Claims, func(c claims.Judged) bool { return c.Large.OneRound() })
}

// Files are the data beside the page.
func (p page) Files() []dataFile { return dataFiles }

// tally counts the claims with a verdict.
type tally struct {
	Verdict                    claims.Verdict
	Measured, Large, Simulated int
}

// Tally is every verdict, with its counts. Where a claim is not asked of some runs (Apart), it does not count.
func (p page) Tally() []tally {
	var out []tally
	for _, v := range claims.Verdicts {
		t := tally{Verdict: v}
		for _, c := range p.Claims {
			if c.Measured.Verdict == v {
				t.Measured++
			}
			if c.Large.Verdict == v && !c.Large.Apart {
				t.Large++
			}
			if c.Simulated.Verdict == v && !c.Simulated.Apart {
				t.Simulated++
			}
		}
		out = append(out, t)
	}
	return out
}

// class is the CSS class that gives a verdict its colour and sign.
func class(v claims.Verdict) string {
	return map[claims.Verdict]string{claims.Holds: "holds", claims.Smaller: "smaller", claims.NoEffect: "none", claims.Opposite: "opposite", claims.Fails: "fails", claims.NotDone: "lacks"}[v]
}

// contents is a part of the table of contents.
type contents struct {
	Title    string
	Sections []section
}

// Contents are the sections by what they are of.
func (p page) Contents() []contents {
	out := []contents{{Title: "Figures"}, {Title: "Tables"}, {Title: "Beyond the paper"}}
	for _, s := range p.Sections {
		i := 2
		switch {
		case strings.HasPrefix(s.Name, "fig"):
			i = 0
		case strings.HasPrefix(s.Name, "table"):
			i = 1
		}
		out[i].Sections = append(out[i].Sections, s)
	}
	return out
}

// Short is a title in the table of contents.
func (s section) Short() string { return strings.TrimPrefix(s.Title, "Beyond the paper: ") }

// codeEngine is where Fig 4 comes from: nothing ran.
const codeEngine = "code"

// engineName is for people.
func engineName(e string) string {
	return map[string]string{results.EngineSim: "Simulated", results.EngineVM: "Measured", results.EngineHost: "In this process", codeEngine: "From the code"}[e]
}

func (p page) render() ([]byte, error) {
	t, err := template.New("report").Funcs(template.FuncMap{
		"round":     progress.Round,
		"rank":      func(v claims.Verdict) int { return slices.Index(claims.Verdicts, v) },
		"of":        func(engine string, a claims.Answer) engineAnswer { return engineAnswer{a, engine} },
		"threshold": func(c claims.Judged) string { return cmp.Or(c.Measured.Threshold, c.Simulated.Threshold) },
		"hasSeen":   func(a claims.Answer) bool { return a.Verdict != claims.NotDone },
		"name":      func(v claims.Verdict, engine string) string { return v.Name(engine) },
		"grouped":   func(n any) string { f, _ := strconv.ParseFloat(fmt.Sprint(n), 64); return format.Grouped(f, 0) },
		"short":     format.Short,
		"one":       func(v float64) string { return format.Grouped(v, 1) },
		"pct":       func(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) },
		"class":     class,
		"engine":    engineName,
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
