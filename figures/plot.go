package figures

import (
	"bytes"
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/ds2-lab/alps/experiments/results"
)

// colours are fixed per scheduler everywhere, from Okabe and Ito's palette,
// chosen to differ in brightness too.
var colours = map[string]color.Color{
	"cfs":  color.RGBA{0x00, 0x4c, 0x80, 0xff},
	"alps": color.RGBA{0xe6, 0x9f, 0x00, 0xff},
	"sfs":  color.RGBA{0x00, 0x9e, 0x73, 0xff},
	"rr":   color.RGBA{0xcc, 0x79, 0xa7, 0xff},
	"fifo": color.RGBA{0x56, 0xb4, 0xe9, 0xff},
	"srpt": color.RGBA{0x30, 0x30, 0x30, 0xff},
}

func colour(scheduler string) color.Color {
	if c, ok := colours[scheduler]; ok {
		return c
	}
	return color.Gray{0x80}
}

// groupedBars draws, for every statistic, a bar per scheduler from the bottom
// of a logarithmic axis, and the paper's value as a line across it.
type groupedBars struct {
	stats      []string
	schedulers []string
	value      func(stat, scheduler string) (ours, paper float64)
}

var paperInk = color.Gray{0x60}

// Plot implements plot.Plotter.
func (g groupedBars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	width := 0.8 / float64(len(g.schedulers))
	for i, st := range g.stats {
		for j, s := range g.schedulers {
			ours, paper := g.value(st, s)
			left := float64(i) - 0.4 + float64(j)*width
			rect := func(lo, hi float64, fill color.Color, outline bool) {
				pts := []vg.Point{{X: x(left), Y: y(lo)}, {X: x(left + width*0.92), Y: y(lo)}, {X: x(left + width*0.92), Y: y(hi)}, {X: x(left), Y: y(hi)}}
				if outline {
					// A white edge keeps the line visible on a dark bar.
					c.StrokeLines(draw.LineStyle{Color: color.White, Width: vg.Points(1.6)}, append(pts, pts[0]))
					c.StrokeLines(draw.LineStyle{Color: paperInk, Width: vg.Points(0.7), Dashes: []vg.Length{vg.Points(2), vg.Points(1.5)}}, append(pts, pts[0]))
				} else {
					c.FillPolygon(fill, pts)
				}
			}
			if !math.IsNaN(ours) {
				rect(p.Y.Min, ours, colour(s), false)
			}
			if !math.IsNaN(paper) {
				rect(p.Y.Min, paper, nil, true)
			}
		}
	}
}

// DataRange implements plot.DataRanger.
func (g groupedBars) DataRange() (xmin, xmax, ymin, ymax float64) {
	ymin, ymax = math.Inf(1), math.Inf(-1)
	for _, st := range g.stats {
		for _, s := range g.schedulers {
			for _, v := range pair(g.value(st, s)) {
				if !math.IsNaN(v) {
					ymin, ymax = min(ymin, v), max(ymax, v)
				}
			}
		}
	}
	return -0.5, float64(len(g.stats)) - 0.5, ymin, ymax
}

func pair(a, b float64) []float64 { return []float64{a, b} }

// decades are ticks at 1, 2, 5 × 10ⁿ.
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
			label := fmt.Sprintf("%g", v)
			if v >= 1000 {
				label = fmt.Sprintf("%gs", v/1000)
			}
			ticks = append(ticks, plot.Tick{Value: v, Label: label})
		}
	}
	return ticks
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

// key is a legend's little square.
type key struct{ fill color.Color }

// Thumbnail implements plot.Thumbnailer.
func (k key) Thumbnail(c *draw.Canvas) {
	pts := []vg.Point{c.Min, {X: c.Max.X, Y: c.Min.Y}, c.Max, {X: c.Min.X, Y: c.Max.Y}}
	if k.fill == nil {
		c.StrokeLines(draw.LineStyle{Color: paperInk, Width: vg.Points(0.7), Dashes: []vg.Length{vg.Points(2), vg.Points(1.5)}}, append(pts, pts[0]))
		return
	}
	c.FillPolygon(k.fill, pts)
}

// panels makes one plot per group.
func (f fig06) panels() [][]*plot.Plot {
	var row []*plot.Plot
	for i, g := range results.Groups {
		p := plot.New()
		sans(p)
		var sts []string
		n := 0
		for _, b := range f.Bars {
			if b.Group == g && b.Scheduler == f.Schedulers[0] {
				sts, n = append(sts, b.Stat), b.N
			}
		}
		p.Title.Text = fmt.Sprintf("%s (n = %d)", g, n)
		bars := groupedBars{stats: sts, schedulers: f.Schedulers, value: func(st, s string) (float64, float64) {
			b, ok := f.find(g, st, s)
			if !ok {
				return math.NaN(), math.NaN()
			}
			return b.OursMS, b.PaperMS
		}}
		p.Add(bars)
		_, _, lo, hi := bars.DataRange()
		if math.IsInf(lo, 0) {
			lo, hi = 1, 10 // an empty panel still needs an axis
		}
		p.Y.Min, p.Y.Max = lo*0.6, hi*1.25
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, decades{}
		p.X.Tick.Marker = names(sts)
		p.X.Tick.Length = 0
		if i == 0 {
			p.Y.Label.Text = "turnaround, ms"
			p.Legend.Top, p.Legend.Left = true, true
			p.Legend.ThumbnailWidth = vg.Points(10)
			for _, s := range f.Schedulers {
				p.Legend.Add(s, key{colour(s)})
			}
			p.Legend.Add("paper", key{nil})
			p.Y.Max = hi * 4 // room for the legend
		}
		row = append(row, p)
	}
	return [][]*plot.Plot{row}
}

// sans sets every text of p without serifs: small labels read better so.
func sans(p *plot.Plot) {
	for _, f := range []*font.Font{&p.Title.TextStyle.Font, &p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font,
		&p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &p.Legend.TextStyle.Font} {
		f.Variant = "Sans"
		f.Size = font.Points(9)
	}
}

const (
	figWidth  = 24 * vg.Centimeter
	figHeight = 7.5 * vg.Centimeter
)

func (f fig06) draw(c draw.Canvas) {
	plots := f.panels()
	style := plots[0][0].X.Tick.Label
	style.Font.Size = font.Points(7)
	style.XAlign, style.YAlign = draw.XLeft, draw.YBottom
	c.FillText(style, vg.Point{X: c.Min.X + vg.Points(6), Y: c.Min.Y + vg.Points(3)}, f.Footer)
	c = draw.Crop(c, 0, 0, vg.Points(12), 0)
	t := draw.Tiles{Rows: 1, Cols: len(results.Groups), PadX: vg.Points(6), PadLeft: vg.Points(2), PadRight: vg.Points(4), PadTop: vg.Points(4), PadBottom: vg.Points(2)}
	for i, row := range plot.Align(plots, t, c) {
		for j, sub := range row {
			plots[i][j].Draw(sub)
		}
	}
}

// svg is the figure, the same bytes for the same table.
func (f fig06) svg() ([]byte, error) {
	c := vgsvg.New(figWidth, figHeight)
	f.draw(draw.New(c))
	var b bytes.Buffer
	_, err := c.WriteTo(&b)
	return b.Bytes(), err
}

func (f fig06) png() ([]byte, error) {
	c := vgimg.NewWith(vgimg.UseWH(figWidth, figHeight), vgimg.UseDPI(144))
	f.draw(draw.New(c))
	var b bytes.Buffer
	_, err := vgimg.PngCanvas{Canvas: c}.WriteTo(&b)
	return b.Bytes(), err
}
