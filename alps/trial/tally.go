// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"time"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/internal/clock"
)

// side is one of the two modes that are compared: 0 is A, 1 is B.
type side int

// order is the sides of a round, counted from 1, in the order in which they come: A B,
// B A, A B and so on. What drifts steadily meanwhile, such as the load of a morning, then
// adds to both sides alike over two rounds.
func order(round int) [2]side {
	if round%2 == 1 {
		return [2]side{0, 1}
	}
	return [2]side{1, 0}
}

// tally assigns invocations to periods. It is told the times of periods as they pass,
// and invocations in any order. It is not safe for use at the same time.
type tally struct {
	settle  time.Duration
	periods []*period
	names   map[string]string // of functions, by uid
	between []client.Event    // arrived after the newest period's end: of the next, if there will be one
}

// period is a stretch of time under one mode: from the end of the one before, when the
// daemon is asked to switch, to its own end.
type period struct {
	round int // from 1
	side  side
	from  clock.KTime // the end of the period before
	begun clock.KTime // the mode counts; 0: not yet
	end   clock.KTime // 0: it goes on
	left  string      // why it is not counted; "": it is
	lost  client.Lost

	functions map[string]*counts // by uid
}

// counts are a function's invocations in one period.
type counts struct {
	turnarounds []time.Duration // of those that arrived after the settle time and ended in the period
	cpu, wait   time.Duration   // sums of these; wait as client.Event.WaitNS
	busy        int             // of these, those that are busy periods
	settling    int             // arrived in the settle time
	unfinished  int             // arrived after it, and ended after the period
}

// next begins a period where the one before has ended; the first begins at at.
func (t *tally) next(round int, s side, at clock.KTime) *period {
	if n := len(t.periods); n > 0 {
		at = t.periods[n-1].end
	}
	p := &period{round: round, side: s, from: at, functions: map[string]*counts{}}
	t.periods = append(t.periods, p)
	between := t.between
	t.between = nil
	for _, e := range between {
		t.add(e)
	}
	return p
}

// of is a function's counts.
func (p *period) of(uid string) *counts {
	c := p.functions[uid]
	if c == nil {
		c = &counts{}
		p.functions[uid] = c
	}
	return c
}

// add takes one invocation. The end of a period that has one is later than that of all
// invocations that were added before the end was set.
func (t *tally) add(e client.Event) {
	arrive, end := clock.KTime(e.ArriveNS), clock.KTime(e.EndNS)
	i := len(t.periods) - 1
	for i >= 0 && arrive < t.periods[i].from {
		i--
	}
	if i < 0 {
		return // before the trial
	}
	p := t.periods[i]
	if p.end > 0 && arrive >= p.end {
		t.between = append(t.between, e)
		return
	}
	t.names[e.UID] = e.Function
	c := p.of(e.UID)
	switch {
	case p.begun == 0 || arrive < p.begun.Add(t.settle):
		c.settling++
	case p.end > 0 && end > p.end:
		c.unfinished++
	default:
		c.turnarounds = append(c.turnarounds, end.Sub(arrive))
		c.cpu += time.Duration(e.CPUNS)
		c.wait += time.Duration(e.WaitNS)
		if e.Busy {
			c.busy++
		}
	}
}

// total is the counts of several functions or periods together. Its turnarounds are in
// no order.
func total(all []*counts) *counts {
	var sum counts
	for _, c := range all {
		sum.turnarounds = append(sum.turnarounds, c.turnarounds...)
		sum.cpu += c.cpu
		sum.wait += c.wait
		sum.busy += c.busy
		sum.settling += c.settling
		sum.unfinished += c.unfinished
	}
	return &sum
}

// seen is how many invocations of the period are known so far, counted or not.
func (p *period) seen() (n int) {
	for _, c := range p.functions {
		n += len(c.turnarounds) + c.settling + c.unfinished
	}
	return n
}
