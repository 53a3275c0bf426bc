// SPDX-License-Identifier: Apache-2.0

package plot

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/format"
	"github.com/ds2-lab/alps/figures/paper"
	"github.com/ds2-lab/alps/figures/stats"
)

// lane is what one curve, violin, box or row of bars shows.
type lane struct {
	label    string // below the lane, on the x axis
	legend   string // its series' name there
	style    style
	position paper.Position
	measure  string
	dist     stats.Distribution
	paper    []paper.Number // what the paper has of it, by ascending percentile; Stat is without the measure
}

// paperOf is the paper's value of a statistic, or NaN.
func (l lane) paperOf(name string) float64 {
	for _, p := range l.paper {
		if p.Stat == name {
			return p.Value
		}
	}
	return math.NaN()
}

// text is a statistic of a lane for a mark, with the paper's value if the paper has one.
func (l lane) text(stat string) string {
	v, err := l.dist.Statistic(stat)
	if err != nil || math.IsNaN(v) {
		return ""
	}
	unit := dataset.Unit(l.measure)
	out := strings.TrimSpace(fmt.Sprintf("%s %s %s", stat, format.Short(v), unit))
	if p := l.paperOf(stat); !math.IsNaN(p) {
		out += strings.TrimRight(fmt.Sprintf(" (paper %s %s", format.Short(p), unit), " ") + ")"
	}
	return out
}

// about is the text of a mark: the lane's name and group, then numbers.
func (l lane) about(numbers ...string) string {
	name := l.legend
	if l.position.Group != results.All {
		name += ", " + l.position.Group
	}
	return name + ": " + strings.Join(numbers, ", ")
}

// paperCurve are the paper's percentiles as points of a CDF.
func (l lane) paperCurve() plotter.XYs {
	var pts plotter.XYs
	for _, p := range l.paper {
		if q, err := stats.Percentile(p.Stat); err == nil {
			pts = append(pts, plotter.XY{X: p.Value, Y: q})
		}
	}
	return pts
}

// drawing is a picture's plotter, made of functions.
type drawing struct {
	plot                   func(c draw.Canvas, x, y func(float64) vg.Length)
	xmin, xmax, ymin, ymax float64
}

// Plot implements plot.Plotter.
func (d drawing) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	d.plot(c, x, y)
}

// DataRange implements plot.DataRanger.
func (d drawing) DataRange() (xmin, xmax, ymin, ymax float64) { return d.xmin, d.xmax, d.ymin, d.ymax }

// curveSteps is how many steps the curve of a CDF has.
const curveSteps = 150

// cdf draws a curve per lane, from the share from (0 to 1) on, and the paper's behind it: as a curve if ten or
// more of its percentiles are known, else as rings.
func cdf(p *plot.Plot, lanes []lane, from float64, marks *Marks) {
	lo, hi := math.Inf(1), math.Inf(-1)
	curves := make([]plotter.XYs, len(lanes))
	for i, l := range lanes {
		if l.dist.N() == 0 {
			continue
		}
		for k := range curveSteps + 1 {
			q := from + (1-from)*float64(k)/curveSteps
			// An on-CPU segment below 0.5 µs is recorded as 0, which has no logarithm: it is drawn at 1 µs, left of the picture.
			curves[i] = append(curves[i], plotter.XY{X: max(l.dist.Quantile(q), 1e-3), Y: q})
		}
		lo, hi = min(lo, l.dist.Quantile(from+0.001)), max(hi, l.dist.Quantile(0.998))
		for _, pt := range l.paperCurve() {
			if pt.Y >= from {
				lo, hi = min(lo, pt.X), max(hi, pt.X)
			}
		}
	}
	if hi < lo {
		lo, hi = 1, 10
	}
	p.Add(drawing{xmin: max(lo*0.9, 0.5), xmax: hi * 1.1, ymin: from, ymax: 1, plot: func(c draw.Canvas, x, y func(float64) vg.Length) {
		stroke := func(pts plotter.XYs, s draw.LineStyle) {
			out := make([]vg.Point, len(pts))
			for i, pt := range pts {
				out[i] = vg.Point{X: x(pt.X), Y: y(pt.Y)}
			}
			c.StrokeLines(s, c.ClipLinesXY(out)...)
		}
		rings := func(l lane) bool { return len(l.paperCurve()) < 10 }
		for _, l := range lanes {
			if !rings(l) && l.position.Series != paper.Artifact { // the paper's curve for alps-artifact is that for alps
				stroke(l.paperCurve(), Line(paperCurve, 2.4, l.style.dashes))
			}
		}
		for i, l := range lanes {
			stroke(curves[i], Line(l.style.colour, 1.1, l.style.dashes))
		}
		for _, l := range lanes {
			for _, stat := range []string{"p10", "p25", "p50", "p75", "p90", "p95", "p99"} {
				q, err := stats.Percentile(stat)
				at := vg.Point{X: x(max(l.dist.Quantile(q), 1e-3)), Y: y(q)}
				if err == nil && q >= from && l.dist.Has(stat) && c.Contains(at) {
					marks.Around(at, l.about(l.text(stat)))
				}
			}
			for _, pt := range l.paperCurve() {
				at := vg.Point{X: x(pt.X), Y: y(pt.Y)}
				if rings(l) && c.Contains(at) {
					c.DrawGlyph(draw.GlyphStyle{Color: paperInk, Radius: vg.Points(3.4), Shape: draw.CircleGlyph{}}, at)
					c.DrawGlyph(draw.GlyphStyle{Color: l.style.colour, Radius: vg.Points(2.2), Shape: draw.CircleGlyph{}}, at)
				}
			}
		}
	}})
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, decades{}
}

// across draws lane after lane along the x axis.
func across(p *plot.Plot, lanes []lane, lo, hi float64, draw1 func(i int, l lane, c draw.Canvas, x, y func(float64) vg.Length)) {
	labels := make(names, len(lanes))
	for i, l := range lanes {
		labels[i] = l.label
	}
	p.Add(drawing{xmin: -0.5, xmax: float64(len(lanes)) - 0.5, ymin: lo, ymax: hi, plot: func(c draw.Canvas, x, y func(float64) vg.Length) {
		for i, l := range lanes {
			if l.dist.N() > 0 {
				draw1(i, l, c, x, y)
			}
		}
	}})
	p.X.Tick.Marker, p.X.Tick.Length = labels, 0
}

// spread is the range of the lanes' values between the shares from and to (0 to 1), and of the paper's percentiles.
func spread(lanes []lane, from, to float64) (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, l := range lanes {
		if l.dist.N() == 0 {
			continue
		}
		lo, hi = min(lo, l.dist.Quantile(from)), max(hi, l.dist.Quantile(to))
		for _, s := range l.paper {
			if _, err := stats.Percentile(s.Stat); err == nil {
				lo, hi = min(lo, s.Value), max(hi, s.Value)
			}
		}
	}
	if hi < lo {
		return 1, 10
	}
	return lo, hi
}

// level draws a horizontal line across lane i.
func level(c draw.Canvas, x, y func(float64) vg.Length, i int, v, halfWidth float64, s draw.LineStyle) {
	if !math.IsNaN(v) {
		c.StrokeLines(s, c.ClipLinesXY([]vg.Point{{X: x(float64(i) - halfWidth), Y: y(v)}, {X: x(float64(i) + halfWidth), Y: y(v)}})...)
	}
}

// Violins are drawn between the values of these shares (0 to 1), with so many bins of their density.
const violinFrom, violinTo, violinBins = 0.005, 0.995, 48

// violin draws a density per lane, with quartiles and median, and the paper's
// median and quartiles as dashes. forth is the axis' scale, and back its inverse.
func violin(p *plot.Plot, lanes []lane, forth, back func(float64) float64, marks *Marks) {
	lo, hi := spread(lanes, violinFrom, violinTo)
	across(p, lanes, lo, hi, func(i int, l lane, c draw.Canvas, x, y func(float64) vg.Length) {
		from, to := forth(l.dist.Quantile(violinFrom)), forth(l.dist.Quantile(violinTo))
		if to > from {
			width := (to - from) / violinBins
			var bins [violinBins + 1]float64
			for _, s := range l.dist.Samples() {
				if b := math.Round((forth(s.Value) - from) / width); b >= 0 && b <= violinBins {
					bins[int(b)] += float64(s.Count)
				}
			}
			density, most := smooth(bins[:])
			var left, right []vg.Point
			for b, d := range density {
				half := 0.44 * d / most
				at := y(back(from + float64(b)*width))
				left = append(left, vg.Point{X: x(float64(i) - half), Y: at})
				right = append([]vg.Point{{X: x(float64(i) + half), Y: at}}, right...)
			}
			outline := append(left, right...)
			c.FillPolygon(light(l.style.colour), outline)
			c.StrokeLines(Line(l.style.colour, 0.7, nil), append(outline, outline[0]))
		} else {
			level(c, x, y, i, back(from), 0.44, Line(l.style.colour, 2, nil))
		}
		c.StrokeLines(Line(l.style.colour, 3, nil), []vg.Point{{X: x(float64(i)), Y: y(l.dist.Quantile(0.25))}, {X: x(float64(i)), Y: y(l.dist.Quantile(0.75))}})
		for _, q := range []string{"p25", "p75"} {
			level(c, x, y, i, l.paperOf(q), 0.22, Line(paperInk, 1, paperDashes))
		}
		level(c, x, y, i, l.paperOf("p50"), 0.45, Line(paperInk, 1.4, paperDashes))
		marks.Between(vg.Point{X: x(float64(i) - 0.45), Y: y(l.dist.Quantile(violinFrom))}, vg.Point{X: x(float64(i) + 0.45), Y: y(l.dist.Quantile(violinTo))},
			l.about(l.text("p25"), l.text("p50"), l.text("p75")))
		at := vg.Point{X: x(float64(i)), Y: y(l.dist.Quantile(0.5))}
		c.DrawGlyph(draw.GlyphStyle{Color: RGB(0xffffff), Radius: vg.Points(2.4), Shape: draw.CircleGlyph{}}, at)
		c.DrawGlyph(draw.GlyphStyle{Color: l.style.colour, Radius: vg.Points(2.4), Shape: draw.RingGlyph{}}, at)
	})
}

// smooth smooths bins by a small kernel, and returns the largest value too.
func smooth(bins []float64) (out []float64, most float64) {
	kernel := []float64{1, 3, 4, 3, 1}
	out = make([]float64, len(bins))
	for i := range bins {
		for k, w := range kernel {
			if j := i + k - len(kernel)/2; j >= 0 && j < len(bins) {
				out[i] += w * bins[j]
			}
		}
		most = max(most, out[i])
	}
	return out, most
}

// box draws quartiles, median and whiskers at 5 and 95 %, and the paper's
// median as dashes.
func box(p *plot.Plot, lanes []lane, marks *Marks) {
	lo, hi := spread(lanes, 0.05, 0.95)
	across(p, lanes, lo-0.03*(hi-lo), hi+0.03*(hi-lo), func(i int, l lane, c draw.Canvas, x, y func(float64) vg.Length) {
		at := func(dx, q float64) vg.Point { return vg.Point{X: x(float64(i) + dx), Y: y(l.dist.Quantile(q))} }
		quartiles := []vg.Point{at(-0.3, 0.25), at(0.3, 0.25), at(0.3, 0.75), at(-0.3, 0.75), at(-0.3, 0.25)}
		ink := Line(l.style.colour, 0.9, nil)
		c.FillPolygon(light(l.style.colour), quartiles[:4])
		c.StrokeLines(ink, quartiles, []vg.Point{at(0, 0.05), at(0, 0.25)}, []vg.Point{at(0, 0.75), at(0, 0.95)})
		for _, q := range []float64{0.05, 0.95} {
			level(c, x, y, i, l.dist.Quantile(q), 0.15, ink)
		}
		marks.Between(at(-0.45, 0.05), at(0.45, 0.95), l.about(l.text("p5"), l.text("p25"), l.text("p50"), l.text("p75"), l.text("p95")))
		level(c, x, y, i, l.dist.Quantile(0.5), 0.3, Line(RGB(0x1c1c1c), 2, nil))
		level(c, x, y, i, l.paperOf("p50"), 0.44, Line(paperInk, 1.4, paperDashes))
	})
}

// bars draws, for every statistic (barLabels), a bar per lane that has it on a logarithmic axis, and
// the paper's value as a dashed outline.
func bars(p *plot.Plot, lanes []lane, marks *Marks) error {
	labels := names(barLabels(lanes))
	type bar struct {
		i           int
		left, width float64
		ours, paper float64
		style       style
		text        string
	}
	var all []bar
	lo, hi := math.Inf(1), math.Inf(-1)
	for j, l := range lanes {
		own := barStats(l)
		width := 0.84 / float64(len(lanes))
		for i, st := range labels {
			ours, err := l.dist.Statistic(st)
			if err != nil {
				return err
			}
			if !slices.Contains(own, st) || !l.dist.Has(st) {
				ours = math.NaN()
			}
			b := bar{i, float64(i) - 0.42 + float64(j)*width, width * 0.92, ours, l.paperOf(st), l.style, l.about(l.text(st))}
			for _, v := range []float64{b.ours, b.paper} {
				if !math.IsNaN(v) {
					lo, hi = min(lo, v), max(hi, v)
				}
			}
			all = append(all, b)
		}
	}
	if hi < lo {
		lo, hi = 1, 10
	}
	lo *= 0.6
	p.Add(drawing{xmin: -0.5, xmax: float64(len(labels)) - 0.5, ymin: lo, ymax: hi * 1.2, plot: func(c draw.Canvas, x, y func(float64) vg.Length) {
		for _, b := range all {
			corners := func(v float64) []vg.Point {
				return []vg.Point{{X: x(b.left), Y: y(lo)}, {X: x(b.left + b.width), Y: y(lo)}, {X: x(b.left + b.width), Y: y(v)}, {X: x(b.left), Y: y(v)}}
			}
			if !math.IsNaN(b.ours) {
				marks.Between(vg.Point{X: x(b.left), Y: y(lo)}, vg.Point{X: x(b.left + b.width), Y: y(b.ours)}, b.text)
				c.FillPolygon(b.style.colour, corners(b.ours))
			}
			if !math.IsNaN(b.paper) {
				pts := append(corners(b.paper), corners(b.paper)[0])
				// A white edge keeps the line visible on a dark bar.
				c.StrokeLines(Line(RGB(0xffffff), 1.5, nil), pts)
				c.StrokeLines(Line(paperInk, 0.7, paperDashes), pts)
			}
		}
	}})
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, decades{}
	p.X.Tick.Marker, p.X.Tick.Length = labels, 0
	return nil
}

// inset draws one plot inside another; its corners are at shares (0 to 1) of the other's sides.
type inset struct {
	plot           *plot.Plot
	x0, y0, x1, y1 float64
}

// Plot implements plot.Plotter.
func (n inset) Plot(c draw.Canvas, _ *plot.Plot) {
	w, h := c.Max.X-c.Min.X, c.Max.Y-c.Min.Y
	c = draw.Crop(c, w*vg.Length(n.x0), -w*vg.Length(1-n.x1), h*vg.Length(n.y0), -h*vg.Length(1-n.y1))
	n.plot.Draw(c)
}
