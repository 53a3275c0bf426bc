// SPDX-License-Identifier: Apache-2.0

package never

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/format"
	"github.com/ds2-lab/alps/figures/plot"
)

// Measures of a heat map, in points.
const (
	heatCell   = 11.0
	heatLabel  = 46.0 // for the workloads' names
	heatHead   = 34.0 // a panel's title, cores and loads
	heatTop    = 42.0 // heatHead, and the space above it
	heatGap    = 6.0  // between machines
	heatScale  = 30.0 // below all panels
	heatMargin = 6.0
)

// heatLimit is the ratio above which the colour does not change any more; below 1/heatLimit it does not either.
const heatLimit = 4.0

// heat is the colour of a ratio: blue where it is below 1, red above.
func heat(ratio float64) color.RGBA {
	x := math.Log(ratio) / math.Log(heatLimit)
	x = min(max(x, -1), 1)
	end := plot.RGB(0x084a86)
	if x > 0 {
		end = plot.RGB(0xb00000)
	}
	// The square root lets a ratio just above 1 be seen: its cell may count as lost.
	share := math.Sqrt(math.Abs(x))
	mix := func(to uint8) uint8 { return uint8(math.Round(255 + share*(float64(to)-255))) }
	return color.RGBA{mix(end.R), mix(end.G), mix(end.B), 0xff}
}

// narrowMachines is how many machines stand beside each other on a screen of 390 px.
const narrowMachines = 3

// Sheet is a panel for each judged series: a row for each workload, a column for each
// load of each machine. A cell that is lost has a frame, one in which the series has no run is left white with a cross. Narrow is for small screens: a
// panel has a few machines only, and the next one the others.
func (n *Grid) Sheet(narrow bool) plot.Sheet {
	cores := dataset.Distinct(n.cells, func(c Cell) int { return c.cores })
	loads := dataset.Distinct(n.cells, func(c Cell) float64 { return c.load })
	across := len(cores)
	if narrow {
		across = min(across, narrowMachines)
	}
	var panels []heatPanel
	for _, s := range n.judgedSeries() {
		for some := range slices.Chunk(cores, across) {
			panels = append(panels, heatPanel{s, some})
		}
	}
	rows := len(dataset.Distinct(n.cells, func(c Cell) string { return c.workload }))
	height := heatTop + heatCell*float64(rows)
	marks := &plot.Marks{}
	return plot.Sheet{
		Width:       vg.Points(2*heatMargin + heatLabel + float64(across)*(heatCell*float64(len(loads))+heatGap)),
		Height:      vg.Points(2*heatMargin + height*float64(len(panels)) + heatScale),
		Title:       "Does it ever lose? The " + n.what + " over that of the better of CFS and EEVDF, simulated",
		Description: strings.Join(n.Conditions(), " "), Marks: marks,
		Draw: func(c draw.Canvas) {
			c.SetColor(color.White)
			c.Fill(c.Rectangle.Path())
			for i, p := range panels {
				n.drawPanel(c, p, c.Max.Y-vg.Points(heatMargin+height*float64(i)+heatTop-heatHead), narrow, marks)
			}
			drawScale(c, narrow)
		},
	}
}

// heatPanel is of one series on some machines.
type heatPanel struct {
	series string
	cores  []int
}

// drawPanel draws one panel below top.
func (n *Grid) drawPanel(c draw.Canvas, p heatPanel, top vg.Length, narrow bool, marks *plot.Marks) {
	workloads := dataset.Distinct(n.cells, func(c Cell) string { return c.workload })
	loads := dataset.Distinct(n.cells, func(c Cell) float64 { return c.load })
	pt := vg.Points
	x := func(core, load int) vg.Length {
		return pt(heatMargin + heatLabel + float64(core)*(heatCell*float64(len(loads))+heatGap) + heatCell*float64(load))
	}
	title, small := plot.Text(8), plot.Text(6)
	text := "%s: " + n.what + " over that of the better of CFS and EEVDF; lost: %d of %d cells"
	if narrow {
		text = "%s: mean / that of the better of CFS and EEVDF; %d of %d lost"
	}
	c.FillText(title, vg.Point{X: pt(heatMargin), Y: top - pt(9)}, fmt.Sprintf(text, p.series, len(n.losses(p.series, n.value)), n.runs(p.series)))
	for i, k := range p.cores {
		c.FillText(small, vg.Point{X: x(i, 0), Y: top - pt(20)}, coresText(k)+", load in %")
		for j, l := range loads {
			c.FillText(small, vg.Point{X: x(i, j), Y: top - pt(29)}, format.Fixed(100*l, 0))
		}
	}
	for r, w := range workloads {
		y := top - pt(heatHead+heatCell*float64(r+1))
		c.FillText(small, vg.Point{X: pt(heatMargin), Y: y + pt(3)}, w)
		for i, k := range p.cores {
			for j, l := range loads {
				at := Cell{w, k, l}
				m, ok := n.means[at]
				if !ok {
					continue
				}
				if m[p.series].rounds == 0 {
					cross(c, x(i, j), y)
					marks.Add(plot.Mark{X: x(i, j), Y: y, Width: pt(heatCell), Height: pt(heatCell), Text: fmt.Sprintf("%s, %s, %s at %.0f %%: no run", p.series, w, coresText(k), 100*l)})
					continue
				}
				square(c, x(i, j), y, n.ratio(at, p.series))
				marks.Add(plot.Mark{X: x(i, j), Y: y, Width: pt(heatCell), Height: pt(heatCell),
					Text: fmt.Sprintf("%s, %s, %s at %.0f %%: × %s of the better (%s ms)", p.series, w, coresText(k), 100*l, format.Fixed(n.ratio(at, p.series), 2), format.Short(m[p.series].mean))})
			}
		}
	}
}

// drawScale draws what colour a ratio has, at the bottom.
func drawScale(c draw.Canvas, narrow bool) {
	left, apart := heatMargin+heatLabel, 28.0
	if narrow {
		left, apart = heatMargin, 19
	}
	small := plot.Text(6)
	for i, r := range []float64{0.25, 0.35, 0.5, 0.7, 0.85, 0.95, 1, 1.05, 1.2, 1.5, 2, 3, 4} {
		at := vg.Point{X: vg.Points(left + float64(i)*apart), Y: c.Min.Y + vg.Points(heatMargin)}
		square(c, at.X, at.Y, r)
		c.FillText(small, vg.Point{X: at.X, Y: at.Y + vg.Points(heatCell+2)}, strconv.FormatFloat(r, 'g', -1, 64))
	}
}

func coresText(n int) string {
	if n == 1 {
		return "1 core"
	}
	return strconv.Itoa(n) + " cores"
}

// square is one cell.
func square(c draw.Canvas, x, y vg.Length, ratio float64) {
	side := vg.Points(heatCell - 1)
	corners := []vg.Point{{X: x, Y: y}, {X: x + side, Y: y}, {X: x + side, Y: y + side}, {X: x, Y: y + side}}
	c.FillPolygon(heat(ratio), corners)
	if ratio > lost {
		c.StrokeLines(plot.Line(plot.RGB(0x1c1c1c), 0.8, nil), append(corners, corners[0]))
	}
}

// cross marks a cell without a run.
func cross(c draw.Canvas, x, y vg.Length) {
	side := vg.Points(heatCell - 1)
	c.StrokeLines(plot.Line(plot.RGB(0x9a9a9a), 0.6, nil), []vg.Point{{X: x, Y: y}, {X: x + side, Y: y + side}}, []vg.Point{{X: x, Y: y + side}, {X: x + side, Y: y}})
}
