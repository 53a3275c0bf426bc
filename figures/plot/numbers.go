// SPDX-License-Identifier: Apache-2.0

package plot

import (
	"fmt"
	"math"
	"strings"

	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/format"
	"github.com/ds2-lab/alps/figures/paper"
	"github.com/ds2-lab/alps/figures/stats"
)

// Number is one number of a figure, with the interval a bootstrap gives it,
// beside the paper's.
type Number struct {
	paper.Compared
	Engine   string
	interval stats.Interval
}

// Compare makes the table behind a figure: a Number for each statistic of each lane.
func (f Figure) Compare(rows [][]Panel, engine string) ([]Number, error) {
	var out []Number
	for _, line := range rows {
		for _, p := range line {
			for _, l := range p.lanes {
				names := f.stats(l)
				intervals, err := l.dist.Bootstrap(names)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", f.Name, err)
				}
				for i, name := range names {
					ours, err := l.dist.Statistic(name)
					if err != nil {
						return nil, fmt.Errorf("%s: %w", f.Name, err)
					}
					position := l.position
					position.Figure = f.Name
					out = append(out, Number{paper.Compared{Position: position, Stat: dataset.JoinStat(l.measure, name), Unit: dataset.Unit(l.measure), Ours: ours, Paper: l.paperOf(name), N: int(l.dist.N())}, engine, intervals[i]})
				}
			}
		}
	}
	return out, nil
}

// TSV is the table as text, with a line for each number; its columns are explained in figures/report/terms.go.
func TSV(rows []Number) string {
	var b strings.Builder
	b.WriteString("engine\tworkload\tload_pct\tgroup\tseries\tstat\tunit\tours\tours_lo95\tours_hi95\tpaper\tours/paper\tn\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\n", r.Engine, r.Workload, r.LoadPct, r.Group, r.Series, r.Stat, r.Unit,
			format.Fixed(r.Ours, 1), format.Fixed(r.interval.Lo, 1), format.Fixed(r.interval.Hi, 1), format.Fixed(r.Paper, 1), format.Fixed(r.Ratio(), 3), r.N)
	}
	return b.String()
}

// Shown says whether the report's page shows the number: if the paper has it too, and it is a mean or one of
// the usual percentiles.
func (r Number) Shown() bool {
	if math.IsNaN(r.Paper) {
		return false
	}
	_, name := dataset.SplitStat(r.Stat)
	switch name {
	case "p25", "p50", "p75", "p90", "p99", "mean":
		return true
	}
	return false
}

// RatioText is ours/paper with its interval.
func (r Number) RatioText() string {
	text := format.Fixed(r.Ratio(), 2)
	if text != "" && !math.IsNaN(r.interval.Lo) {
		text += fmt.Sprintf(" (%s–%s)", format.Fixed(r.interval.Lo/r.Paper, 2), format.Fixed(r.interval.Hi/r.Paper, 2))
	}
	return text
}
