// SPDX-License-Identifier: Apache-2.0

package plot

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/format"
	"github.com/ds2-lab/alps/figures/paper"
	"github.com/ds2-lab/alps/figures/stats"
)

// bases are the schedulers that others are compared with: the first of them that ran under the same workload
// and load.
var bases = []string{"eevdf", "cfs"}

// relativeMeasures are the measures whose means are compared.
var relativeMeasures = []struct{ measure, title string }{{dataset.Turnaround, "turnaround"}, {dataset.FromRequest, "from the request"}}

// Ratio is a scheduler's mean as a multiple of that of the base.
type Ratio struct {
	paper.Position
	Base    string
	Measure string         // of package dataset
	Mean    float64        // ms
	Ratio   float64        // Mean over the base's
	Middle  stats.Interval // of the ratio; NaN: none
	N       int64          // invocations of all rounds
	label   string
	look    style
}

// Ratios compares every series of a set by turnaround and from the request, for each
// workload and load. Where neither EEVDF nor CFS ran there is nothing.
func (f Figure) Ratios(l *dataset.Library, s *dataset.Set) ([]Ratio, error) {
	positionOf := func(x results.Series) paper.Position {
		return paper.Position{Figure: f.Name, Workload: x.Workload, LoadPct: dataset.LoadPct(x.Load), Group: results.All, Series: x.Name}
	}
	positions := dataset.Distinct(s.Series, positionOf)
	names := dataset.Distinct(s.Series, func(x results.Series) string { return x.Name })
	var out []Ratio
	for _, m := range relativeMeasures {
		for _, at := range positions {
			base := at
			i := slices.IndexFunc(bases, func(name string) bool {
				base.Series = name
				return slices.Contains(positions, base)
			})
			if i < 0 {
				continue
			}
			base.Series = bases[i]
			x := s.Series[slices.IndexFunc(s.Series, func(x results.Series) bool { return positionOf(x) == at })]
			ours, theirs := l.Distribution(s, at, m.measure), l.Distribution(s, base, m.measure)
			r := Ratio{Position: at, Base: base.Series, Measure: m.measure, Mean: ours.Mean(), Ratio: ours.Mean() / theirs.Mean(), N: ours.N(),
				label: s.Label(x), look: styleOf(paper.Scheduler(at.Series), x.Result.Run.Scheduler, slices.Index(names, at.Series))}
			stat := dataset.JoinStat(m.measure, "mean")
			a, err := l.Redraw(s, at, stat)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.Name, err)
			}
			b, err := l.Redraw(s, base, stat)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.Name, err)
			}
			r.Middle = stats.RatioMiddle95(a, b)
			out = append(out, r)
		}
	}
	return out, nil
}

// text is a ratio with its interval.
func (r Ratio) text() string {
	out := "× " + format.Grouped(r.Ratio, 2)
	if r.Series != r.Base && !math.IsNaN(r.Middle.Lo) {
		out += fmt.Sprintf(" (%s–%s)", format.Grouped(r.Middle.Lo, 2), format.Grouped(r.Middle.Hi, 2))
	}
	return out
}

// RatioTable is a row for each workload, load and scheduler.
func RatioTable(ratios []Ratio) (head []string, rows [][]string) {
	head = []string{"scheduler", "workload", "load", "against"}
	for _, m := range relativeMeasures {
		head = append(head, m.title+", ms", "as a multiple")
	}
	for _, at := range dataset.Distinct(ratios, func(r Ratio) paper.Position { return r.Position }) {
		var row []string
		for _, r := range ratios {
			if r.Position == at {
				if row == nil {
					row = []string{r.label, at.Workload, fmt.Sprintf("%d %%", at.LoadPct), r.Base}
				}
				row = append(row, format.Short(r.Mean), r.text())
			}
		}
		rows = append(rows, row)
	}
	return head, rows
}

// RatioTSV is the data behind the picture.
func RatioTSV(engine string, ratios []Ratio) string {
	var b strings.Builder
	b.WriteString("engine\tworkload\tload_pct\tseries\tbase\tmeasure\tmean_ms\tratio\tratio_lo95\tratio_hi95\tn\n")
	for _, r := range ratios {
		measure := "turnaround"
		if r.Measure != dataset.Turnaround {
			measure = r.Measure
		}
		fmt.Fprintf(&b, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\n", engine, r.Workload, r.LoadPct, r.Series, r.Base, measure,
			format.Fixed(r.Mean, 1), format.Fixed(r.Ratio, 3), format.Fixed(r.Middle.Lo, 3), format.Fixed(r.Middle.Hi, 3), r.N)
	}
	return b.String()
}

// RatioPicture has a panel for each workload, load and measure: a bar per scheduler from
// 1, which is the base, to its ratio, and its interval.
func (f Figure) RatioPicture(ratios []Ratio, s *dataset.Set, narrow bool) Picture {
	p := Picture{title: f.Name + ": " + f.Title + ", " + engineText(s.Engine), marks: &Marks{}, notes: s.Conditions()}
	type condition struct {
		workload string
		load     int
	}
	conditionOf := func(r Ratio) condition { return condition{r.Workload, r.LoadPct} }
	most := 0
	for _, c := range dataset.Distinct(ratios, conditionOf) {
		var row []*plot.Plot
		for _, m := range relativeMeasures {
			of := slices.DeleteFunc(slices.Clone(ratios), func(r Ratio) bool { return conditionOf(r) != c || r.Measure != m.measure })
			most = max(most, len(of))
			row = append(row, ratioPlot(fmt.Sprintf("%s, %d %%: mean %s / %s's", c.workload, c.load, m.title, of[0].Base), of, p.marks))
		}
		if narrow {
			for _, q := range row {
				p.rows = append(p.rows, []*plot.Plot{q})
			}
			continue
		}
		p.rows = append(p.rows, row)
	}
	p.width = 22 * vg.Centimeter
	if narrow {
		p.width, p.notes = narrowWidth, nil
	}
	p.height = vg.Length(2+0.55*float64(most))*vg.Length(len(p.rows))*vg.Centimeter + vg.Points(lineSpace*float64(len(p.notes)+2))
	return p
}

// ratioPlot is one panel: schedulers from the top to the bottom.
func ratioPlot(title string, ratios []Ratio, marks *Marks) *plot.Plot {
	q := plot.New()
	sans(q)
	q.Title.Text = title
	lo, hi := 1.0, 1.0
	labels := make(names, len(ratios))
	for i, r := range ratios {
		labels[len(ratios)-1-i] = r.label + " " // off the axis
		for _, v := range []float64{r.Ratio, r.Middle.Lo, r.Middle.Hi} {
			if v > 0 {
				lo, hi = min(lo, v), max(hi, v)
			}
		}
	}
	q.Add(drawing{xmin: lo / 1.15, xmax: hi * 1.15, ymin: -0.5, ymax: float64(len(ratios)) - 0.5, plot: func(c draw.Canvas, x, y func(float64) vg.Length) {
		for i, r := range ratios {
			at := float64(len(ratios) - 1 - i)
			a, b := vg.Point{X: x(1), Y: y(at - 0.35)}, vg.Point{X: x(r.Ratio), Y: y(at + 0.35)}
			c.FillPolygon(r.look.colour, []vg.Point{a, {X: b.X, Y: a.Y}, b, {X: a.X, Y: b.Y}})
			if r.Series != r.Base && r.Middle.Lo > 0 {
				middle := []vg.Point{{X: x(r.Middle.Lo), Y: y(at)}, {X: x(r.Middle.Hi), Y: y(at)}}
				c.StrokeLines(Line(RGB(0xffffff), 2.6, nil), middle) // so that it is seen on a dark bar
				c.StrokeLines(Line(RGB(0x505050), 1.2, nil), middle)
			}
			marks.Between(vg.Point{X: min(a.X, b.X), Y: a.Y}, vg.Point{X: max(a.X, b.X), Y: b.Y}, fmt.Sprintf("%s: %s, %s ms", r.label, r.text(), format.Short(r.Mean)))
		}
		c.StrokeLines(Line(RGB(0x1c1c1c), 0.8, nil), []vg.Point{{X: x(1), Y: y(-0.5)}, {X: x(1), Y: y(float64(len(ratios)) - 0.5)}})
	}})
	q.X.Scale, q.X.Tick.Marker = plot.LogScale{}, multiples{}
	q.Y.Tick.Marker, q.Y.Tick.Length, q.Y.Tick.Width = labels, vg.Points(4), 0
	return q
}

// multiples are ticks of ratios.
type multiples struct{}

// Ticks implements plot.Ticker.
func (multiples) Ticks(lo, hi float64) []plot.Tick {
	var ticks []plot.Tick
	for _, v := range []float64{0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50, 100} {
		if v >= lo && v <= hi {
			ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("%g", v)})
		}
	}
	return ticks
}
