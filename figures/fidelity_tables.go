package figures

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ds2-lab/alps/experiments/results"
)

// fidelityPage is what the template shows. Tables are Markdown.
type fidelityPage struct {
	Cores, Invocations, Runs int
	Seed                     uint64
	Model                    string
	Invalid                  []string

	Bars   string // median deviation from Fig 6 per scheduler
	Curves string // and from Fig 5, per load
	Orders string // and of the orders from the paper's ALPS, per group
	Ratios string // every bar of Fig 6
	Others string // single numbers of the other figures

	Choices string // median deviation with one choice undone
	Loads   string // median deviation by exact load
	Tails   string // policies on one core
	Ends    string // turnaround and request to exit
	f       *fidelity
}

func (f *fidelity) page() fidelityPage {
	p := fidelityPage{Runs: len(f.Runs), Invalid: f.Invalid, Bars: f.bars(), Curves: f.curves(), Orders: f.orders(), Ratios: f.ratios(), Others: f.others(), Choices: f.choices(), Loads: f.loads(), Tails: f.tails(), Ends: f.ends(), f: f}
	if len(f.Runs) > 0 {
		r := f.Runs[0]
		p.Cores, p.Invocations, p.Seed = r.CPUs, r.Invocations, r.Seed
		if r.Sim != nil {
			p.Model = r.Sim.Model[:min(len(r.Sim.Model), 12)]
		}
	}
	return p
}

func is(figure string) func(value) bool { return func(v value) bool { return v.Figure == figure } }

func on(workload string) func(value) bool {
	return func(v value) bool { return v.Workload == workload }
}

func at(load int) func(value) bool { return func(v value) bool { return v.LoadPct == load } }

func of(series string) func(value) bool { return func(v value) bool { return v.Series == series } }

func in(group string) func(value) bool { return func(v value) bool { return v.Group == group } }

func series(v value) string    { return v.Series }
func workload(v value) string  { return v.Workload }
func group(v value) string     { return v.Group }
func load(v value) int         { return v.LoadPct }
func statistic(v value) string { return v.Stat }

// table is a Markdown table.
func table(head []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(head)
	b.WriteString("|" + strings.Repeat("---|", len(head)) + "\n")
	for _, r := range rows {
		line(r)
	}
	return b.String()
}

func percent(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return num(v, 1) + " %"
}

func barsOf(v value) bool { return v.Figure == fidelityBars }

// curvesOf leaves out the means, which the paper's curves do not show.
func curvesOf(v value) bool { return v.Figure == fidelityCurves && v.Group != results.All }

// bars: per scheduler the median deviation over all groups, and over each.
func (f *fidelity) bars() string {
	all := f.pick(barsOf)
	groups := distinctOf(all, group)
	head := append([]string{"workload", "scheduler", "all"}, groups...)
	var rows [][]string
	for _, w := range distinctOf(all, workload) {
		for _, s := range distinctOf(all, series) {
			row := []string{w, s, percent(medianDeviation(f.pick(barsOf, on(w), of(s))))}
			for _, g := range groups {
				row = append(row, percent(medianDeviation(f.pick(barsOf, on(w), of(s), in(g)))))
			}
			rows = append(rows, row)
		}
	}
	return table(head, rows)
}

// curves: per scheduler and load the median deviation over all groups and quantiles.
func (f *fidelity) curves() string {
	all := f.pick(curvesOf)
	head := []string{"scheduler"}
	for _, w := range distinctOf(all, workload) {
		for _, l := range distinctOf(all, load) {
			head = append(head, fmt.Sprintf("%s, %d %%", w, l))
		}
	}
	var rows [][]string
	for _, s := range distinctOf(all, series) {
		row := []string{s}
		for _, w := range distinctOf(all, workload) {
			for _, l := range distinctOf(all, load) {
				row = append(row, percent(medianDeviation(f.pick(curvesOf, on(w), at(l), of(s)))))
			}
		}
		rows = append(rows, row)
	}
	return table(head, rows)
}

// orders: per order the mean turnaround as a multiple of the paper's ALPS, and
// the median deviation over all bars; the nearest is set in bold.
func (f *fidelity) orders() string {
	all := f.pick(is(fidelityOrders))
	groups := distinctOf(all, group)
	head := []string{"workload", "order", "median deviation"}
	for _, g := range groups {
		head = append(head, g+" p50", g+" p99", g+" mean")
	}
	var rows [][]string
	for _, w := range distinctOf(all, workload) {
		best, bestAt := math.Inf(1), -1
		for _, s := range distinctOf(all, series) {
			d := medianDeviation(f.pick(is(fidelityOrders), on(w), of(s)))
			if d < best {
				best, bestAt = d, len(rows)
			}
			row := []string{w, s, percent(d)}
			for _, g := range groups {
				for _, st := range []string{"p50", "p99", "mean"} {
					row = append(row, f.cell(fidelityOrders, w, s, g, st))
				}
			}
			rows = append(rows, row)
		}
		if bestAt >= 0 {
			rows[bestAt][2] = "**" + rows[bestAt][2] + "**"
		}
	}
	return table(head, rows)
}

// cell is ours/paper of one bar.
func (f *fidelity) cell(figure, w, s, g, st string) string {
	for _, v := range f.pick(is(figure), on(w), of(s), in(g)) {
		if v.Stat == st {
			return num(v.ratio(), 2)
		}
	}
	return ""
}

// ratios: every bar of Fig 6, ours in ms and as a multiple of the paper's.
func (f *fidelity) ratios() string {
	all := f.pick(barsOf)
	stats := distinctOf(all, statistic)
	head := append([]string{"workload", "scheduler", "group", "n"}, stats...)
	var rows [][]string
	for _, w := range distinctOf(all, workload) {
		for _, s := range distinctOf(all, series) {
			for _, g := range distinctOf(all, group) {
				row := []string{w, s, g, ""}
				for _, v := range f.pick(barsOf, on(w), of(s), in(g)) {
					row[3] = fmt.Sprint(v.N)
					row = append(row, fmt.Sprintf("%s (%s)", num(v.Ours, 0), num(v.ratio(), 2)))
				}
				rows = append(rows, row)
			}
		}
	}
	return table(head, rows)
}

// Dev is the median deviation of a series of Fig 6 or of an order.
func (p fidelityPage) Dev(figure, workload, series string) string {
	return percent(medianDeviation(p.f.pick(is(figure), on(workload), of(series))))
}

// Change is by how much an order's mean is above CFS's of Fig 6; what is
// "turnaround" or "request".
func (p fidelityPage) Change(workload, order, what string) string {
	a, b := p.f.meanEnd(fidelityOrders, workload, order), p.f.meanEnd(fidelityBars, workload, "cfs")
	v := a.turnaround/b.turnaround - 1
	if what == "request" {
		v = a.endToEnd/b.endToEnd - 1
	}
	return strings.Replace(fmt.Sprintf("%+.0f %%", 100*v), "-", "−", 1)
}

// meanEnd is the mean of a series' rounds.
func (f *fidelity) meanEnd(figure, workload, series string) (m end) {
	n := 0.0
	for _, e := range f.Ends {
		if e.figure == figure && e.workload == workload && e.series == series {
			n++
			m.turnaround += (e.turnaround - m.turnaround) / n
			m.endToEnd += (e.endToEnd - m.endToEnd) / n
		}
	}
	return m
}

// ends: both means of the schedulers of Fig 6 and of the orders.
func (f *fidelity) ends() string {
	type line struct{ figure, workload, series string }
	var lines []line
	for _, e := range f.Ends {
		l := line{e.figure, e.workload, e.series}
		srpt := e.figure == fidelityBars && e.series == "srpt"   // on a machine of its own
		alps := e.figure == fidelityBars && e.series == artifact // the order fifo
		if (e.figure == fidelityBars || e.figure == fidelityOrders) && !srpt && !alps && !slices.Contains(lines, l) {
			lines = append(lines, l)
		}
	}
	var rows [][]string
	for _, w := range []string{"huawei", "azure"} {
		base := f.meanEnd(fidelityBars, w, "cfs")
		for _, l := range lines {
			if l.workload != w {
				continue
			}
			e := f.meanEnd(l.figure, w, l.series)
			name := l.series
			if l.figure == fidelityOrders {
				name = "alps, " + name
			}
			rows = append(rows, []string{w, name, num(e.turnaround, 0), fmt.Sprintf("%+.0f %%", 100*(e.turnaround/base.turnaround-1)),
				num(e.endToEnd, 0), fmt.Sprintf("%+.0f %%", 100*(e.endToEnd/base.endToEnd-1))})
		}
	}
	return table([]string{"workload", "scheduler", "turnaround, ms", "against cfs", "request to exit, ms", "against cfs"}, rows)
}

// loads: the median deviation from Fig 6 by the load that was asked for.
func (f *fidelity) loads() string {
	all := f.pick(is(fidelityLoad))
	head := []string{"workload", "scheduler"}
	for _, l := range distinctOf(all, load) {
		head = append(head, fmt.Sprintf("%.2f", float64(l)/100))
	}
	var rows [][]string
	for _, w := range distinctOf(all, workload) {
		for _, s := range distinctOf(all, series) {
			row := []string{w, s}
			for _, l := range distinctOf(all, load) {
				row = append(row, percent(medianDeviation(f.pick(is(fidelityLoad), on(w), of(s), at(l)))))
			}
			rows = append(rows, row)
		}
	}
	return table(head, rows)
}

// tails: mean and 99th percentile per series and group, means over rounds.
func (f *fidelity) tails() string {
	head := []string{"scheduler", "mean, ms"}
	for _, g := range results.Groups {
		head = append(head, g+" mean", g+" p99")
	}
	var names []string
	for _, t := range f.Tails {
		if !slices.Contains(names, t.series) {
			names = append(names, t.series)
		}
	}
	over := func(series, group string, what func(tail) float64) string {
		sum, n := 0.0, 0.0
		for _, t := range f.Tails {
			if t.series == series && t.Group == group {
				sum += what(t)
				n++
			}
		}
		return num(sum/n, 0)
	}
	mean, p99 := func(t tail) float64 { return t.Mean }, func(t tail) float64 { return t.P99 }
	var rows [][]string
	for _, s := range names {
		row := []string{s, over(s, results.All, mean)}
		for _, g := range results.Groups {
			row = append(row, over(s, g, mean), over(s, g, p99))
		}
		rows = append(rows, row)
	}
	return table(head, rows)
}

// choices: per choice and scheduler the median deviation over the twenty bars,
// and the mean turnaround.
func (f *fidelity) choices() string {
	var names, schedulers []string
	for _, s := range distinctOf(f.pick(is(fidelityChoice)), series) {
		scheduler, choice, _ := strings.Cut(s, "-")
		if rest, ok := strings.CutPrefix(s, artifact+"-"); ok {
			scheduler, choice = artifact, rest
		}
		if !slices.Contains(names, choice) {
			names = append(names, choice)
		}
		if !slices.Contains(schedulers, scheduler) {
			schedulers = append(schedulers, scheduler)
		}
	}
	var rows [][]string
	for _, choice := range names {
		row := []string{choice}
		for _, s := range schedulers {
			name := s + "-" + choice
			cell := percent(medianDeviation(f.pick(is(fidelityChoice), of(name))))
			if cell != "" {
				cell += fmt.Sprintf(" (%s ms)", num(f.meanEnd(fidelityChoice, "huawei", name).turnaround, 0))
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	return table(append([]string{"choice"}, schedulers...), rows)
}

// others: a row per series, with what the paper says of it.
func (f *fidelity) others() string {
	whole := func(v value) bool {
		return v.Figure != fidelityBars && v.Figure != fidelityOrders && v.Figure != fidelityChoice && v.Figure != fidelityLoad && !curvesOf(v)
	}
	type line struct {
		figure, workload string
		load             int
		group, series    string
	}
	at := func(v value) line { return line{v.Figure, v.Workload, v.LoadPct, v.Group, v.Series} }
	all := f.pick(whole)
	var rows [][]string
	for _, l := range distinctOf(all, at) {
		var cells []string
		for _, v := range all {
			if at(v) == l {
				cells = append(cells, strings.Join(strings.Fields(fmt.Sprintf("%s %s %s (%s)", v.Stat, num(v.Ours, 0), v.Unit, num(v.Paper, 0))), " "))
			}
		}
		name := l.series
		if l.group != results.All {
			name += ", " + l.group
		}
		rows = append(rows, []string{l.figure, fmt.Sprintf("%s, %d %%", l.workload, l.load), name, strings.Join(cells, ", ")})
	}
	slices.SortStableFunc(rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return table([]string{"figure", "workload", "series", "ours (the paper's)"}, rows)
}
