// SPDX-License-Identifier: Apache-2.0

package fidelity

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/format"
	"github.com/ds2-lab/alps/figures/paper"
)

// fidelityPage is what the template shows. Tables are Markdown.
type fidelityPage struct {
	Cores, Runs        int
	Invocations        string // of a run, and which figures' runs have others
	Seed               uint64
	Model              string
	Invalid, Unplanned []string

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
	p := fidelityPage{Runs: len(f.Runs), Invalid: f.Invalid, Unplanned: f.Unplanned, Bars: f.bars(), Curves: f.curves(), Orders: f.orders(), Ratios: f.ratios(), Others: f.others(), Choices: f.choices(), Loads: f.loads(), Tails: f.tails(), Ends: f.ends(), f: f}
	if len(f.Runs) > 0 {
		r := f.Runs[0]
		p.Cores, p.Invocations, p.Seed = r.CPUs, f.lengths(), r.Seed
		if r.Sim != nil {
			p.Model = r.Sim.Model[:min(len(r.Sim.Model), 12)]
		}
	}
	return p
}

// lengths says how many invocations a run has: those that most figures' runs have, and of which figures the runs
// have others.
func (f *fidelity) lengths() string {
	figures := map[int][]string{}
	for _, l := range f.Lengths {
		figures[l.invocations] = append(figures[l.invocations], l.figure)
	}
	counts := slices.SortedFunc(maps.Keys(figures), func(a, b int) int {
		return cmp.Or(cmp.Compare(len(figures[b]), len(figures[a])), cmp.Compare(b, a))
	})
	text := format.Plural(counts[0], "invocation")
	for i, n := range counts[1:] {
		text += []string{", but", ", and"}[min(i, 1)] + fmt.Sprintf(" those of %s of %s", strings.Join(figures[n], ", "), format.Grouped(float64(n), 0))
	}
	return text
}

// Undone is what becomes of a scheduler, such as sfs, where a choice is undone: its mean turnaround and its median
// deviation, each before and after.
func (p fidelityPage) Undone(scheduler, choice string) string {
	at := func(choice string) (ms, deviation string) {
		name := scheduler + "-" + choice
		return format.Fixed(p.f.meanEnd(fidelityChoice, "huawei", name).turnaround, 0), format.Percent(medianDeviation(p.f.pick(choiceFilter.of("", name, ""))))
	}
	ms, deviation := at("fitted")
	nowMS, nowDeviation := at(choice)
	return fmt.Sprintf("%s → %s ms and %s → %s", ms, nowMS, strings.TrimSuffix(deviation, " %"), nowDeviation)
}

// bars: per scheduler the median deviation over all groups, and over each.
func (f *fidelity) bars() string {
	all := f.pick(barsFilter)
	groups := dataset.Distinct(all, groupOf)
	head := append([]string{"workload", "scheduler", "all"}, groups...)
	var rows [][]string
	for _, w := range dataset.Distinct(all, workloadOf) {
		for _, s := range dataset.Distinct(all, seriesOf) {
			row := []string{w, s, format.Percent(medianDeviation(f.pick(barsFilter.of(w, s, ""))))}
			for _, g := range groups {
				row = append(row, format.Percent(medianDeviation(f.pick(barsFilter.of(w, s, g)))))
			}
			rows = append(rows, row)
		}
	}
	return format.Markdown(head, rows)
}

// curves: per scheduler and load the median deviation over all groups and quantiles.
func (f *fidelity) curves() string {
	all := f.pick(curvesFilter)
	head := []string{"scheduler"}
	for _, w := range dataset.Distinct(all, workloadOf) {
		for _, l := range dataset.Distinct(all, loadOf) {
			head = append(head, fmt.Sprintf("%s, %d %%", w, l))
		}
	}
	var rows [][]string
	for _, s := range dataset.Distinct(all, seriesOf) {
		row := []string{s}
		for _, w := range dataset.Distinct(all, workloadOf) {
			for _, l := range dataset.Distinct(all, loadOf) {
				row = append(row, format.Percent(medianDeviation(f.pick(curvesFilter.of(w, s, "").at(l)))))
			}
		}
		rows = append(rows, row)
	}
	return format.Markdown(head, rows)
}

// orders: per order the mean turnaround as a multiple of the paper's ALPS, and
// the median deviation over all bars; the nearest is set in bold.
func (f *fidelity) orders() string {
	all := f.pick(ordersFilter)
	groups := dataset.Distinct(all, groupOf)
	head := []string{"workload", "order", "median deviation"}
	for _, g := range groups {
		head = append(head, g+" p50", g+" p99", g+" mean")
	}
	var rows [][]string
	for _, w := range dataset.Distinct(all, workloadOf) {
		best, bestAt := math.Inf(1), -1
		for _, s := range dataset.Distinct(all, seriesOf) {
			d := medianDeviation(f.pick(ordersFilter.of(w, s, "")))
			if d < best {
				best, bestAt = d, len(rows)
			}
			row := []string{w, s, format.Percent(d)}
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
	return format.Markdown(head, rows)
}

// cell is ours/paper of one bar.
func (f *fidelity) cell(figure, w, s, g, st string) string {
	for _, v := range f.pick(filter{figure: figure}.of(w, s, g)) {
		if v.Stat == st {
			return format.Fixed(v.Ratio(), 2)
		}
	}
	return ""
}

// ratios: every bar of Fig 6, ours in ms and as a multiple of the paper's.
func (f *fidelity) ratios() string {
	all := f.pick(barsFilter)
	stats := dataset.Distinct(all, statisticOf)
	head := append([]string{"workload", "scheduler", "group", "n"}, stats...)
	var rows [][]string
	for _, w := range dataset.Distinct(all, workloadOf) {
		for _, s := range dataset.Distinct(all, seriesOf) {
			for _, g := range dataset.Distinct(all, groupOf) {
				row := []string{w, s, g, ""}
				for _, v := range f.pick(barsFilter.of(w, s, g)) {
					row[3] = fmt.Sprint(v.N)
					row = append(row, fmt.Sprintf("%s (%s)", format.Fixed(v.Ours, 0), format.Fixed(v.Ratio(), 2)))
				}
				rows = append(rows, row)
			}
		}
	}
	return format.Markdown(head, rows)
}

// Dev is the median deviation of a figure's series from the paper's, as text in %: of Fig 6 or an order.
func (p fidelityPage) Dev(figure, workload, series string) string {
	return format.Percent(medianDeviation(p.f.pick(filter{figure: figure}.of(workload, series, ""))))
}

// Change is by how much an order's mean is above CFS's in Fig 6, as text in %. what is "turnaround",
// or "request" for the mean from the client's request.
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
		srpt := e.figure == fidelityBars && e.series == "srpt"         // on a machine of its own
		alps := e.figure == fidelityBars && e.series == paper.Artifact // shown as the order fifo
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
			rows = append(rows, []string{w, name, format.Fixed(e.turnaround, 0), fmt.Sprintf("%+.0f %%", 100*(e.turnaround/base.turnaround-1)),
				format.Fixed(e.endToEnd, 0), fmt.Sprintf("%+.0f %%", 100*(e.endToEnd/base.endToEnd-1))})
		}
	}
	return format.Markdown([]string{"workload", "scheduler", "turnaround, ms", "against cfs", "request to exit, ms", "against cfs"}, rows)
}

// loads: the median deviation from Fig 6 by the load that was asked for.
func (f *fidelity) loads() string {
	all := f.pick(loadsFilter)
	head := []string{"workload", "scheduler"}
	for _, l := range dataset.Distinct(all, loadOf) {
		head = append(head, fmt.Sprintf("%.2f", float64(l)/100))
	}
	var rows [][]string
	for _, w := range dataset.Distinct(all, workloadOf) {
		for _, s := range dataset.Distinct(all, seriesOf) {
			row := []string{w, s}
			for _, l := range dataset.Distinct(all, loadOf) {
				row = append(row, format.Percent(medianDeviation(f.pick(loadsFilter.of(w, s, "").at(l)))))
			}
			rows = append(rows, row)
		}
	}
	return format.Markdown(head, rows)
}

// tails: per series the mean, and per group mean and 99th percentile, in ms; each is the mean over rounds.
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
		return format.Fixed(sum/n, 0)
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
	return format.Markdown(head, rows)
}

// choices: per choice and scheduler the median deviation over the twenty bars,
// and the mean turnaround.
func (f *fidelity) choices() string {
	var names, schedulers []string
	for _, s := range dataset.Distinct(f.pick(choiceFilter), seriesOf) {
		scheduler, choice, _ := strings.Cut(s, "-")
		if rest, ok := strings.CutPrefix(s, paper.Artifact+"-"); ok {
			scheduler, choice = paper.Artifact, rest
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
			cell := format.Percent(medianDeviation(f.pick(choiceFilter.of("", name, ""))))
			if cell != "" {
				cell += fmt.Sprintf(" (%s ms)", format.Fixed(f.meanEnd(fidelityChoice, "huawei", name).turnaround, 0))
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	return format.Markdown(append([]string{"choice"}, schedulers...), rows)
}

// others: a row for each figure, workload, load, series and group, with the single numbers that the paper gives of it.
func (f *fidelity) others() string {
	single := func(c paper.Compared) bool {
		return !slices.Contains([]string{fidelityBars, fidelityOrders, fidelityChoice, fidelityLoad}, c.Figure) && !curvesFilter.has(c)
	}
	all := slices.DeleteFunc(f.pick(filter{}), func(c paper.Compared) bool { return !single(c) })
	lineOf := func(c paper.Compared) paper.Position { return c.Position }
	var rows [][]string
	for _, l := range dataset.Distinct(all, lineOf) {
		var cells []string
		for _, v := range all {
			if v.Position == l {
				cells = append(cells, strings.Join(strings.Fields(fmt.Sprintf("%s %s %s (%s)", v.Stat, format.Fixed(v.Ours, 0), v.Unit, format.Fixed(v.Paper, 0))), " "))
			}
		}
		name := l.Series
		if l.Group != results.All {
			name += ", " + l.Group
		}
		rows = append(rows, []string{l.Figure, fmt.Sprintf("%s, %d %%", l.Workload, l.LoadPct), name, strings.Join(cells, ", ")})
	}
	slices.SortStableFunc(rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return format.Markdown([]string{"figure", "workload", "series", "ours (the paper's)"}, rows)
}
