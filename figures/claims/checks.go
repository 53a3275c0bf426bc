// SPDX-License-Identifier: Apache-2.0

package claims

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/format"
	"github.com/ds2-lab/alps/figures/stats"
)

// enough of an effect is two thirds of the paper's: less is called smaller.
const enough = 2.0 / 3

// finding is the outcome of a check.
type finding struct {
	seen      string // for people
	threshold string // from where on the claim holds, for people
	verdict   Verdict
}

// check asks the evidence for the numbers of a claim, and judges them.
type check = func(e *evidence) finding

// value is a finding of a claim that has no size.
func value(seen, threshold string, ok bool) finding {
	if ok {
		return finding{seen, threshold, Holds}
	}
	return finding{seen, threshold, Fails}
}

// effect: a number is another times a ratio, whose distance from 1 in the direction of
// sign (−1: lower) is at least threshold.
func effect(number, with, stat string, sign, threshold float64) check {
	threshold = toTenth(100*threshold) / 100
	return func(e *evidence) finding {
		a, b := e.of(number, stat), e.of(with, stat)
		ratio := a / b
		middle := e.ratios(number, with, stat)
		signed := stats.Interval{Lo: sign * (middle.Lo - 1), Hi: sign * (middle.Hi - 1)}
		if sign < 0 {
			signed = stats.Interval{Lo: signed.Hi, Hi: signed.Lo}
		}
		f := finding{seen: fromTo(b, a, stat, 1+sign*threshold) + e.between(middle), verdict: classify(sign*(ratio-1), signed, threshold)}
		f.threshold = "from " + format.Change(1+sign*threshold)
		if math.IsNaN(ratio) { // 0 of 0
			f.verdict = NoEffect
		}
		return f
	}
}

// less: a number is lower than another by at least enough of what the paper has, in %.
func less(number, than, stat string, paperPct float64) check {
	return effect(number, than, stat, -1, enough*paperPct/100)
}

// more: a number is higher than another by at least enough of what the paper has, in %.
func more(number, than, stat string, paperPct float64) check {
	return effect(number, than, stat, 1, enough*paperPct/100)
}

// tenfold: a number is at least ten times another.
func tenfold(number, than, stat string) check { return effect(number, than, stat, 1, 9) }

// noWorse: a number is at most a hundredth above another.
func noWorse(number, than, stat string) check {
	const most = 1.01
	return func(e *evidence) finding {
		a, b := e.of(number, stat), e.of(than, stat)
		middle := e.ratios(number, than, stat)
		f := finding{fromTo(b, a, stat, most) + e.between(middle), "up to " + format.Change(most), Holds}
		switch {
		case a/b <= most:
		case middle.Lo <= 1: // the number is above most times the other, but within noise
			f.verdict = NoEffect
		default:
			f.verdict = Opposite
		}
		return f
	}
}

// positive: a number in %, which is above zero in the paper, is at least enough of the paper's.
func positive(number, stat string, paper float64) check {
	threshold := toTenth(enough * paper)
	return func(e *evidence) finding {
		v, middle := e.of(number, stat), e.interval(number, stat)
		seen := signed(v, stat, threshold) + e.around(middle, stat)
		return finding{seen, "from " + format.Percent(threshold), classify(v, middle, threshold)}
	}
}

// about: a number differs from the paper's by at most a fraction of it, such as 0.1.
func about(number, stat string, paper, within float64) check {
	return func(e *evidence) finding {
		v, middle := e.of(number, stat), e.interval(number, stat)
		seen := signed(v, stat, paper*(1-within), paper*(1+within)) + e.around(middle, stat)
		return value(seen, fmt.Sprintf("%s ± %.0f %%", withUnit(paper, stat), 100*within), math.Abs(v/paper-1) <= within)
	}
}

// both has the worst verdict of its checks.
func both(checks ...check) check {
	return func(e *evidence) finding {
		out := finding{verdict: Holds}
		var seen, thresholds []string
		for _, c := range checks {
			f := c(e)
			seen, thresholds = append(seen, f.seen), append(thresholds, f.threshold)
			if out.verdict.worse(f.verdict) {
				out.verdict = f.verdict
			}
		}
		thresholds = slices.Compact(thresholds)
		out.seen, out.threshold = strings.Join(seen, "; "), strings.Join(thresholds, "; ")
		return out
	}
}

// falling: of the numbers of positions, in this order, each is below the one before it.
func falling(stat string, positions ...string) check {
	return func(e *evidence) finding {
		var all []float64
		ok, last := true, math.Inf(1)
		for _, p := range positions {
			v := e.of(p, stat)
			all = append(all, v)
			ok, last = ok && v < last, v
		}
		return value(numbers(all, 0), "each below the one before it", ok)
	}
}

// within: the highest of the numbers of positions is above the lowest by at most a fraction of the lowest, such as 0.02.
func within(stat string, share float64, positions ...string) check {
	return func(e *evidence) finding {
		var seen []string
		lo, hi := math.Inf(1), math.Inf(-1)
		for _, p := range positions {
			v := e.of(p, stat)
			lo, hi = min(lo, v), max(hi, v)
			seen = append(seen, format.Short(v))
		}
		return value(fmt.Sprintf("%s %s: %s apart", strings.Join(seen, ", "), dataset.Unit(dataset.Turnaround), strings.TrimPrefix(format.SignedChange(hi/lo, 1+share), "+")),
			fmt.Sprintf("within %.0f %%", 100*share), hi/lo-1 <= share)
	}
}

// doneWithin: ok accepts the shares, in %, of invocations at positions whose turnaround is at most ms. threshold says
// in words when it does; limits are the numbers in it.
func doneWithin(ms float64, threshold string, limits []float64, ok func(shares []float64) bool, positions ...string) check {
	return func(e *evidence) finding {
		var shares []float64
		for _, p := range positions {
			shares = append(shares, e.of(p, fmt.Sprintf("upto%g", ms)))
		}
		return value(numbers(shares, 0, limits...)+" %", threshold, ok(shares))
	}
}

// toTenth is v as it is printed with one decimal, so that a threshold is what its text says.
func toTenth(v float64) float64 { return math.Round(10*v) / 10 }

// numbers are values with as many decimals, least or more, as tell each from the others and from limits.
func numbers(values []float64, least int, limits ...float64) string {
	var out []string
	for i, v := range values {
		others := slices.Concat(limits, values[:i], values[i+1:])
		out = append(out, format.Grouped(v, format.Decimals(v, least, others...)))
	}
	return strings.Join(out, ", ")
}

// fromTo is a pair of numbers, and by how much the second differs; limits are ratios that this must be told from.
func fromTo(a, b float64, stat string, limits ...float64) string {
	return fmt.Sprintf("%s → %s, %s", format.Short(a), withUnit(b, stat), format.SignedChange(b/a, limits...))
}

func withUnit(v float64, stat string) string {
	what, _ := dataset.SplitStat(stat)
	return strings.TrimSpace(format.Short(v) + " " + dataset.Unit(what))
}

// signed is withUnit with as many decimals as show whether v is above or below zero and the limits, for a verdict
// hangs on that.
func signed(v float64, stat string, limits ...float64) string {
	least := 0
	if math.Abs(v) < 10 && v != math.Trunc(v) {
		least = 1
	}
	what, _ := dataset.SplitStat(stat)
	return strings.TrimSpace(format.Grouped(v, format.Decimals(v, least, append(limits, 0)...)) + " " + dataset.Unit(what))
}

// switchRatio is the cost of a context switch that asks both hooks, as a multiple of one that asks none. The guest's
// clock may count ns or instructions: the ratio needs no unit. It is NaN if the table lacks one of them.
func switchRatio(g *dataset.Grid) float64 {
	if g == nil {
		return math.NaN()
	}
	of := map[string]float64{}
	for _, c := range g.Cells {
		if c.Column != hookUnit && c.Column != "calls per switch" && !math.IsNaN(c.Ours) {
			of[c.Row] = c.Ours
		}
	}
	with, without := of["context switch, hooks asked, entry"], of["context switch, hooks not asked"]
	if with == 0 || without == 0 {
		return math.NaN()
	}
	return with / without
}

// mixed: the shares of a workload's groups are the paper's within a percentage point.
func mixed(workload string) check {
	return func(e *evidence) finding {
		var seen []string
		ok := true
		for _, g := range []string{"G1", "G2", "G3", "G4"} {
			ours, paper := e.cell("table1", workload, g)
			seen, ok = append(seen, format.Fixed(ours, format.Decimals(ours, 1, paper-1, paper+1))), ok && math.Abs(ours-paper) <= 1
		}
		return value(strings.Join(seen, ", ")+" %", "within a point", ok)
	}
}

// updateCheap: an update over 5,000 records takes less than a fifth of a window of 5 s.
func updateCheap(e *evidence) finding {
	avg, _ := e.cell("table2", "avg", "5000")
	rf, _ := e.cell("table2", "rf", "5000")
	const most = 1000.0
	in := func(ms float64) string { return format.Fixed(ms, format.Decimals(ms, 1, most)) }
	return value(in(avg)+" ms, forest "+in(rf)+" ms", "less than a fifth of the window, 1,000 ms", max(avg, rf) < most)
}

// forestDear: the random forest adds to an update more than ten times what the other learners differ by. Every cell
// has the SRPT simulation in it, ours as it ran and the paper's added, so only differences are of the learners.
func forestDear(e *evidence) finding {
	v := map[string]float64{}
	for _, l := range []string{"avg", "lr", "ewma", "rf"} {
		v[l], _ = e.cell("table2", l, "5000")
	}
	lo, hi := min(v["avg"], v["lr"], v["ewma"]), max(v["avg"], v["lr"], v["ewma"])
	return value(fmt.Sprintf("%s ms against %s to %s ms, SRPT included", format.Fixed(v["rf"], 1), format.Fixed(lo, 2), format.Fixed(hi, 2)),
		"the forest adds more than ten times what the others differ by", v["rf"]-hi > 10*(hi-lo))
}

// hooksCheap: the hooks' programs cost no more than the paper's.
func hooksCheap(e *evidence) finding {
	var seen []string
	ok := true
	for _, row := range []string{"order hook, entry", "slice hook, entry", "both hooks, per decision"} {
		ours, paper := e.cell("table3", row, hookUnit)
		seen, ok = append(seen, format.Fixed(ours, format.Decimals(ours, 0, paper))), ok && ours <= paper
	}
	text := strings.Join(seen, ", ") + " ns"
	if ratio := switchRatio(e.grids["table3"]); !math.IsNaN(ratio) {
		text += "; a whole switch in the guest: " + format.Change(ratio)
	}
	return value(text, "up to the paper's", ok)
}

// hooksBelowGhost: the hooks cost at most a tenth of ghOSt's published local scheduling, 1,613 ns.
func hooksBelowGhost(e *evidence) finding {
	ours, _ := e.cell("table3", "both hooks, per decision", hookUnit)
	const most = 161.3
	return value(format.Fixed(ours, format.Decimals(ours, 0, most))+" ns against the published 1,613", "a tenth", ours <= most)
}

// slowerUnderCFS: as many invocations are slower under CFS than under SRPT as in the paper, within 5 points.
func slowerUnderCFS(e *evidence) finding {
	v := e.slower("fig01", "huawei", 90, "cfs", "srpt")
	return value(format.Fixed(v, format.Decimals(v, 1, 84.2, 94.2))+" %", "89.2 % ± 5 points", 84.2 <= v && v <= 94.2)
}

// neverSwitched: under RR and FIFO at least half of the invocations never lose the CPU.
func neverSwitched(e *evidence) finding {
	var seen []string
	ok := true
	for _, p := range []string{"fig07 huawei 90 rr all", "fig07 huawei 90 fifo all", "fig07 azure 90 rr all", "fig07 azure 90 fifo all"} {
		share := e.of(p, "switches_upto0")
		seen, ok = append(seen, format.Fixed(share, format.Decimals(share, 0, 50))), ok && share >= 50
	}
	return value("of RR, FIFO, on Azure likewise: "+strings.Join(seen, ", ")+" % never", "half of the invocations", ok)
}
