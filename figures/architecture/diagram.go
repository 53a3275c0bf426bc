// SPDX-License-Identifier: Apache-2.0

package architecture

import (
	"image/color"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/ds2-lab/alps/figures/plot"
)

const (
	spotHeight  = 20.0 // points
	layerHeight = 50.0
	spotFont    = 7.5
)

// kernelFill marks what is in the kernel.
var kernelFill = map[string]color.RGBA{kindMap: plot.Rgb(0xe4e4e4), kindProgram: plot.Rgb(0xd0d0d0), kindHook: plot.Rgb(0xffffff)}

// folderFill are the colours of folders, in their order; grey is the kernel's.
var folderFill = []color.RGBA{plot.Rgb(0xf6deaa), plot.Rgb(0xabc1d7), plot.Rgb(0xaadfd0), plot.Rgb(0xe2bed4), plot.Rgb(0xddf0fd), plot.Rgb(0xe5bdb9), plot.Rgb(0xe9e39a), plot.Rgb(0xd9c9ee)}

// Draw is Fig 4: the architecture as the code itself has it.
func Draw(a *architecture) plot.Sheet {
	font := plot.Text(spotFont)
	rows := layers(a, func(n *node) float64 { return max(font.Width(n.name), font.Width(n.note)).Points() + 10 })
	width := 0.0
	for _, row := range rows {
		for _, b := range row {
			width = max(width, b.x+b.width/2)
		}
	}
	var common, folders []string
	for _, n := range a.nodes {
		switch {
		case n.kind != kindPackage:
		case n.folder() == shared:
			common = append(common, strings.TrimPrefix(n.name, shared+"/"))
		case !slices.Contains(folders, n.folder()):
			folders = append(folders, n.folder())
		}
	}
	fill := func(n *node) color.RGBA {
		if n.kind == kindPackage {
			return folderFill[slices.Index(folders, n.folder())%len(folderFill)]
		}
		return kernelFill[n.kind]
	}
	notes := []string{
		"User space: a package above what it imports; an import that a longer way makes plain has no line, nor has one from " + shared + "/: " + strings.Join(common, ", ") + ".",
		"Kernel, grey: maps, the BPF programs that use them, and what these are attached to: hooks that our patches add (with the series that do), tracepoints, and the operations of sched_ext.",
	}
	const bottom = 4 * plot.LineSpace
	s := plot.Sheet{Width: vg.Points(width + 2*plot.Margin), Height: vg.Points(bottom + layerHeight*float64(len(rows)) + plot.Margin)}
	s.Draw = func(c draw.Canvas) {
		c.SetColor(color.White)
		c.Fill(c.Rectangle.Path())
		at := func(b *spot, dy float64) vg.Point {
			return vg.Point{X: c.Min.X + vg.Points(plot.Margin+b.x), Y: c.Min.Y + vg.Points(bottom+layerHeight*(float64(b.layer)+0.5)+dy)}
		}
		border := c.Min.Y + vg.Points(bottom+3*layerHeight)
		c.StrokeLines(plot.Line(plot.PaperInk, 0.8, plot.PaperDashes), []vg.Point{{X: c.Min.X, Y: border}, {X: c.Max.X, Y: border}})
		each(rows, func(b *spot) {
			for _, d := range b.down {
				join(c, at(b, -spotHeight/2), at(d, spotHeight/2))
			}
			if b.node == nil {
				c.StrokeLines(plot.Line(plot.PaperInk, 0.7, nil), []vg.Point{at(b, spotHeight/2), at(b, -spotHeight/2)})
			}
		})
		each(rows, func(b *spot) {
			if b.node == nil {
				return
			}
			w, h := vg.Points(b.width/2), vg.Points(spotHeight/2)
			m := at(b, 0)
			pts := []vg.Point{{X: m.X - w, Y: m.Y - h}, {X: m.X + w, Y: m.Y - h}, {X: m.X + w, Y: m.Y + h}, {X: m.X - w, Y: m.Y + h}}
			c.FillPolygon(fill(b.node), pts)
			c.StrokeLines(plot.Line(plot.Rgb(0x505050), 0.6, nil), append(pts, pts[0]))
			style := font
			style.XAlign, style.YAlign = draw.XCenter, draw.YCenter
			if b.note == "" {
				c.FillText(style, m, b.name)
				return
			}
			c.FillText(style, vg.Point{X: m.X, Y: m.Y + vg.Points(4.5)}, b.name)
			style.Color = color.Gray{0x50}
			c.FillText(style, vg.Point{X: m.X, Y: m.Y - vg.Points(4.5)}, b.note)
		})
		small, left := plot.Text(6.5), c.Min.X+vg.Points(plot.Margin)
		y := c.Min.Y + vg.Points(plot.Margin+3*plot.LineSpace)
		for _, n := range notes {
			for _, l := range plot.Wrap(n, func(s string) bool { return small.Width(s) < c.Max.X-c.Min.X-vg.Points(2*plot.Margin) }) {
				y -= vg.Points(plot.LineSpace)
				c.FillText(small, vg.Point{X: left, Y: y}, l)
			}
		}
		c.FillText(small, vg.Point{X: left, Y: border + vg.Points(3)}, "user space")
		c.FillText(small, vg.Point{X: left, Y: border - vg.Points(9)}, "kernel")
	}
	return s
}

func each(rows [][]*spot, f func(*spot)) {
	for _, row := range rows {
		for _, b := range row {
			f(b)
		}
	}
}

// join draws a line from one layer to the next.
func join(c draw.Canvas, from, to vg.Point) {
	var p vg.Path
	p.Move(from)
	half := (from.Y - to.Y) / 2
	p.CubeTo(vg.Point{X: from.X, Y: from.Y - half}, vg.Point{X: to.X, Y: to.Y + half}, to)
	c.SetLineStyle(plot.Line(plot.PaperInk, 0.7, nil))
	c.Stroke(p)
}
