// SPDX-License-Identifier: Apache-2.0

// Package plot draws: which figures there are (the catalog), what each shows of a
// data set, the table behind it, and the picture as SVG, PNG or PDF.
package plot

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/format"
	"github.com/ds2-lab/alps/figures/paper"
	"github.com/ds2-lab/alps/figures/stats"
)

// Panel is one plot of a figure.
type Panel struct {
	title   string
	measure string
	lanes   []lane
}

// Panels are the panels of a figure for one engine, in rows: one for each workload and load, or one for all if
// the figure is flat.
func (f Figure) Panels(l *dataset.Library, s *dataset.Set, ref paper.Reference) [][]Panel {
	var shown []results.Series
	for _, x := range s.Series {
		if len(f.only) == 0 || slices.Contains(f.only, x.Name) {
			shown = append(shown, x)
		}
	}
	type condition struct {
		workload string
		load     int
	}
	at := func(x results.Series) condition { return condition{x.Workload, dataset.LoadPct(x.Load)} }
	names := dataset.Distinct(shown, func(x results.Series) string { return x.Name })
	var rows [][]Panel
	for _, c := range dataset.Distinct(shown, at) {
		var row []Panel
		for _, col := range f.columns {
			p := Panel{title: fmt.Sprintf("%s, %d %%: %s", c.workload, c.load, col.title), measure: col.measures[0]}
			for nth, name := range names {
				i := slices.IndexFunc(shown, func(x results.Series) bool { return x.Name == name && at(x) == c })
				if i < 0 {
					continue
				}
				look := styleOf(paper.Scheduler(name), shown[i].Result.Run.Scheduler, nth)
				for _, measure := range col.measures {
					for _, g := range col.groups {
						where := paper.Position{Figure: f.Name, Workload: c.workload, LoadPct: c.load, Group: g, Series: name}
						label := name
						if len(col.measures) > 1 {
							label = cmp.Or(strings.TrimPrefix(measure, dataset.Saved), measure)
						} else if len(col.groups) > 1 {
							label = g
						}
						p.lanes = append(p.lanes, lane{label, s.Label(shown[i]), look, where, measure, l.Distribution(s, where, measure), dataset.PaperNumbers(ref, where, measure)})
					}
				}
			}
			row = append(row, p)
		}
		rows = append(rows, row)
	}
	if f.flat {
		var one []Panel
		for _, r := range rows {
			one = append(one, r...)
		}
		return [][]Panel{one}
	}
	return rows
}

// barStats are the statistics that a lane has bars of: the maximum instead of a p99 of too few samples.
func barStats(l lane) []string {
	if l.dist.N() < stats.MinP99 {
		return []string{"p50", "p75", "p90", "max", "mean"}
	}
	return []string{"p50", "p75", "p90", "p99", "mean"}
}

// barLabels are the statistics that any of the lanes has bars of, in order. Where only some of them have enough
// samples for a p99 there are both a p99 and a maximum, and each lane has a bar at one of them.
func barLabels(lanes []lane) []string {
	seen := map[string]bool{}
	for _, l := range lanes {
		if l.dist.N() > 0 {
			for _, st := range barStats(l) {
				seen[st] = true
			}
		}
	}
	if len(seen) == 0 {
		return barStats(lanes[0])
	}
	return slices.DeleteFunc([]string{"p50", "p75", "p90", "p99", "max", "mean"}, func(st string) bool { return !seen[st] })
}

// stats are the statistics of a lane that go into the table, in order: those of the figure's kind and the
// percentiles that the paper has, as far as there are enough samples.
func (f Figure) stats(l lane) []string {
	var out []string
	switch f.Kind {
	case cdfs:
		for p := 5; p < 100; p += 5 {
			out = append(out, fmt.Sprintf("p%d", p))
		}
	case violins, boxes:
		out = []string{"p5", "p25", "p50", "p75", "p95"}
	}
	out = append(out, barStats(l)...)
	for _, p := range l.paper {
		if _, err := stats.Percentile(p.Stat); err == nil {
			out = append(out, p.Stat)
		}
	}
	out = slices.DeleteFunc(out, func(stat string) bool { return !l.dist.Has(stat) })
	at := func(s string) float64 {
		if q, err := stats.Percentile(s); err == nil {
			return q
		}
		return map[string]float64{"max": 1, "mean": 2}[s]
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(cmp.Compare(at(a), at(b)), cmp.Compare(a, b)) })
	return slices.Compact(out)
}

// Picture lays the panels out. narrow is for small screens: the panels below each other, and without the
// conditions. Without panels there is an error.
func (f Figure) Picture(rows [][]Panel, s *dataset.Set, narrow bool) (Picture, error) {
	p := Picture{title: f.Name + ": " + f.Title + ", " + engineText(s.Engine), marks: &Marks{}, notes: s.Conditions()}
	if narrow {
		p.notes = nil
		rows = column1(rows)
	}
	if len(rows) == 0 {
		return p, fmt.Errorf("%s: no valid run", f.Name)
	}
	if lacks := s.Lacks(4); lacks != "" {
		p.missing = append(p.missing, lacks)
	}
	for _, m := range s.Invalid {
		p.missing = append(p.missing, "Not valid and not drawn: "+m)
	}
	for _, row := range rows {
		var plots []*plot.Plot
		for j, pan := range row {
			q, err := f.plot(pan, p.marks)
			if err != nil {
				return p, fmt.Errorf("%s: %w", f.Name, err)
			}
			if j > 0 && !f.flat && f.Kind == cdfs {
				q.Y.Label.Text = ""
			}
			plots = append(plots, q)
		}
		p.rows = append(p.rows, plots)
	}
	p.legend = f.legend(rows)
	cols := len(rows[0])
	p.width = vg.Length(min(26, 8+6*cols)) * vg.Centimeter
	if narrow {
		p.width = narrowWidth
		cols = 1
	}
	height := 5.2
	if len(rows) == 1 {
		height = 7
	}
	p.height = vg.Length(height*float64(len(rows))+1.2)*vg.Centimeter + vg.Points(lineSpace*float64(len(p.notes)+len(p.missing)+2))
	if narrow {
		p.height += vg.Points(12 * float64((len(p.legend)+1)/2))
	}
	return p, nil
}

// narrowWidth is the width of a picture for a screen of 390 px.
const narrowWidth = 9.2 * vg.Centimeter

// column1 puts every panel into a row of its own.
func column1(rows [][]Panel) [][]Panel {
	var out [][]Panel
	for _, row := range rows {
		for _, p := range row {
			out = append(out, []Panel{p})
		}
	}
	return out
}

// engineText is an engine for people.
func engineText(engine string) string {
	if engine == results.EngineVM {
		return "measured"
	}
	return "simulated"
}

// plot draws one panel.
func (f Figure) plot(pan Panel, marks *Marks) (*plot.Plot, error) {
	q := plot.New()
	sans(q)
	q.Title.Text = pan.title
	switch f.Kind {
	case cdfs:
		cdf(q, pan.lanes, 0, marks)
		q.Y.Label.Text = "share"
		q.X.Label.Text = "ms"
		if f.tail > 0 {
			in := plot.New()
			sans(in)
			cdf(in, pan.lanes, f.tail, marks)
			in.BackgroundColor = RGB(0xffffff)
			q.Add(inset{in, 0.45, 0.08, 0.98, 0.66})
		}
	case violins:
		if pan.measure == dataset.Switches {
			violin(q, pan.lanes, math.Log1p, math.Expm1, marks)
			q.Y.Scale, q.Y.Tick.Marker = counts{}, counts{}
		} else {
			violin(q, pan.lanes, math.Log, math.Exp, marks)
			q.Y.Scale, q.Y.Tick.Marker = plot.LogScale{}, decades{}
			q.Y.Label.Text = "ms"
		}
	case boxes:
		box(q, pan.lanes, marks)
		q.Y.Label.Text, q.Y.Tick.Marker = "%", quarters{}
		if pan.measure == dataset.Spread {
			q.Y.Tick.Marker = plot.DefaultTicks{}
		}
	case barRows:
		var counts []float64 // of the lanes with samples
		for _, l := range pan.lanes {
			if n := l.dist.N(); n > 0 {
				counts = append(counts, float64(n))
			}
		}
		if len(counts) > 0 {
			q.Title.Text += fmt.Sprintf(" (n = %s)", format.Span(counts, 0))
		}
		q.Y.Label.Text = "ms"
		if err := bars(q, pan.lanes, marks); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// legend names the lanes, each once, and how the paper's numbers look.
func (f Figure) legend(rows [][]Panel) []entry {
	var lanes []lane
	known, curve, rings := false, false, false
	for _, row := range rows {
		for _, p := range row {
			for _, l := range p.lanes {
				if !slices.ContainsFunc(lanes, func(o lane) bool { return o.position.Series == l.position.Series }) {
					lanes = append(lanes, l)
				}
				n := len(l.paperCurve())
				known = known || n > 0
				curve, rings = curve || n >= 10, rings || n > 0 && n < 10
			}
		}
	}
	var out []entry
	for _, l := range lanes {
		if f.Kind == cdfs {
			out = append(out, lineEntry(l.legend, l.style.colour, l.style.dashes, 1.1))
		} else {
			out = append(out, areaEntry(l.legend, l.style.colour))
		}
	}
	switch {
	case !known:
	case f.Kind == barRows:
		out = append(out, areaEntry("paper", nil))
	case f.Kind == boxes:
		out = append(out, lineEntry("paper's median", paperInk, paperDashes, 1.4))
	case f.Kind == violins:
		out = append(out, lineEntry("paper's median (short: quartiles)", paperInk, paperDashes, 1.4))
	}
	if f.Kind == cdfs && curve {
		out = append(out, lineEntry("paper (grey behind, same dashes)", paperCurve, nil, 2.4))
	}
	if f.Kind == cdfs && rings {
		out = append(out, ringEntry("paper's percentiles"))
	}
	return out
}
