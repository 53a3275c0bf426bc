// SPDX-License-Identifier: Apache-2.0

package plot

import (
	"fmt"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/dataset"
)

// IndexFigure is the experiment whose table has the index of three kinds of functions.
const IndexFigure = "index"

// IndexPicture draws that table: a curve for each kind, of the index over the CPU time that an invocation has used,
// both in ms. A table that lacks a column, or has something else than a number, is an error.
func IndexPicture(t *results.Table) (Picture, error) {
	at, err := dataset.ColumnsOf(t, IndexFigure, "kind", "used_ms", "index_ms")
	if err != nil {
		return Picture{}, err
	}
	kinds := dataset.Distinct(t.Rows, func(r []string) string { return r[at["kind"]] })
	curves := make([]plotter.XYs, len(kinds))
	for i, row := range t.Rows {
		used, err := strconv.ParseFloat(row[at["used_ms"]], 64)
		if err != nil {
			return Picture{}, fmt.Errorf("%s: table.csv:%d: used_ms: %w", IndexFigure, i+2, err)
		}
		index, err := strconv.ParseFloat(row[at["index_ms"]], 64)
		if err != nil {
			return Picture{}, fmt.Errorf("%s: table.csv:%d: index_ms: %w", IndexFigure, i+2, err)
		}
		for k, kind := range kinds {
			if kind == row[at["kind"]] {
				curves[k] = append(curves[k], plotter.XY{X: used, Y: index})
			}
		}
	}
	q := plot.New()
	sans(q)
	q.X.Label.Text, q.Y.Label.Text = "CPU time that an invocation has used, ms", "index, ms"
	q.Y.Min = 0
	p := Picture{title: "index: what a function's invocation is worth by the CPU time it has used", rows: [][]*plot.Plot{{q}}, width: 14 * vg.Centimeter, height: 8 * vg.Centimeter,
		notes: []string{"The lower an invocation's index, the sooner it runs: what it costs, in CPU time, to see one end."}}
	for k, kind := range kinds {
		look := variants[k%len(variants)]
		l, err := plotter.NewLine(curves[k])
		if err != nil {
			return Picture{}, fmt.Errorf("%s: %s: %w", IndexFigure, kind, err)
		}
		l.LineStyle = Line(look.colour, 1.3, look.dashes)
		q.Add(l)
		p.legend = append(p.legend, lineEntry(kind, look.colour, look.dashes, 1.3))
	}
	return p, nil
}
