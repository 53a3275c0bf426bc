// SPDX-License-Identifier: Apache-2.0

package plot

import (
	"bytes"
	"fmt"
	"image/color"
	"io"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgpdf"
	"gonum.org/v1/plot/vg/vgsvg"
)

// picture is a figure that can be drawn in several formats.
type picture struct {
	rows          [][]*plot.Plot
	legend        []entry
	missing       []string // said in red
	notes         []string // conditions
	width, height vg.Length
}

// entry of a legend.
type entry struct {
	label string
	draw  func(c draw.Canvas, from, to vg.Point) // a sample between two corners
}

// lineEntry shows a curve.
func lineEntry(label string, c color.Color, d []vg.Length, width float64) entry {
	return entry{label, func(cv draw.Canvas, a, b vg.Point) {
		y := (a.Y + b.Y) / 2
		cv.StrokeLines(Line(c, width, d), []vg.Point{{X: a.X, Y: y}, {X: b.X, Y: y}})
	}}
}

// areaEntry shows a bar; without a colour the paper's outline.
func areaEntry(label string, fill color.Color) entry {
	return entry{label, func(cv draw.Canvas, a, b vg.Point) {
		pts := []vg.Point{a, {X: b.X, Y: a.Y}, b, {X: a.X, Y: b.Y}}
		if fill == nil {
			cv.StrokeLines(Line(PaperInk, 0.9, PaperDashes), append(pts, pts[0]))
			return
		}
		cv.FillPolygon(fill, pts)
	}}
}

// ringEntry shows the paper's single percentiles.
func ringEntry(label string) entry {
	return entry{label, func(cv draw.Canvas, a, b vg.Point) {
		at := vg.Point{X: (a.X + b.X) / 2, Y: (a.Y + b.Y) / 2}
		cv.DrawGlyph(draw.GlyphStyle{Color: PaperInk, Radius: vg.Points(3.4), Shape: draw.CircleGlyph{}}, at)
		cv.DrawGlyph(draw.GlyphStyle{Color: Rgb(0xffffff), Radius: vg.Points(2.2), Shape: draw.CircleGlyph{}}, at)
	}}
}

const (
	Margin    = 4.0 // points
	LineSpace = 9.5
	sampleLen = 20.0
)

// draw draws the legend on top, the plots, and the conditions below.
func (p picture) draw(c draw.Canvas) {
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	style := Text(8)
	pt := func(v float64) vg.Length { return vg.Points(v) }
	x, top := c.Min.X+pt(Margin), c.Max.Y-pt(12)
	for _, e := range p.legend {
		w := style.Width(e.label) + pt(sampleLen+14)
		if x+w > c.Max.X && x > c.Min.X+pt(Margin) {
			x, top = c.Min.X+pt(Margin), top-pt(12)
		}
		e.draw(c, vg.Point{X: x, Y: top}, vg.Point{X: x + pt(sampleLen), Y: top + pt(7)})
		c.FillText(style, vg.Point{X: x + pt(sampleLen+4), Y: top}, e.label)
		x += w
	}
	bottom := c.Min.Y + pt(Margin)
	notes := Text(6.5)
	note := func(lines []string, ink color.Color) {
		notes.Color = ink
		var wrapped []string
		for _, l := range lines {
			wrapped = append(wrapped, Wrap(l, func(s string) bool { return notes.Width(s) < c.Max.X-c.Min.X-pt(2*Margin) })...)
		}
		for i := range wrapped {
			c.FillText(notes, vg.Point{X: c.Min.X + pt(Margin), Y: bottom}, wrapped[len(wrapped)-1-i])
			bottom += pt(LineSpace)
		}
	}
	note(p.notes, color.Gray{0x30})
	note(p.missing, Rgb(0xb00000))
	c = draw.Crop(c, 0, 0, bottom-c.Min.Y+pt(2), -(c.Max.Y - top + pt(4)))
	t := draw.Tiles{Rows: len(p.rows), Cols: len(p.rows[0]), PadX: pt(9), PadY: pt(8), PadLeft: pt(Margin), PadRight: pt(2 * Margin)}
	for i, row := range plot.Align(p.rows, t, c) {
		for j, sub := range row {
			if p.rows[i][j] != nil {
				p.rows[i][j].Draw(sub)
			}
		}
	}
}

// Wrap breaks s at spaces into lines that fit.
func Wrap(s string, fits func(string) bool) []string {
	var out []string
	for s != "" {
		end := len(s)
		for !fits(s[:end]) {
			cut := strings.LastIndexByte(s[:end], ' ')
			if cut <= 0 {
				break
			}
			end = cut
		}
		out = append(out, s[:end])
		s = s[min(end+1, len(s)):]
	}
	return out
}

// Sheet is what can be written in several formats.
type Sheet struct {
	Width, Height vg.Length
	Draw          func(draw.Canvas)
}

func (p picture) Sheet() Sheet { return Sheet{p.width, p.height, p.draw} }

// Svg is the same bytes for the same results.
func (s Sheet) Svg() ([]byte, error) {
	c := vgsvg.New(s.Width, s.Height)
	s.Draw(draw.New(c))
	return written(c)
}

func (s Sheet) Png() ([]byte, error) {
	c := vgimg.NewWith(vgimg.UseWH(s.Width, s.Height), vgimg.UseDPI(130))
	s.Draw(draw.New(c))
	return written(vgimg.PngCanvas{Canvas: c})
}

func (s Sheet) Pdf() ([]byte, error) {
	c := vgpdf.New(s.Width, s.Height)
	s.Draw(draw.New(c))
	return written(c)
}

func written(w io.WriterTo) ([]byte, error) {
	var b bytes.Buffer
	if _, err := w.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("draw: %w", err)
	}
	return b.Bytes(), nil
}
