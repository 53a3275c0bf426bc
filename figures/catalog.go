package figures

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"

	"github.com/ds2-lab/alps/experiments/results"
)

// figure says what a figure of the paper, or one beyond it, shows. A row of
// panels is drawn per workload and load.
type figure struct {
	name, title string
	kind        kind
	columns     []column
	only        []string // series; all without it
	flat        bool     // workloads beside each other
	tail        float64  // an inset shows what lies above this share
	note        string   // for the reader
}

type kind int

const (
	cdfs kind = iota
	violins
	boxes
	barRows
	codeOnly // no runs: the code's architecture
)

// column of panels: a lane for every series, measure and group.
type column struct {
	title  string
	whats  []string
	groups []string
}

// lanes differ in one of these; the others are the column's.
func turnaroundOf(group string) column {
	return column{group, []string{whatTurnaround}, []string{group}}
}

func spreadOf(group string) column {
	return column{group + ": mean of a round", []string{whatSpread}, []string{group}}
}

var (
	perGroup = []column{turnaroundOf("G1"), turnaroundOf("G2"), turnaroundOf("G3"), turnaroundOf("G4")}
	whole    = []column{{"turnaround", []string{whatTurnaround}, []string{results.All}}}
	orders   = "alps serves by rank, with a bounded wait, as the text has it; " + artifact + " first come, first served, as the published comparison amounts to."
	little   = "At this load hardly anything waits in the simulation, and the parameter changes little; the differences in the paper are about as large as those between two of its own plots of the same setting."
)

// catalog is every figure that runs are drawn for, in order.
var catalog = []figure{
	{name: "fig01", title: "Turnaround, and turns on a CPU", kind: cdfs,
		columns: []column{whole[0], {"turns on a CPU", []string{whatSlice}, []string{results.All}}}},
	{name: "fig02", title: "SRPT when CPU times are estimates", kind: cdfs, columns: whole,
		note: "srpt-eb: estimates off by up to half; random: all of them random; random40: 40 % of them."},
	{name: "fig03", title: "Turns under SRPT per group of functions", kind: violins,
		columns: []column{{"turns on a CPU", []string{whatSlice}, results.Groups}}, only: []string{"srpt"}},
	{name: "fig04", title: "Architecture", kind: codeOnly,
		note: "Drawn from the imports of the packages, the BPF object and the kernel patches."},
	{name: "fig05", title: "Turnaround per group at three loads", kind: cdfs, columns: perGroup, note: orders},
	{name: "fig06", title: "Turnaround per group at 90 % load", kind: barRows, columns: perGroup, note: orders},
	{name: "fig07", title: "Lost CPUs per invocation", kind: violins, flat: true,
		columns: []column{{"context switches per invocation", []string{whatSwitches}, []string{results.All}}}, note: orders},
	{name: "fig08", title: "Turnaround saved by ALPS against CFS, per invocation", kind: boxes, flat: true, only: []string{"alps", artifact},
		columns: []column{{"saved, %", []string{whatSaved, whatSaved11, whatSavedRand}, []string{results.All}}},
		note:    "saved: the function alone; +11ms: a platform's time added to both sides; +1..10ms: a random one. " + orders},
	{name: "fig09", title: "Either fine-tuning, both and none", kind: cdfs, columns: whole, tail: 0.95, note: little},
	{name: "fig10", title: "Learners", kind: cdfs, columns: whole, note: little},
	{name: "fig11", title: "Sliding window", kind: cdfs, columns: whole, note: little},
	{name: "fig12", title: "Parameter alpha", kind: cdfs, columns: whole, note: little},
	{name: "fig13", title: "Parameter beta", kind: cdfs, columns: whole, note: little},
	{name: "fig14", title: "Parameter gamma", kind: cdfs, columns: whole, note: little},
	{name: "fig15", title: "ALPS in the kernel and through ghOSt", kind: cdfs, columns: whole,
		note: "The ghOSt series are simulated with the published costs of an agent's decision. In a guest it is not ghOSt, whose kernel is another, but the same delegation of every decision to user space, by sched_ext. The trace says nothing of CPU times, and no load makes the four plotted curves fit."},
	{name: "deployment", title: "Fig 6 in the paper's deployment", kind: barRows, columns: perGroup,
		note: "Worker, Docker and functions share the functions' CPUs, and requests come as the artifact's client sends them. What the paper's platform needs more per request than ours is modelled: CPU time that the container uses before the process begins. " + orders},
	{name: ordersFigure, title: "Beyond the paper: orders of ALPS beside its plotted ALPS", kind: barRows, columns: perGroup,
		note: "fifo: first come, first served between functions, which is what the published comparison amounts to; strict and bounded: by rank, as the text has it. The series alps is bounded, and alps-artifact is fifo; like-artifact is fifo with the parameters of the published code."},
	{name: "tails", title: "Beyond the paper: the tail of the short functions on one core", kind: barRows, columns: perGroup,
		note: "alps ranks by waiting time, as the text has it; alps-slice by the learnt slice; alps-cap lets no slice be above 100 ms; alps-tail does both."},
	{name: "eevdf", title: "Beyond the paper: CFS, EEVDF and ALPS", kind: barRows, columns: perGroup,
		note: "EEVDF took the place of CFS in Linux 6.6. Measured, it ran on another kernel than the others, so kernels are compared, too."},
	{name: "starvation", title: "Beyond the paper: a long function beside a stream of short ones, one core", kind: barRows,
		columns: []column{turnaroundOf("G1"), turnaroundOf("G4")},
		note:    "Simulated: the step bounds the wait for a turn, not that of an invocation that needs several; at 110 % any step lets a long one wait about as long as strict does. And not only the long ones: an invocation that lost the CPU half-way goes on behind those of its own function that come later, for they begin with less virtual time and a slice lets them through in one turn. Single short ones waited for minutes so, longer than under CFS."},
	{name: "overhead", title: "Beyond the paper: one function, and nothing to gain", kind: barRows,
		columns: []column{whole[0], {"CPU time", []string{whatCPU}, []string{results.All}}},
		note:    "The simulated hooks take no time: at 50 %, where an invocation is nearly always alone, nothing differs. At 90 % ALPS gains even here: a slice as long as an invocation makes a queue of what CFS serves in turns, and its switches cost CPU time."},
	{name: "burst", title: "Beyond the paper: half a load, one and a half for some seconds, half again", kind: barRows, columns: perGroup,
		note: "Simulated: under CFS and SFS the short functions hardly notice the step, and the long ones wait until it is worked off. First come, first served (alps-artifact) shares the wait: about a quarter of their mean under CFS, and a longer tail of the short ones. By rank (alps) the mean is nearly that of CFS, and now and then a short function, badly ranked, waits for seconds."},
	{name: "mispredict", title: "Beyond the paper: two functions drift away from what was learnt", kind: barRows, columns: perGroup,
		note: "Simulated: a window after the drift all is learnt anew, and until then it costs little: with the drift the means are between 2 % lower (alps) and 5 % higher (cfs) than without, less than rounds differ from each other. alps-none has no fine-tuning."},
	{name: "repeat", title: "Beyond the paper: run-to-run spread", kind: boxes,
		columns: []column{spreadOf(results.All), spreadOf("G1"), spreadOf("G4")},
		note:    "A box is made of the means of single rounds, each against the mean of all of them. Simulated: 5 rounds, within 20 % over all invocations, under ALPS within 46 %, and within 29 % in G4, the hundredth of all that is longest. Differences between two runs of that size are chance."},
}

// panel is one plot of a figure.
type panel struct {
	title string
	what  string
	lanes []lane
}

// panels are the rows of a figure for one engine.
func (f figure) panels(l *library, s *set, ref reference) [][]panel {
	var shown []results.Series
	for _, x := range s.series {
		if len(f.only) == 0 || slices.Contains(f.only, x.Name) {
			shown = append(shown, x)
		}
	}
	type condition struct {
		workload string
		load     int
	}
	at := func(x results.Series) condition { return condition{x.Workload, pct(x.Load)} }
	names := distinctOf(shown, func(x results.Series) string { return x.Name })
	var rows [][]panel
	for _, c := range distinctOf(shown, at) {
		var row []panel
		for _, col := range f.columns {
			p := panel{title: fmt.Sprintf("%s, %d %%: %s", c.workload, c.load, col.title), what: col.whats[0]}
			for nth, name := range names {
				i := slices.IndexFunc(shown, func(x results.Series) bool { return x.Name == name && at(x) == c })
				if i < 0 {
					continue
				}
				look := styleOf(name, shown[i].Result.Run.Scheduler, nth)
				for _, what := range col.whats {
					for _, g := range col.groups {
						where := place{f.name, c.workload, c.load, g, name}
						label := name
						if len(col.whats) > 1 {
							label = cmp.Or(strings.TrimPrefix(what, whatSaved), what)
						} else if len(col.groups) > 1 {
							label = g
						}
						p.lanes = append(p.lanes, lane{label, s.label(shown[i]), look, where, what, l.dist(s, where, what), ref.of(where, what)})
					}
				}
			}
			row = append(row, p)
		}
		rows = append(rows, row)
	}
	if f.flat {
		var one []panel
		for _, r := range rows {
			one = append(one, r...)
		}
		return [][]panel{one}
	}
	return rows
}

// minP99 is how many samples a 99th percentile needs; with fewer the maximum
// is shown, and called so.
const minP99 = 200

// minRounds is how many rounds a claim is judged by.
const minRounds = 3

// samplesFor is how many samples a claim's statistic needs: of a percentile,
// five on either side.
func samplesFor(stat string) int64 {
	p, err := percentile(stat)
	switch {
	case err != nil || p == 0 || p == 1:
		return 1
	case p >= 0.99:
		return minP99
	}
	return int64(math.Ceil(5 / min(p, 1-p)))
}

// barStats of a lane.
func barStats(l lane) []string {
	if l.dist.n() < minP99 {
		return []string{"p50", "p75", "p90", "max", "mean"}
	}
	return []string{"p50", "p75", "p90", "p99", "mean"}
}

// stats of a lane that go into the table: the figure's own, and what the paper has.
func (f figure) stats(l lane) []string {
	var out []string
	switch f.kind {
	case cdfs:
		for p := 5; p < 100; p += 5 {
			out = append(out, fmt.Sprintf("p%d", p))
		}
	case violins, boxes:
		out = []string{"p5", "p25", "p50", "p75", "p95"}
	}
	out = append(out, barStats(l)...)
	for _, p := range l.paper {
		if _, err := percentile(p.name); err == nil {
			out = append(out, p.name)
		}
	}
	out = slices.DeleteFunc(out, func(stat string) bool { return !l.dist.has(stat) })
	at := func(s string) float64 {
		if q, err := percentile(s); err == nil {
			return q
		}
		return map[string]float64{"max": 1, "mean": 2}[s]
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(cmp.Compare(at(a), at(b)), cmp.Compare(a, b)) })
	return slices.Compact(out)
}

// picture lays the panels out.
func (f figure) picture(rows [][]panel, s *set) (picture, error) {
	p := picture{notes: s.conditions()}
	if len(rows) == 0 {
		return p, fmt.Errorf("%s: no valid run", f.name)
	}
	if lacks := s.lacks(4); lacks != "" {
		p.missing = append(p.missing, lacks)
	}
	for _, m := range s.invalid {
		p.missing = append(p.missing, "Not valid and not drawn: "+m)
	}
	for _, row := range rows {
		var plots []*plot.Plot
		for j, pan := range row {
			q, err := f.plot(pan)
			if err != nil {
				return p, fmt.Errorf("%s: %w", f.name, err)
			}
			if j > 0 && !f.flat && f.kind == cdfs {
				q.Y.Label.Text = ""
			}
			plots = append(plots, q)
		}
		p.rows = append(p.rows, plots)
	}
	p.legend = f.legend(rows)
	cols := len(rows[0])
	p.width = vg.Length(min(26, 8+6*cols)) * vg.Centimeter
	height := 5.2
	if len(rows) == 1 {
		height = 7
	}
	p.height = vg.Length(height*float64(len(rows))+1.2)*vg.Centimeter + vg.Points(lineSpace*float64(len(p.notes)+len(p.missing)+2))
	return p, nil
}

// plot draws one panel.
func (f figure) plot(pan panel) (*plot.Plot, error) {
	q := plot.New()
	sans(q)
	q.Title.Text = pan.title
	switch f.kind {
	case cdfs:
		cdf(q, pan.lanes, 0)
		q.Y.Label.Text = "share"
		q.X.Label.Text = "ms"
		if f.tail > 0 {
			in := plot.New()
			sans(in)
			cdf(in, pan.lanes, f.tail)
			in.BackgroundColor = rgb(0xffffff)
			q.Add(inset{in, 0.45, 0.08, 0.98, 0.66})
		}
	case violins:
		if pan.what == whatSwitches {
			violin(q, pan.lanes, math.Log1p, math.Expm1)
			q.Y.Scale, q.Y.Tick.Marker = counts{}, counts{}
		} else {
			violin(q, pan.lanes, math.Log, math.Exp)
			q.Y.Scale, q.Y.Tick.Marker = plot.LogScale{}, decades{}
			q.Y.Label.Text = "ms"
		}
	case boxes:
		box(q, pan.lanes)
		q.Y.Label.Text, q.Y.Tick.Marker = "%", quarters{}
		if pan.what == whatSpread {
			q.Y.Tick.Marker = plot.DefaultTicks{}
		}
	case barRows:
		if n := pan.lanes[0].dist.n(); n > 0 {
			q.Title.Text += fmt.Sprintf(" (n = %d)", n)
		}
		q.Y.Label.Text = "ms"
		if err := bars(q, pan.lanes, barStats); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// legend names the lanes, each once, and how the paper's numbers look.
func (f figure) legend(rows [][]panel) []entry {
	var lanes []lane
	known, curve, rings := false, false, false
	for _, row := range rows {
		for _, p := range row {
			for _, l := range p.lanes {
				if !slices.ContainsFunc(lanes, func(o lane) bool { return o.place.series == l.place.series }) {
					lanes = append(lanes, l)
				}
				n := len(l.paperCurve())
				known = known || n > 0
				curve, rings = curve || n >= 10, rings || n > 0 && n < 10
			}
		}
	}
	var out []entry
	for _, l := range lanes {
		if f.kind == cdfs {
			out = append(out, lineEntry(l.legend, l.style.colour, l.style.dashes, 1.1))
		} else {
			out = append(out, areaEntry(l.legend, l.style.colour))
		}
	}
	switch {
	case !known:
	case f.kind == barRows:
		out = append(out, areaEntry("paper", nil))
	case f.kind == boxes:
		out = append(out, lineEntry("paper's median", paperInk, paperDashes, 1.4))
	case f.kind == violins:
		out = append(out, lineEntry("paper's median (short: quartiles)", paperInk, paperDashes, 1.4))
	}
	if f.kind == cdfs && curve {
		out = append(out, lineEntry("paper (grey behind, same dashes)", paperCurve, nil, 2.4))
	}
	if f.kind == cdfs && rings {
		out = append(out, ringEntry("paper's percentiles"))
	}
	return out
}
