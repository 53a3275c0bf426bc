package figures

import (
	"fmt"
	"math"
	"strings"
)

// row is one number of a figure, with the interval a bootstrap gives it,
// beside the paper's.
type row struct {
	value
	engine string
	interval
}

// compare makes the table behind a figure.
func (f figure) compare(rows [][]panel, engine string) ([]row, error) {
	var out []row
	for _, line := range rows {
		for _, p := range line {
			for _, l := range p.lanes {
				stats := f.stats(l)
				intervals, err := l.dist.bootstrap(stats)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", f.name, err)
				}
				for i, st := range stats {
					ours, err := l.dist.stat(st)
					if err != nil {
						return nil, fmt.Errorf("%s: %w", f.name, err)
					}
					out = append(out, row{value{f.name, l.place.workload, l.place.load, l.place.group, l.place.series, joinStat(l.what, st), unitOf(l.what),
						ours, l.paperOf(st), int(l.dist.n())}, engine, intervals[i]})
				}
			}
		}
	}
	return out, nil
}

// rowsTSV is the table as people review it.
func rowsTSV(rows []row) string {
	var b strings.Builder
	b.WriteString("engine\tworkload\tload_pct\tgroup\tseries\tstat\tunit\tours\tours_lo95\tours_hi95\tpaper\tours/paper\tn\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\n", r.engine, r.Workload, r.LoadPct, r.Group, r.Series, r.Stat, r.Unit,
			num(r.Ours, 1), num(r.lo, 1), num(r.hi, 1), num(r.Paper, 1), num(r.ratio(), 3), r.N)
	}
	return b.String()
}

// shown in the report are rows that the paper has a number for; of a whole
// curve, its usual percentiles.
func (r row) shown() bool {
	if math.IsNaN(r.Paper) {
		return false
	}
	_, name := splitStat(r.Stat)
	switch name {
	case "p25", "p50", "p75", "p90", "p99", "mean":
		return true
	}
	return false
}

// ratioText is ours/paper with its interval.
func (r row) ratioText() string {
	text := num(r.ratio(), 2)
	if text != "" && !math.IsNaN(r.lo) {
		text += fmt.Sprintf(" (%s–%s)", num(r.lo/r.Paper, 2), num(r.hi/r.Paper, 2))
	}
	return text
}

// num prints a number with fixed precision, and nothing for none.
func num(v float64, digits int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return ""
	}
	return fmt.Sprintf("%.*f", digits, v)
}
