// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"cmp"
	"math"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/ds2-lab/alps/figures/stats"
)

// MinInvocations is how many invocations a period needs for a round to count for a
// function's mean. With fewer, one long invocation is most of the mean.
const MinInvocations = 10

// changeOf is the change from a to b, which have a value each of every round: the
// statistic under A and under B.
//
// A round's two periods are neighbours in time, so their ratio is free of much that differs
// between rounds; its logarithm makes a change to half as large as one to twice. The interval
// is Student's for the mean of the logarithms, with rounds − 1 degrees of freedom. A bootstrap
// of invocations would take them for independent, but those that queue together wait alike;
// a bootstrap of a handful of rounds has too narrow intervals. Student's takes the rounds'
// ratios as independent and their logarithms as normal, which means of many invocations are
// nearly.
func changeOf(a, b []float64) Change {
	var logs []float64
	for i := range a {
		if a[i] > 0 && b[i] > 0 {
			logs = append(logs, math.Log(b[i]/a[i]))
		}
	}
	c := Change{Rounds: len(logs), Verdict: TooFew}
	if c.Rounds < 2 {
		return c
	}
	mean, deviation := stat.MeanStdDev(logs, nil)
	t := distuv.StudentsT{Sigma: 1, Nu: float64(c.Rounds - 1)}.Quantile(0.975)
	half := t * deviation / math.Sqrt(float64(c.Rounds))
	percent := func(log float64) float64 { return 100 * math.Expm1(log) }
	c.Percent, c.Lo, c.Hi = percent(mean), percent(mean-half), percent(mean+half)
	switch {
	case c.Hi < 0:
		c.Verdict = Better
	case c.Lo > 0:
		c.Verdict = Worse
	default:
		c.Verdict = None
	}
	return c
}

// pair is a round's two periods, both counted, by side.
type pair [2]*period

// pairs are the rounds that count, in their order.
func (t *tally) pairs() []pair {
	byRound := map[int]pair{}
	last := 0
	for _, p := range t.periods {
		if p.left == "" {
			r := byRound[p.round]
			r[p.side] = p
			byRound[p.round] = r
		}
		last = max(last, p.round)
	}
	var out []pair
	for r := range last {
		if p := byRound[r+1]; p[0] != nil && p[1] != nil {
			out = append(out, p)
		}
	}
	return out
}

// group compares the functions with these uids, taken together.
func (t *tally) group(uids []string) Group {
	var g Group
	var sides [2][]*counts
	var means, p99s [2][]float64
	for _, r := range t.pairs() {
		var round [2]*counts
		for s, p := range r {
			var of []*counts
			for _, uid := range uids {
				if c := p.functions[uid]; c != nil {
					of = append(of, c)
				}
			}
			round[s] = total(of)
			sides[s] = append(sides[s], round[s])
		}
		fewest := min(len(round[0].turnarounds), len(round[1].turnarounds))
		for s, c := range round {
			d := distribution(c.turnarounds)
			if fewest >= MinInvocations {
				means[s] = append(means[s], d.Mean())
			}
			if fewest >= stats.MinP99 {
				p99s[s] = append(p99s[s], d.Quantile(0.99))
			}
		}
	}
	g.A, g.B = measure(total(sides[0])), measure(total(sides[1]))
	g.Mean, g.P99 = changeOf(means[0], means[1]), changeOf(p99s[0], p99s[1])
	if g.P99.Rounds < g.Mean.Rounds && g.P99.Verdict == TooFew {
		g.P99.Verdict = TooFewP99
	}
	return g
}

func distribution(turnarounds []time.Duration) stats.Distribution {
	values := make([]float64, len(turnarounds))
	for i, d := range turnarounds {
		values[i] = float64(d)
	}
	return stats.Of(values)
}

func measure(c *counts) Measured {
	n := len(c.turnarounds)
	m := Measured{Invocations: n, Busy: c.busy, Settling: c.settling, Unfinished: c.unfinished}
	if n == 0 {
		return m
	}
	d := distribution(c.turnarounds)
	m.MeanCPUNS, m.MeanWaitNS = c.cpu/time.Duration(n), c.wait/time.Duration(n)
	m.MeanNS, m.P50NS = time.Duration(d.Mean()), time.Duration(d.Quantile(0.5))
	if n >= stats.MinP99 {
		m.P99NS = time.Duration(d.Quantile(0.99))
	}
	return m
}

// compare fills in what r says of invocations; known are the functions by uid, with
// their names.
func (t *tally) compare(r *Report, known map[string]string) {
	r.Counted = len(t.pairs())
	var uids []string
	for uid := range known {
		uids = append(uids, uid)
	}
	slices.Sort(uids)
	r.All = t.group(uids)
	for _, uid := range uids {
		g := t.group([]string{uid})
		g.UID, g.Name = uid, known[uid]
		if g.Mean.Verdict == TooFew {
			r.Others = append(r.Others, Other{uid, g.Name, g.A.Invocations, g.B.Invocations, g.A.Unfinished + g.B.Unfinished})
			continue
		}
		r.Functions = append(r.Functions, g)
	}
	rank := map[Verdict]int{Worse: 0, Better: 1, None: 2}
	slices.SortStableFunc(r.Functions, func(a, b Group) int {
		return cmp.Or(cmp.Compare(rank[a.Mean.Verdict], rank[b.Mean.Verdict]), cmp.Compare(b.A.Invocations+b.B.Invocations, a.A.Invocations+a.B.Invocations))
	})
	for _, p := range t.periods {
		var of []*counts
		for _, c := range p.functions {
			of = append(of, c)
		}
		c := total(of)
		r.Periods = append(r.Periods, Period{Round: p.round, Side: [2]string{"a", "b"}[p.side], Policy: r.Modes[p.side].Policy, BeginNS: uint64(p.begun), EndNS: uint64(p.end),
			Invocations: len(c.turnarounds), CPUNS: c.cpu, Settling: c.settling, Unfinished: c.unfinished, Lost: p.lost, LeftOut: p.left})
	}
}

// load is how the number of invocations and the CPU time in a counted period compare: a
// load that differs between A and B explains other turnarounds by itself.
func (t *tally) load() (invocations, cpu Change) {
	var n, used [2][]float64
	for _, r := range t.pairs() {
		for s, p := range r {
			var of []*counts
			for _, c := range p.functions {
				of = append(of, c)
			}
			c := total(of)
			seconds := p.end.Sub(p.begun.Add(t.settle)).Seconds()
			n[s] = append(n[s], float64(len(c.turnarounds))/seconds)
			used[s] = append(used[s], c.cpu.Seconds()/seconds)
		}
	}
	return changeOf(n[0], n[1]), changeOf(used[0], used[1])
}
