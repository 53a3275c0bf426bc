package figures

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/atomicfile"
)

//go:embed fidelity.md.tmpl
var fidelityText string

// value is one number of a simulated figure beside the paper's.
type value struct {
	Figure   string // the experiment
	Workload string
	LoadPct  int
	Group    string
	Series   string
	Stat     string // p50, …, mean
	Unit     string
	Ours     float64
	Paper    float64
	N        int // invocations or turns behind ours
}

// ratio is ours/paper.
func (v value) ratio() float64 { return v.Ours / v.Paper }

// deviation is how far ours is off, as a share of the paper's.
func (v value) deviation() float64 { return math.Abs(v.ratio() - 1) }

// fidelity is what docs/fidelity.md is made of.
type fidelity struct {
	Values  []value
	Ends    []end
	Tails   []tail
	Runs    []results.Run // of all figures, each once
	Invalid []string
}

// end is a run's mean turnaround, and its mean from the client's request to the
// exit, ms.
type end struct {
	figure, workload, series string
	turnaround, endToEnd     float64
}

// tail is one group of one run of fidelityTails.
type tail struct {
	series string
	results.Summary
}

// addEnds notes both means of a run of the bars, orders or choices.
func (f *fidelity) addEnds(figure string, s results.Series) {
	var e end
	n := 0.0
	for _, i := range s.Result.Invocations {
		if i.Status == results.OK {
			e.turnaround += ms(i.Turnaround().Nanoseconds())
			e.endToEnd += ms(i.EndToEnd().Nanoseconds())
			n++
		}
	}
	f.Ends = append(f.Ends, end{figure, s.Result.Run.Workload, s.Name, e.turnaround / n, e.endToEnd / n})
}

// Figures whose bars or curves are compared whole; of order, with the paper's
// ALPS in Fig 6. Of the others single numbers are, in fidelity_others.go.
const (
	fidelityBars   = "fig06"
	fidelityCurves = "fig05"
	fidelityOrders = "order"
	fidelityChoice = "choices"
	fidelityLoad   = "load"
	fidelityTails  = "tails" // not the paper's
)

// Fidelity compares the simulated figures with the paper's numbers and writes
// Out/fidelity.md and .tsv, and the simulated bars as Out/fig06-sim.svg; beside
// them Out/never.md, .tsv and .svg, and Out/steady-index.svg.
func Fidelity(o Options) error {
	f, err := newFidelity(o.Results)
	if err != nil {
		return err
	}
	text, err := f.markdown()
	if err != nil {
		return err
	}
	svg, err := simulatedBars(o.Results)
	if err != nil {
		return err
	}
	files := map[string]string{"fidelity.md": text, "fidelity.tsv": f.tsv(), "fig06-sim.svg": svg}
	if err := beyond(o.Results, files); err != nil {
		return err
	}
	for name, data := range files {
		if err := atomicfile.Write(filepath.Join(o.Out, name), []byte(data), 0o644); err != nil {
			return fmt.Errorf("figures: %w", err)
		}
	}
	return nil
}

// beyond adds to files what the simulator says beyond the paper: whether a
// scheduler ever loses, and what the index is.
func beyond(root string, files map[string]string) error {
	const first = "simulate first (experiments:run -engine=sim all)"
	n, err := readNever(root)
	if err != nil {
		return err
	}
	index, _, err := readTable(root, indexFigure)
	if err != nil {
		return err
	}
	if n == nil || index == nil {
		return fmt.Errorf("%s or %s is not there: %s", neverFigure, indexFigure, first)
	}
	heat, err := n.sheet().svg()
	if err != nil {
		return err
	}
	p, err := indexPicture(index)
	if err != nil {
		return err
	}
	curves, err := p.sheet().svg()
	if err != nil {
		return err
	}
	files["never.md"], files["never.tsv"], files["never.svg"], files["steady-index.svg"] = n.markdown(), n.tsv(), string(heat), string(curves)
	return nil
}

// simulatedBars is the picture of the bars.
func simulatedBars(root string) (string, error) {
	l := newLibrary(root)
	s, err := l.get(fidelityBars, results.EngineSim)
	if err != nil {
		return "", err
	}
	ref, err := newReference()
	if err != nil {
		return "", err
	}
	f := catalog[slices.IndexFunc(catalog, func(f figure) bool { return f.name == fidelityBars })]
	p, err := f.picture(f.panels(l, s, ref), s)
	if err != nil {
		return "", err
	}
	svg, err := p.sheet().svg()
	return string(svg), err
}

func newFidelity(root string) (*fidelity, error) {
	bars, curves, others, err := paperNumbers()
	if err != nil {
		return nil, err
	}
	f := &fidelity{}
	figures := []string{fidelityBars, fidelityCurves, fidelityOrders, fidelityChoice, fidelityLoad}
	for _, o := range others {
		if !slices.Contains(figures, o.Figure) {
			figures = append(figures, o.Figure)
		}
	}
	for _, figure := range figures {
		valid, err := f.read(root, figure)
		if err != nil {
			return nil, err
		}
		for _, s := range valid {
			if s.Name == "alps" && slices.ContainsFunc(valid, func(o results.Series) bool { return o.Name == artifact }) {
				continue // the plots are artifact's; how far off alps is, the orders say
			}
			switch figure {
			case fidelityCurves:
				f.addCurves(figure, s, curves)
			case fidelityBars, fidelityChoice, fidelityLoad:
				f.addBars(figure, s, s.Result.Run.Scheduler, bars)
			case fidelityOrders:
				f.addBars(figure, s, "alps", bars)
			}
			f.addEnds(figure, s)
		}
		if err := f.addOthers(figure, valid, others); err != nil {
			return nil, err
		}
	}
	f.average()
	tails, err := f.read(root, fidelityTails)
	if err != nil {
		return nil, err
	}
	for _, s := range tails {
		for _, sum := range results.Summarize(s.Result.Invocations) {
			f.Tails = append(f.Tails, tail{s.Name, sum})
		}
	}
	return f, nil
}

// average makes the values of several rounds one, their mean.
func (f *fidelity) average() {
	type place struct {
		figure, workload, group, series, stat string
		load                                  int
	}
	at := map[place]int{}
	rounds := []float64{}
	var out []value
	for _, v := range f.Values {
		k := place{v.Figure, v.Workload, v.Group, v.Series, v.Stat, v.LoadPct}
		i, known := at[k]
		if !known {
			at[k] = len(out)
			out, rounds = append(out, v), append(rounds, 1)
			continue
		}
		rounds[i]++
		out[i].Ours += (v.Ours - out[i].Ours) / rounds[i]
		out[i].N += v.N
	}
	f.Values = out
}

// read reads the series of a figure, notes their runs, and returns those that
// are valid.
func (f *fidelity) read(root, figure string) ([]results.Series, error) {
	series, err := results.ReadPlan(root, results.EngineSim, figure)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: simulate first (experiments:run -engine=sim all)", err)
	}
	if err != nil {
		return nil, err
	}
	var valid []results.Series
	for _, s := range series {
		run := s.Result.Run
		if !slices.ContainsFunc(f.Runs, func(r results.Run) bool { return r.Key == run.Key }) {
			f.Runs = append(f.Runs, run)
		}
		if run.Valid {
			valid = append(valid, s)
		} else {
			f.Invalid = append(f.Invalid, fmt.Sprintf("%s: %s on %s: %s", figure, s.Name, run.Workload, strings.Join(run.Invalid, "; ")))
		}
	}
	return valid, nil
}

// pct is a load as people say it.
func pct(load float64) int { return int(math.Round(100 * load)) }

// addBars compares a run with the paper's bars of a scheduler.
func (f *fidelity) addBars(figure string, s results.Series, scheduler string, paper map[string]map[string]map[string]stats) {
	run := s.Result.Run
	for _, sum := range results.Summarize(s.Result.Invocations) {
		ref, ok := paper[run.Workload][sum.Group][scheduler]
		if !ok {
			continue
		}
		for _, x := range []struct {
			name        string
			ours, paper float64
		}{{"p50", sum.P50, ref.P50}, {"p75", sum.P75, ref.P75}, {"p90", sum.P90, ref.P90}, {"p99", sum.P99, ref.P99}, {"mean", sum.Mean, ref.Mean}} {
			f.Values = append(f.Values, value{figure, run.Workload, pct(s.Load), sum.Group, s.Name, x.name, "ms", x.ours, x.paper, sum.N})
		}
	}
}

// addCurves compares a run with the paper's curves at their quantiles.
func (f *fidelity) addCurves(figure string, s results.Series, paper map[curve][]point) {
	run := s.Result.Run
	for _, g := range results.Groups {
		ours := turnarounds(s.Result.Invocations, g)
		for _, p := range paper[curve{run.Workload, g, pct(s.Load), run.Scheduler}] {
			f.Values = append(f.Values, value{figure, run.Workload, pct(s.Load), g, s.Name, fmt.Sprintf("p%g", 100*p.Quantile), "ms",
				results.Quantile(p.Quantile, ours), p.MS, len(ours)})
		}
	}
}

// turnarounds of the finished invocations of a group, or of results.All, in ms,
// sorted.
func turnarounds(invocations []results.Invocation, group string) []float64 {
	var out []float64
	for _, i := range invocations {
		if (group == results.All || i.Group == group) && i.Status == results.OK {
			out = append(out, ms(i.Turnaround().Nanoseconds()))
		}
	}
	slices.Sort(out)
	return out
}

func (f *fidelity) tsv() string {
	var b strings.Builder
	b.WriteString("figure\tworkload\tload_pct\tgroup\tseries\tstat\tunit\tours\tpaper\tours/paper\tn\n")
	for _, v := range f.Values {
		fmt.Fprintf(&b, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\n", v.Figure, v.Workload, v.LoadPct, v.Group, v.Series, v.Stat, v.Unit,
			num(v.Ours, 1), num(v.Paper, 1), num(v.ratio(), 3), v.N)
	}
	return b.String()
}

// pick are the values for which every condition holds.
func (f *fidelity) pick(conditions ...func(value) bool) []value {
	var out []value
	for _, v := range f.Values {
		if !slices.ContainsFunc(conditions, func(holds func(value) bool) bool { return !holds(v) }) {
			out = append(out, v)
		}
	}
	return out
}

// medianDeviation in percent; NaN of none.
func medianDeviation(values []value) float64 {
	var d []float64
	for _, v := range values {
		if !math.IsNaN(v.deviation()) {
			d = append(d, 100*v.deviation())
		}
	}
	if len(d) == 0 {
		return math.NaN()
	}
	slices.Sort(d)
	return (d[(len(d)-1)/2] + d[len(d)/2]) / 2
}

func (f *fidelity) markdown() (string, error) {
	t, err := template.New("fidelity").Parse(fidelityText)
	if err != nil {
		return "", fmt.Errorf("fidelity: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, f.page()); err != nil {
		return "", fmt.Errorf("fidelity: %w", err)
	}
	return b.String(), nil
}
