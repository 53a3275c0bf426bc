// SPDX-License-Identifier: Apache-2.0

package claims

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/paper"
	"github.com/ds2-lab/alps/figures/stats"
)

// evidence is what one engine has to say, or what it says in one of the
// bootstrap's draws. What it lacks it notes.
type evidence struct {
	library *dataset.Library
	engine  string
	grids   map[string]*dataset.Grid
	second  bool // alps-artifact is asked where a claim names alps
	draw    int  // of the bootstrap; -1: all that was seen
	signs   bool // only directions count, not sizes
	drawn   bool // something depends on the draw
	empty   bool // nothing of a rare group was drawn
	other   bool // it is asked of what no engine ran
	lacking []string
	err     error
}

func newEvidence(l *dataset.Library, engine string, grids map[string]*dataset.Grid) *evidence {
	return &evidence{library: l, engine: engine, grids: grids, draw: -1}
}

func (e *evidence) lack(what string) float64 {
	if !slices.Contains(e.lacking, what) {
		e.lacking = append(e.lacking, what)
	}
	return math.NaN()
}

// parse reads "fig06 huawei 90 alps G1".
func parse(where string) (paper.Place, error) {
	f := strings.Fields(where)
	if len(f) != 5 {
		return paper.Place{}, fmt.Errorf("place %q: want figure, workload, load, series and group", where)
	}
	load, err := strconv.Atoi(f[2])
	if err != nil {
		return paper.Place{}, fmt.Errorf("place %q: %w", where, err)
	}
	return paper.Place{Figure: f[0], Workload: f[1], LoadPct: load, Group: f[4], Series: f[3]}, nil
}

// of is a number such as slice_p50 of a place such as "fig06 huawei 90 alps G1".
func (e *evidence) of(where, stat string) float64 {
	at, err := parse(where)
	if err != nil {
		e.err = err
		return math.NaN()
	}
	if e.second && at.Series == "alps" {
		at.Series = paper.Artifact
	}
	s, err := e.library.Figure(at.Figure, e.engine)
	if err != nil || s == nil {
		return e.lack("nothing of " + at.Figure) // what is wrong with it is said where it is drawn
	}
	what, name := dataset.SplitStat(stat)
	d := e.library.Distribution(s, at, what)
	if d.N() == 0 {
		return e.lack("no " + at.String())
	}
	if d.Rounds < dataset.MinRounds {
		return e.lack(fmt.Sprintf("%d of %d rounds of %s", d.Rounds, dataset.MinRounds, at))
	}
	if need := stats.Needed(name); d.N() < need {
		return e.lack(fmt.Sprintf("%d of %d invocations for the %s of %s (maximum %s)", d.N(), need, name, at, withUnit(d.Quantile(1), stat)))
	}
	if e.draw >= 0 {
		v, err := e.library.Redraw(s, at, stat)
		if err != nil {
			e.err = err
		}
		if v != nil {
			e.drawn, e.empty = true, e.empty || math.IsNaN(v[e.draw])
			return v[e.draw]
		}
	}
	v, err := d.Statistic(name)
	if err != nil {
		e.err = err
	}
	return v
}

// cell is a value of a table, and the paper's. Tables are measured, if not by
// an engine.
func (e *evidence) cell(table, row, column string) (ours, paper float64) {
	if e.engine != results.EngineVM {
		e.other = true
		return math.NaN(), math.NaN()
	}
	g := e.grids[table]
	if g == nil || len(g.Cells) == 0 {
		return e.lack("nothing of " + table), math.NaN()
	}
	if ours, paper = g.Find(row, column); math.IsNaN(ours) {
		e.lack("no " + row + ", " + column + ", in " + table)
	}
	return ours, paper
}

// interval of the ratio of two numbers, over the draws.
func (e *evidence) interval(number, with, stat string) stats.Interval {
	var ratios []float64
	for draw := range stats.Draws {
		d := newEvidence(e.library, e.engine, e.grids)
		d.draw, d.second = draw, e.second
		ratio := d.of(number, stat) / d.of(with, stat)
		if !d.drawn || len(d.lacking) > 0 {
			break
		}
		ratios = append(ratios, ratio)
	}
	return stats.Middle95(ratios)
}

// slower is the share of invocations that took longer in a's series than in b's,
// by more than a hundredth: computed runs lack what a fork takes.
func (e *evidence) slower(figure, workload string, load int, a, b string) float64 {
	s, err := e.library.Figure(figure, e.engine)
	if err != nil || s == nil {
		return e.lack("nothing of " + figure)
	}
	more, n, rounds := 0, 0, 0
	for _, x := range s.Series {
		for _, y := range s.Series {
			at := paper.Place{Figure: figure, Workload: workload, LoadPct: load}
			if !dataset.IsOf(x, at, a) || !dataset.IsOf(y, at, b) || x.Result.Run.Round != y.Result.Run.Round || len(x.Result.Invocations) != len(y.Result.Invocations) {
				continue
			}
			rounds++
			for k, i := range x.Result.Invocations {
				if t := y.Result.Invocations[k].Turnaround(); i.Turnaround() > t+t/100 {
					more++
				}
				n++
			}
		}
	}
	if rounds < dataset.MinRounds || n == 0 {
		return e.lack(fmt.Sprintf("%d of %d rounds of %s and %s on %s at %d %% in %s", rounds, dataset.MinRounds, a, b, workload, load, figure))
	}
	return 100 * float64(more) / float64(n)
}
