package figures

import (
	"image/color"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const (
	spotHeight  = 20.0 // points
	layerHeight = 50.0
	spotFont    = 7.5
)

// kernelFill marks what is in the kernel.
var kernelFill = map[string]color.RGBA{kindMap: rgb(0xe4e4e4), kindProgram: rgb(0xd0d0d0), kindHook: rgb(0xffffff)}

// folderFill are the colours of folders, in their order; grey is the kernel's.
var folderFill = []color.RGBA{rgb(0xf6deaa), rgb(0xabc1d7), rgb(0xaadfd0), rgb(0xe2bed4), rgb(0xddf0fd), rgb(0xe5bdb9), rgb(0xe9e39a), rgb(0xd9c9ee)}

// diagram is Fig 4: the architecture as the code itself has it.
func diagram(a *architecture) sheet {
	font := text(spotFont)
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
	const bottom = 4 * lineSpace
	s := sheet{width: vg.Points(width + 2*margin), height: vg.Points(bottom + layerHeight*float64(len(rows)) + margin)}
	s.draw = func(c draw.Canvas) {
		c.SetColor(color.White)
		c.Fill(c.Rectangle.Path())
		at := func(b *spot, dy float64) vg.Point {
			return vg.Point{X: c.Min.X + vg.Points(margin+b.x), Y: c.Min.Y + vg.Points(bottom+layerHeight*(float64(b.layer)+0.5)+dy)}
		}
		border := c.Min.Y + vg.Points(bottom+3*layerHeight)
		c.StrokeLines(line(paperInk, 0.8, paperDashes), []vg.Point{{X: c.Min.X, Y: border}, {X: c.Max.X, Y: border}})
		each(rows, func(b *spot) {
			for _, d := range b.down {
				join(c, at(b, -spotHeight/2), at(d, spotHeight/2))
			}
			if b.node == nil {
				c.StrokeLines(line(paperInk, 0.7, nil), []vg.Point{at(b, spotHeight/2), at(b, -spotHeight/2)})
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
			c.StrokeLines(line(rgb(0x505050), 0.6, nil), append(pts, pts[0]))
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
		small, left := text(6.5), c.Min.X+vg.Points(margin)
		y := c.Min.Y + vg.Points(margin+3*lineSpace)
		for _, n := range notes {
			for _, l := range wrap(n, func(s string) bool { return small.Width(s) < c.Max.X-c.Min.X-vg.Points(2*margin) }) {
				y -= vg.Points(lineSpace)
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
	c.SetLineStyle(line(paperInk, 0.7, nil))
	c.Stroke(p)
}
