// SPDX-License-Identifier: Apache-2.0

package claims

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/format"
	"github.com/ds2-lab/alps/figures/paper"
	"github.com/ds2-lab/alps/figures/stats"
)

// evidence answers the questions of a check from the results of one engine, and notes what is missing.
type evidence struct {
	library *dataset.Library
	engine  string
	grids   map[string]*dataset.Grid
	second  bool     // alps-artifact is asked where a claim names alps
	large   bool     // the runs of paper.Headline are asked where a claim names a figure of the same conditions
	other   bool     // the check asked for what these runs cannot answer: see cell and source
	figure  string   // the first figure or table that the check asked for
	lacking []string // sentences on what is missing, each once
	few     bool     // there are runs, with too few invocations
	rounds  int      // the fewest that stand behind a number; 0: nothing was read of runs
	ran     bool     // a number is of runs of a scheduler
	derived []string // which numbers are of computed runs, each once: "SRPT computed from CFS's run"
	err     error
	// plotted, if it is not nil, answers in place of the engine's runs: so a test asks the
	// paper's own numbers.
	plotted func(at paper.Position, stat string) float64
}

func newEvidence(l *dataset.Library, engine string, grids map[string]*dataset.Grid) *evidence {
	return &evidence{library: l, engine: engine, grids: grids}
}

// lack notes a sentence on what is missing, and returns NaN.
func (e *evidence) lack(format string, args ...any) float64 {
	if what := fmt.Sprintf(format, args...); !slices.Contains(e.lacking, what) {
		e.lacking = append(e.lacking, what)
	}
	return math.NaN()
}

// did is the participle for the engine's runs: they are simulated, or measured.
func (e *evidence) did() string {
	if e.engine == results.EngineSim {
		return "simulated"
	}
	return "measured"
}

// repeated are the figures whose series paper.Headline repeats at paper.BarsLoad.
var repeated = []string{"fig01", "fig03", paper.Bars, "fig07", "fig08"}

// source is the experiment whose runs answer for a figure at a load in %: the figure's own, or, if large is set,
// paper.Headline. It sets other if Headline does not repeat the figure at that load.
func (e *evidence) source(figure string, load int) string {
	if !e.large || figure == paper.Headline {
		return figure
	}
	if load != paper.BarsLoad || !slices.Contains(repeated, figure) {
		e.other = true
	}
	return paper.Headline
}

// need is how many rounds a verdict needs. Of the large runs, which take as long as the note of paper.Headline in
// plot.Catalog says, one must do: its interval is a bootstrap over blocks of invocations only, and says so.
func (e *evidence) need() int {
	if e.large {
		return 1
	}
	return dataset.MinRounds
}

// found notes a series behind a number: in how many rounds there are runs, and from what they were computed if
// they did not run.
func (e *evidence) found(s *dataset.Set, at paper.Position, rounds int) {
	if e.rounds == 0 || rounds < e.rounds {
		e.rounds = rounds
	}
	for _, x := range s.Series {
		if !dataset.IsOf(x, at, at.Series) {
			continue
		}
		base, computed := s.Base(x)
		if !computed {
			e.ran = true
			return
		}
		if text := inCapitals(x.Name) + " computed from " + inCapitals(base) + "'s run"; !slices.Contains(e.derived, text) {
			e.derived = append(e.derived, text)
		}
		return
	}
}

// inCapitals is a series as people write it where it is an abbreviation, as CFS; as it is where it is a longer name.
func inCapitals(series string) string {
	if len(series) <= len("srpt") {
		return strings.ToUpper(series)
	}
	return series
}

// command is the command that makes the results of the figure that the check asked for first, or of paper.Headline.
func (e *evidence) command() string {
	if e.large {
		return Command(paper.Headline, e.engine)
	}
	command := Command(e.figure, e.engine)
	if e.few { // the profile with as many invocations as the paper's runs have
		command = strings.Replace(command, "-profile=quick", "-profile=paper", 1)
	}
	return command
}

// measuredOnly are the figures without a simulated part.
var measuredOnly = []string{paper.Deployment, "peers", "steady"}

// Command is the command that makes the runs of a figure or a table, with as many
// rounds as a verdict needs; empty if no part of the figure is simulated and the engine is the simulator.
func Command(figure, engine string) string {
	switch {
	case figure == "table3":
		return "go run mage.go kernel:cost"
	case engine == results.EngineSim && slices.Contains(measuredOnly, figure):
		return ""
	case figure == paper.Headline && engine == results.EngineVM:
		return "go run mage.go experiments:run headline -profile=headline -accel=vtime"
	case strings.HasPrefix(figure, "table") || engine == results.EngineSim:
		return "go run mage.go experiments:run -engine=sim " + figure
	}
	return "go run mage.go experiments:run -profile=quick " + figure
}

// parse reads "fig06 huawei 90 alps G1".
func parse(where string) (paper.Position, error) {
	f := strings.Fields(where)
	if len(f) != 5 {
		return paper.Position{}, fmt.Errorf("position %q: want figure, workload, load, series and group", where)
	}
	load, err := strconv.Atoi(f[2])
	if err != nil {
		return paper.Position{}, fmt.Errorf("position %q: %w", where, err)
	}
	return paper.Position{Figure: f[0], Workload: f[1], LoadPct: load, Group: f[4], Series: f[3]}, nil
}

// ask notes which figure is asked first.
func (e *evidence) ask(figure string) {
	if e.figure == "" {
		e.figure = figure
	}
}

// position is where a number of a claim stands, and the runs of its figure; nil, with a note, if there are none.
func (e *evidence) position(where string) (paper.Position, *dataset.Set) {
	at, err := parse(where)
	if err != nil {
		e.err = err
		return at, nil
	}
	e.ask(at.Figure)
	at.Figure = e.source(at.Figure, at.LoadPct)
	if e.second && at.Series == "alps" {
		at.Series = paper.Artifact
	}
	s, err := e.library.Figure(at.Figure, e.engine)
	if err != nil || s == nil {
		e.lack("Nothing of %s was %s.", at.Figure, e.did()) // the figure's own section of the report has the error
		return at, nil
	}
	return at, s
}

// of is a number such as slice_p50 of a position such as "fig06 huawei 90 alps G1", in the measure's unit; NaN, with a
// note, if there are no runs, too few rounds or too few invocations.
func (e *evidence) of(where, stat string) float64 {
	if e.plotted != nil {
		at, err := parse(where)
		e.err = errors.Join(e.err, err)
		return e.plotted(at, stat)
	}
	at, s := e.position(where)
	if s == nil {
		return math.NaN()
	}
	what, name := dataset.SplitStat(stat)
	d := e.library.Distribution(s, at, what)
	if d.N() == 0 {
		return e.lack("%s has no valid run of %s on %s at %d %%.", at.Figure, at.Series, at.Workload, at.LoadPct)
	}
	if d.Rounds < e.need() {
		return e.lack("%s has %s of %s on %s at %d %%; a verdict needs %d.", at.Figure, format.Plural(d.Rounds, "round"), at.Series, at.Workload, at.LoadPct, e.need())
	}
	e.found(s, at, d.Rounds)
	if need := stats.Needed(name); d.N() < need {
		e.few = true
		return e.lack("%s has %s of %s; the %s needs %d (the maximum is %s).", at.Figure, format.Plural(int(d.N()), "invocation"), at, name, need, withUnit(d.Quantile(1), stat))
	}
	v, err := d.Statistic(name)
	if err != nil {
		e.err = err
	}
	return v
}

// redraw is a number in every draw of the bootstrap; nil if there are none.
func (e *evidence) redraw(where, stat string) []float64 {
	if e.plotted != nil {
		return nil
	}
	at, s := e.position(where)
	if s == nil {
		return nil
	}
	v, err := e.library.Redraw(s, at, stat)
	if err != nil {
		e.err = err
	}
	return v
}

// interval of a number, over the draws.
func (e *evidence) interval(where, stat string) stats.Interval {
	return stats.Middle95(e.redraw(where, stat))
}

// ratios is the interval of the ratio of two numbers, draw by draw: both are drawn alike, see stats.Draws.
func (e *evidence) ratios(number, with, stat string) stats.Interval {
	return stats.RatioMiddle95(e.redraw(number, stat), e.redraw(with, stat))
}

// cell is a value of a table and the paper's, in the table's unit; NaN, with a note, if there is none. No engine
// makes the tables; they count as measured, so a claim on one is asked neither of the simulator nor of paper.Headline.
func (e *evidence) cell(table, row, column string) (ours, paper float64) {
	e.ask(table)
	if e.engine != results.EngineVM || e.large {
		e.other = true
		return math.NaN(), math.NaN()
	}
	g := e.grids[table]
	if g == nil || len(g.Cells) == 0 {
		return e.lack("Nothing of %s was measured.", table), math.NaN()
	}
	if ours, paper = g.Find(row, column); math.IsNaN(ours) {
		e.lack("%s has no %s, %s.", table, row, column)
	}
	return ours, paper
}

// slower is the share, in %, of invocations whose turnaround in series a is more than a hundredth above that in b, of
// those that are OK in both.
// A smaller difference does not count: computed runs lack the time that a fork takes.
func (e *evidence) slower(figure, workload string, load int, a, b string) float64 {
	e.ask(figure)
	if e.plotted != nil {
		return e.lack("The paper plots no single invocation.")
	}
	figure = e.source(figure, load)
	s, err := e.library.Figure(figure, e.engine)
	if err != nil || s == nil {
		return e.lack("Nothing of %s was %s.", figure, e.did())
	}
	more, n, rounds := 0, 0, 0
	for _, x := range s.Series {
		for _, y := range s.Series {
			at := paper.Position{Figure: figure, Workload: workload, LoadPct: load}
			if !dataset.IsOf(x, at, a) || !dataset.IsOf(y, at, b) || x.Result.Run.Round != y.Result.Run.Round || len(x.Result.Invocations) != len(y.Result.Invocations) {
				continue
			}
			rounds++
			for k, i := range x.Result.Invocations {
				o := y.Result.Invocations[k]
				if i.Status != results.OK || o.Status != results.OK {
					continue
				}
				if t := o.Turnaround(); i.Turnaround() > t+t/100 {
					more++
				}
				n++
			}
		}
	}
	if rounds < e.need() || n == 0 {
		return e.lack("%s has %s of both %s and %s on %s at %d %%; a verdict needs %d.", figure, format.Plural(rounds, "round"), a, b, workload, load, e.need())
	}
	for _, series := range []string{a, b} {
		e.found(s, paper.Position{Figure: figure, Workload: workload, LoadPct: load, Series: series}, rounds)
	}
	return 100 * float64(more) / float64(n)
}

// Effect is a number of one series as a multiple of another's, for people.
type Effect struct {
	From, To float64        // in the measure's unit
	Ratio    stats.Interval // of To/From; NaN: none
	Rounds   int            // the fewest that stand behind From and To; with 1 Ratio is over the blocks of one run
	Lacks    string         // why a number is missing; empty if both are there
}

// Change measures by how much number, such as "fig06 huawei 90 alps all", differs from
// with in a statistic such as mean or request_mean. Numbers that are missing are no error, but
// said in Lacks; a name or a statistic that is malformed is an error.
func Change(l *dataset.Library, engine, number, with, stat string) (Effect, error) {
	e := newEvidence(l, engine, nil)
	e.large = strings.HasPrefix(number, paper.Headline+" ")
	out := Effect{From: e.of(with, stat), To: e.of(number, stat)}
	if e.err == nil && len(e.lacking) == 0 {
		out.Ratio = e.ratios(number, with, stat)
	}
	out.Rounds = e.rounds
	out.Lacks = strings.Join(e.lacking, " ")
	return out, e.err
}

// Text is the change, with its interval.
func (f Effect) Text() string {
	return format.SignedChange(f.To/f.From) + format.Interval(f.Ratio.Lo, f.Ratio.Hi, f.Rounds)
}

// between is an interval of ratios in brackets; nothing of none. Of one round it says so.
func (e *evidence) between(ratio stats.Interval) string {
	return format.Interval(ratio.Lo, ratio.Hi, e.rounds)
}

// around is an interval of a statistic in brackets, with its unit; nothing of none. Of one round it says so.
func (e *evidence) around(middle stats.Interval, stat string) string {
	if isNone(middle) {
		return ""
	}
	return format.Brackets(signed(middle.Lo, stat), signed(middle.Hi, stat), e.rounds)
}
