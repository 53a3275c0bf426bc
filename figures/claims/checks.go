// SPDX-License-Identifier: Apache-2.0

package claims

import (
	"fmt"
	"math"
	"strings"

	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/format"
)

// enough of an effect is two thirds of the paper's: less is called not holding.
const enough = 2.0 / 3

// check asks evidence; seen is what it says, for people.
type check = func(e *evidence) (seen string, ok bool)

// compared: a number as a multiple of another is as it should be; its direction
// alone may be asked for, too.
func compared(number, with, stat string, ok, direction func(ratio float64) bool) check {
	return func(e *evidence) (string, bool) {
		a, b := e.of(number, stat), e.of(with, stat)
		if e.signs {
			return "", direction(a / b)
		}
		if e.draw >= 0 {
			return "", ok(a / b)
		}
		seen := fromTo(b, a, stat)
		if of := e.interval(number, with, stat); !math.IsNaN(of.Lo) {
			seen += fmt.Sprintf(" (%s to %s)", format.Change(of.Lo), format.Change(of.Hi))
		}
		return seen, ok(a / b)
	}
}

func lower(ratio float64) bool { return ratio < 1 }

func higher(ratio float64) bool { return ratio > 1 }

// less: a number is lower than another by at least enough of what the paper has, in %.
func less(number, than, stat string, paperPct float64) check {
	return compared(number, than, stat, func(r float64) bool { return 1-r >= enough*paperPct/100 }, lower)
}

// more: a number is higher than another by at least enough of what the paper has, in %.
func more(number, than, stat string, paperPct float64) check {
	return compared(number, than, stat, func(r float64) bool { return r-1 >= enough*paperPct/100 }, higher)
}

// noWorse: a number is at most a hundredth above another.
func noWorse(number, than, stat string) check {
	ok := func(r float64) bool { return r <= 1.01 }
	return compared(number, than, stat, ok, ok)
}

// tenfold: a number is at least ten times another.
func tenfold(number, than, stat string) check {
	return compared(number, than, stat, func(r float64) bool { return r >= 10 }, higher)
}

// about: a number is the paper's within a share.
func about(number, stat string, paper, within float64) check {
	return func(e *evidence) (string, bool) {
		v := e.of(number, stat)
		return withUnit(v, stat), math.Abs(v/paper-1) <= within
	}
}

// both holds if all checks do.
func both(checks ...check) check {
	return func(e *evidence) (string, bool) {
		var seen []string
		all := true
		for _, c := range checks {
			s, ok := c(e)
			seen, all = append(seen, s), all && ok
		}
		return strings.Join(seen, "; "), all
	}
}

// falling: the numbers of places come in order, the first the highest; equal
// ones are in order.
func falling(stat string, places ...string) check {
	return func(e *evidence) (string, bool) {
		var seen []string
		ok, last := true, math.Inf(1)
		for _, p := range places {
			v := e.of(p, stat)
			seen = append(seen, format.Short(v))
			ok, last = ok && v <= last, v
		}
		return strings.Join(seen, " ≥ "), ok
	}
}

// within: the numbers of places are within a share of each other.
func within(stat string, share float64, places ...string) check {
	return func(e *evidence) (string, bool) {
		var seen []string
		lo, hi := math.Inf(1), math.Inf(-1)
		for _, p := range places {
			v := e.of(p, stat)
			lo, hi = min(lo, v), max(hi, v)
			seen = append(seen, format.Short(v))
		}
		return strings.Join(seen, ", ") + " " + dataset.Unit(dataset.Turnaround), hi/lo-1 <= share
	}
}

// doneWithin are the shares of invocations that took at most so long, in %.
func doneWithin(ms float64, ok func(shares []float64) bool, places ...string) check {
	return func(e *evidence) (string, bool) {
		var seen []string
		var shares []float64
		for _, p := range places {
			v := e.of(p, fmt.Sprintf("upto%g", ms))
			shares = append(shares, v)
			seen = append(seen, format.Fixed(v, 0)+" %")
		}
		return strings.Join(seen, ", "), ok(shares)
	}
}

// fromTo is a pair of numbers, and by how much the second differs.
func fromTo(a, b float64, stat string) string {
	return fmt.Sprintf("%s → %s, %s", format.Short(a), withUnit(b, stat), format.Change(b/a))
}

func withUnit(v float64, stat string) string {
	what, _ := dataset.SplitStat(stat)
	return strings.TrimSpace(format.Short(v) + " " + dataset.Unit(what))
}

// switchRatio is a context switch with both hooks asked as a multiple of one
// that asks none, whatever the guest's clock counts.
func (e *evidence) switchRatio() float64 {
	g := e.grids["table3"]
	if g == nil {
		return math.NaN()
	}
	of := map[string]float64{}
	for _, c := range g.Cells {
		if c.Column != hookUnit && c.Column != "calls per switch" {
			of[c.Row] = c.Ours
		}
	}
	with, without := of["context switch, hooks asked, entry"], of["context switch, hooks not asked"]
	if without == 0 {
		return math.NaN()
	}
	return with / without
}

// mixed: the shares of a workload's groups are the paper's within a point.
func mixed(workload string) check {
	return func(e *evidence) (string, bool) {
		var seen []string
		ok := true
		for _, g := range []string{"G1", "G2", "G3", "G4"} {
			ours, paper := e.cell("table1", workload, g)
			seen, ok = append(seen, format.Fixed(ours, 1)), ok && math.Abs(ours-paper) <= 1
		}
		return strings.Join(seen, ", ") + " %", ok
	}
}
