package figures

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"strings"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/progress"
)

//go:embed report.html
var reportHTML string

// page is report/index.html.
type page struct {
	Sections []section
}

// section is one figure of it.
type section struct {
	Name    string
	SVG     template.HTML
	Claims  []claim
	Rows    []row
	Overall []overall
	Runs    []results.Run
	Missing []string
}

// row compares ALPS with CFS in one number.
type row struct {
	Group, Stat                     string
	CFS, ALPS, Ratio                string
	PaperCFS, PaperALPS, PaperRatio string
	N                               int
}

type overall struct{ Scheduler, Mean, EndToEnd, Switches string }

// claim is a statement of the paper and what became of it here.
type claim struct{ Text, Paper, Ours, Verdict string }

// fill turns the table into what the page shows.
func (s *section) fill(f fig06, svg []byte) {
	// The XML header and the fixed size do not belong inside a page.
	text := string(svg)
	if i := strings.Index(text, "<svg"); i >= 0 {
		text = text[i:]
	}
	s.SVG = template.HTML(text)
	for _, g := range results.Groups {
		for _, st := range []string{"p50", "p75", "p90", "p99", "max", "mean"} {
			c, ok1 := f.find(g, st, "cfs")
			a, ok2 := f.find(g, st, "alps")
			if !ok1 && !ok2 {
				continue
			}
			if !ok1 {
				c.OursMS, c.PaperMS = math.NaN(), math.NaN()
			}
			if !ok2 {
				a.OursMS, a.PaperMS = math.NaN(), math.NaN()
			}
			s.Rows = append(s.Rows, row{g, st, num(c.OursMS, 0), num(a.OursMS, 0), num(a.OursMS/c.OursMS, 2),
				num(c.PaperMS, 0), num(a.PaperMS, 0), num(a.PaperMS/c.PaperMS, 2), max(c.N, a.N)})
		}
	}
	for _, sch := range f.Schedulers {
		s.Overall = append(s.Overall, overall{sch, num(f.Overall[sch], 0), num(f.EndToEnd[sch], 0), num(f.Switches[sch], 1)})
	}
	s.claims(f)
}

// claims checks what the paper says of this figure against the table.
func (s *section) claims(f fig06) {
	verdict := func(ok bool) string {
		if ok {
			return "holds"
		}
		return "does not hold"
	}
	cfs, alps := f.Overall["cfs"], f.Overall["alps"]
	if cfs > 0 && alps > 0 {
		s.Claims = append(s.Claims, claim{"ALPS's mean turnaround is below CFS's (Huawei, 90 %)", "−41.8 %",
			fmt.Sprintf("%+.1f %%", 100*(alps/cfs-1)), verdict(alps < cfs)})
	}
	for _, g := range results.Groups {
		for _, st := range []string{"p50", "p99", "mean"} {
			c, ok1 := f.find(g, st, "cfs")
			a, ok2 := f.find(g, st, "alps")
			if !ok1 || !ok2 || math.IsNaN(c.OursMS) || math.IsNaN(a.OursMS) || math.IsNaN(c.PaperMS) || math.IsNaN(a.PaperMS) {
				continue
			}
			ours, paper := a.OursMS/c.OursMS, a.PaperMS/c.PaperMS
			word := "below"
			if paper > 1 {
				word = "above"
			}
			s.Claims = append(s.Claims, claim{fmt.Sprintf("%s: ALPS's %s is %s CFS's", g, st, word),
				fmt.Sprintf("%+.0f %%", 100*(paper-1)), fmt.Sprintf("%+.0f %%", 100*(ours-1)), verdict((ours < 1) == (paper < 1))})
		}
	}
}

func (p page) render() ([]byte, error) {
	t, err := template.New("report").Funcs(template.FuncMap{
		"round": progress.Round,
		"pct":   func(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) },
		"short": func(s string) string { return s[:min(len(s), 12)] },
		"join":  strings.Join,
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
