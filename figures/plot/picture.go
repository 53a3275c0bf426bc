// SPDX-License-Identifier: Apache-2.0

package plot

import (
	"bytes"
	"fmt"
	"image/color"
	"io"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgpdf"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Picture is a figure as it is laid out. Drawing changes its plots' ranges, so each format needs a Picture of its own.
type Picture struct {
	title         string
	marks         *Marks
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
			cv.StrokeLines(Line(paperInk, 0.9, paperDashes), append(pts, pts[0]))
			return
		}
		cv.FillPolygon(fill, pts)
	}}
}

// ringEntry shows the paper's single percentiles.
func ringEntry(label string) entry {
	return entry{label, func(cv draw.Canvas, a, b vg.Point) {
		at := vg.Point{X: (a.X + b.X) / 2, Y: (a.Y + b.Y) / 2}
		cv.DrawGlyph(draw.GlyphStyle{Color: paperInk, Radius: vg.Points(3.4), Shape: draw.CircleGlyph{}}, at)
		cv.DrawGlyph(draw.GlyphStyle{Color: RGB(0xffffff), Radius: vg.Points(2.2), Shape: draw.CircleGlyph{}}, at)
	}}
}

const (
	margin    = 4.0  // points
	lineSpace = 9.5  // from a line of notes to the next, points
	sampleLen = 20.0 // of a legend's sample, points
	safe      = 0.86 // the part of a line that text fills: a browser without our font takes a wider one
)

// draw draws the legend on top, the plots, and the conditions below.
func (p Picture) draw(c draw.Canvas) {
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	style := Text(8)
	pt := func(v float64) vg.Length { return vg.Points(v) }
	x, top := c.Min.X+pt(margin), c.Max.Y-pt(12)
	for _, e := range p.legend {
		w := style.Width(e.label) + pt(sampleLen+14)
		if x+w > c.Max.X && x > c.Min.X+pt(margin) {
			x, top = c.Min.X+pt(margin), top-pt(12)
		}
		e.draw(c, vg.Point{X: x, Y: top}, vg.Point{X: x + pt(sampleLen), Y: top + pt(7)})
		c.FillText(style, vg.Point{X: x + pt(sampleLen+4), Y: top}, e.label)
		x += w
	}
	bottom := c.Min.Y + pt(margin)
	notes := Text(6.5)
	note := func(lines []string, ink color.Color) {
		notes.Color = ink
		var wrapped []string
		for _, l := range lines {
			wrapped = append(wrapped, wrap(l, func(s string) bool { return notes.Width(s) < safe*(c.Max.X-c.Min.X-pt(2*margin)) })...)
		}
		for i := range wrapped {
			c.FillText(notes, vg.Point{X: c.Min.X + pt(margin), Y: bottom}, wrapped[len(wrapped)-1-i])
			bottom += pt(lineSpace)
		}
	}
	note(p.notes, color.Gray{0x30})
	note(p.missing, RGB(0xb00000))
	c = draw.Crop(c, 0, 0, bottom-c.Min.Y+pt(2), -(c.Max.Y - top + pt(4)))
	t := draw.Tiles{Rows: len(p.rows), Cols: len(p.rows[0]), PadX: pt(9), PadY: pt(8), PadLeft: pt(margin), PadRight: pt(2 * margin)}
	for i, row := range plot.Align(p.rows, t, c) {
		for j, sub := range row {
			if p.rows[i][j] != nil {
				p.rows[i][j].Draw(sub)
			}
		}
	}
}

// wrap breaks s at spaces into lines that fit.
func wrap(s string, fits func(string) bool) []string {
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
	Width, Height      vg.Length
	Title, Description string // of an SVG
	Marks              *Marks // that drawing adds; nil: none
	Draw               func(draw.Canvas)
}

// Sheet is the picture with all that its formats need.
func (p Picture) Sheet() Sheet {
	return Sheet{Width: p.width, Height: p.height, Title: p.title, Description: strings.Join(append(slices.Clone(p.notes), p.missing...), "; "), Marks: p.marks, Draw: p.draw}
}

// SVG is the same bytes for the same results, with a title, a description and marks.
func (s Sheet) SVG() ([]byte, error) {
	c := vgsvg.New(s.Width, s.Height)
	s.Draw(draw.New(c))
	svg, err := written(c)
	if err != nil {
		return nil, err
	}
	var marks Marks
	if s.Marks != nil {
		marks = *s.Marks
	}
	return described(svg, s.Title, s.Description, marks)
}

// PNG has 130 dots per inch.
func (s Sheet) PNG() ([]byte, error) {
	c := vgimg.NewWith(vgimg.UseWH(s.Width, s.Height), vgimg.UseDPI(130))
	s.Draw(draw.New(c))
	return written(vgimg.PngCanvas{Canvas: c})
}

// PDF has one page, of the picture's size.
func (s Sheet) PDF() ([]byte, error) {
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
