// SPDX-License-Identifier: Apache-2.0

package plot

import (
	"fmt"
	"image/color"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/ds2-lab/alps/figures/paper"
)

// style is how a series looks in every figure.
type style struct {
	colour color.RGBA
	dashes []vg.Length
}

// RGB is an opaque colour such as 0xe69f00.
func RGB(hex uint32) color.RGBA {
	return color.RGBA{uint8(hex >> 16), uint8(hex >> 8), uint8(hex), 0xff}
}

func dashes(points ...float64) []vg.Length {
	out := make([]vg.Length, len(points))
	for i, p := range points {
		out[i] = vg.Points(p)
	}
	return out
}

// styles of schedulers. The hues are after Okabe and Ito, whose palette the
// colour-blind can tell apart; brightness falls in steps, so that grey copies
// can be read too, and lines differ in their dashes.
var styles = map[string]style{
	"srpt":         {RGB(0x1c1c1c), dashes(1, 1.6)},
	"cfs":          {RGB(0x084a86), nil},
	"rr":           {RGB(0xa83f7c), dashes(5, 1.5, 1, 1.5)},
	"sfs":          {RGB(0x009e73), dashes(2.5, 1.5)},
	"alps":         {RGB(0xe69f00), dashes(7, 1.6)},
	"fifo":         {RGB(0x9dd3f7), dashes(4, 1.5, 1, 1.5, 1, 1.5)},
	paper.Artifact: {RGB(0x661a00), dashes(7, 1.6, 2.5, 1.6)},

	"steady":      {RGB(0x5b2a86), nil},
	"steady-scx":  {RGB(0x9a6fc4), dashes(5, 2)},
	"alps-scx":    {RGB(0xb5651d), dashes(2.5, 1.5)},
	"ghost-cfs":   {RGB(0x5b9bd5), dashes(2.5, 1.5)},
	"ghost-alps":  {RGB(0x8a5a00), dashes(1, 1.6)},
	"srpt-eb":     {RGB(0x707070), dashes(5, 2)},
	"random":      {RGB(0xb03a2e), dashes(4, 1.5, 1, 1.5, 1, 1.5)},
	"eevdf":       {RGB(0x56b4c9), dashes(5, 2)},
	"alps-slice":  {RGB(0xf4cf80), dashes(5, 2)},
	"alps-cap":    {RGB(0xb5651d), dashes(2.5, 1.5)},
	"alps-tail":   {RGB(0x6b3f00), dashes(5, 1.5, 1, 1.5)},
	"alps-off":    {RGB(0xf4cf80), dashes(5, 2)},
	"alps-none":   {RGB(0xf4cf80), dashes(5, 2)},
	"alps-fifo":   {RGB(0xf4cf80), dashes(4, 1.5, 1, 1.5, 1, 1.5)},
	"alps-100ms":  {RGB(0xe69f00), dashes(2.5, 1.5)},
	"alps-1s":     {RGB(0xb5651d), dashes(7, 1.6)},
	"alps-10s":    {RGB(0x8a4b10), dashes(5, 2)},
	"alps-strict": {RGB(0x5a3300), nil},
	"random40":    {RGB(0xe78f81), dashes(7, 1.6)},
}

// variants are the styles of one scheduler's settings, by their position in the figure.
var variants = []style{
	{RGB(0xe69f00), nil}, {RGB(0x084a86), dashes(5, 2)}, {RGB(0x009e73), dashes(2, 1.5)},
	{RGB(0x1c1c1c), dashes(1, 1.6)}, {RGB(0xa83f7c), dashes(5, 1.5, 1, 1.5)},
}

// styleOf is the style of a series, the nth of its figure from 0. A series of ALPS that has the name of another
// scheduler, as the order fifo has, does not look like that scheduler.
func styleOf(series, scheduler string, nth int) style {
	if s, ok := styles[series]; ok && (scheduler != "alps" || strings.HasPrefix(series, scheduler)) {
		return s
	}
	return variants[nth%len(variants)]
}

// The paper's numbers are grey, whole curves a light one.
var (
	paperInk   = color.Gray{0x78}
	paperCurve = color.Gray{0xb4}
)

var paperDashes = dashes(2, 1.5)

// light is c mixed with white, for areas.
func light(c color.RGBA) color.RGBA {
	mix := func(v uint8) uint8 { return uint8((int(v) + 2*0xff) / 3) }
	return color.RGBA{mix(c.R), mix(c.G), mix(c.B), 0xff}
}

// sans sets every text of p without serifs: small labels read better so.
func sans(p *plot.Plot) {
	for _, f := range []*font.Font{&p.Title.TextStyle.Font, &p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font,
		&p.X.Tick.Label.Font, &p.Y.Tick.Label.Font} {
		f.Variant = "Sans"
		f.Size = font.Points(8)
	}
}

// Text is the style of text outside the plots, of a size in points.
func Text(points float64) draw.TextStyle {
	p := plot.New()
	sans(p)
	s := p.X.Tick.Label
	s.Font.Size = font.Points(points)
	s.XAlign, s.YAlign = draw.XLeft, draw.YBottom
	return s
}

// Line is the style of a stroke that is width points wide; without dashes d it is solid.
func Line(c color.Color, width float64, d []vg.Length) draw.LineStyle {
	return draw.LineStyle{Color: c, Width: vg.Points(width), Dashes: d}
}

// decades are ticks at 1, 2, 5 × 10ⁿ ms; over many decades only 10ⁿ is named.
type decades struct{}

// Ticks implements plot.Ticker.
func (decades) Ticks(lo, hi float64) []plot.Tick {
	var ticks []plot.Tick
	for e := math.Floor(math.Log10(lo)); e <= math.Ceil(math.Log10(hi)); e++ {
		for _, m := range []float64{1, 2, 5} {
			v := m * math.Pow(10, e)
			if v < lo*0.999 || v > hi*1.001 {
				continue
			}
			t := plot.Tick{Value: v}
			if m == 1 || hi/lo < 120 {
				t.Label = duration(v)
			}
			ticks = append(ticks, t)
		}
	}
	return ticks
}

// duration is the label of a tick: ms without a unit, or from 1000 ms on seconds with an s.
func duration(ms float64) string {
	if ms >= 1000 {
		return fmt.Sprintf("%gs", ms/1000)
	}
	return fmt.Sprintf("%g", ms)
}

// names are the labels of a categorical axis.
type names []string

// Ticks implements plot.Ticker.
func (n names) Ticks(_, _ float64) []plot.Tick {
	ticks := make([]plot.Tick, len(n))
	for i, s := range n {
		ticks[i] = plot.Tick{Value: float64(i), Label: s}
	}
	return ticks
}

// counts is a scale of log(1 + x), which has a zero, and its ticks.
type counts struct{}

// Normalize implements plot.Normalizer.
func (counts) Normalize(lo, hi, x float64) float64 {
	return (math.Log1p(x) - math.Log1p(lo)) / (math.Log1p(hi) - math.Log1p(lo))
}

// Ticks implements plot.Ticker.
func (counts) Ticks(lo, hi float64) []plot.Tick {
	ticks := []plot.Tick{{Value: 0, Label: "0"}}
	for e := 1.0; e <= hi; e *= 10 {
		for _, m := range []float64{1, 2, 5} {
			if v := m * e; v <= hi {
				ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("%g", v)})
			}
		}
	}
	return ticks
}

// quarters are ticks of percentages: every 25 %, or twice as far apart until there are about 8.
type quarters struct{}

// Ticks implements plot.Ticker.
func (quarters) Ticks(lo, hi float64) []plot.Tick {
	step := 25.0
	for (hi-lo)/step > 8 {
		step *= 2
	}
	var ticks []plot.Tick
	for v := math.Ceil(lo/step) * step; v <= hi; v += step {
		ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("%g", v)})
	}
	return ticks
}
