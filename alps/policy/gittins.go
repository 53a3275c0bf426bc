// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"math"
	"time"
)

// MaxSteps is how many steps a table has at most.
const MaxSteps = 16

// MinIndex is the least index: an invocation that is about to end is worth no more.
const MinIndex = 100 * time.Microsecond

// Step is a piece of a table: for CPU times from From on, up to the next step's.
type Step struct {
	From  time.Duration // CPU time used
	Index time.Duration // there
	Slope float64       // by how much the index grows per CPU time used; −1 where it is the remaining time
	End   time.Duration // CPU time used when the quantum that the index assumes is over
}

// Table says of one function what an invocation is worth that has used some CPU
// time: its Gittins index, which is the least, over all quanta, of the CPU time
// expected in the quantum per probability of ending in it. An invocation of a
// lower index goes first. For CPU times that are always alike it is the
// remaining time; Gittins (1989) and Aalto, Ayesta and Righter (2009) show that
// this order has the least mean turnaround on one core.
//
// The zero Table is that of a function about which nothing is known, not even
// what others take.
type Table struct {
	n     int
	steps [MaxSteps]Step
	end   time.Duration // of all that was seen
}

// Steps are the table's, by From; the first is from 0. The caller must not
// change them.
func (t *Table) Steps() []Step { return t.steps[:t.n] }

// Seen is the CPU time that no recorded invocation has outlived, to the width of
// a bucket.
func (t *Table) Seen() time.Duration { return t.end }

// unknownIndex is that of functions when nothing at all is known.
const unknownIndex = 50 * time.Millisecond

// Index is that of an invocation that has used so much CPU time, at least MinIndex. An
// invocation that has outlived all that was seen is expected to take as long again.
func (t *Table) Index(used time.Duration) time.Duration {
	switch {
	case used >= t.end:
		if t.n == 0 {
			return max(used, unknownIndex)
		}
		return max(used, MinIndex)
	case used < 0:
		used = 0
	}
	s := t.at(used)
	return max(s.Index+time.Duration(float64(used-s.From)*s.Slope), MinIndex)
}

// End is the CPU time used at which the quantum of an invocation ends that has
// used so much: until there it should keep the CPU, then it is weighed anew. It
// is above used.
func (t *Table) End(used time.Duration) time.Duration {
	if used >= t.end {
		return 2*used + BeyondQuantum
	}
	return max(t.at(max(used, 0)).End, used+1)
}

// BeyondQuantum keeps the quanta of invocations that have outlived all that was
// seen longer than switching costs.
const BeyondQuantum = 4 * time.Millisecond

// at is the step for a CPU time below t.end.
func (t *Table) at(used time.Duration) *Step {
	i := 0
	for half := MaxSteps / 2; half > 0; half /= 2 { // from 0, where the first step is
		if j := i + half; j < t.n && t.steps[j].From <= used {
			i = j
		}
	}
	return &t.steps[i]
}

// builder makes tables. It keeps its memory from one to the next.
type builder struct {
	mass   [histogramBuckets]mass
	hull   [histogramBuckets]int32
	pieces [2 * histogramBuckets]piece
}

// mass is the probability of one bucket, spread evenly from lo to hi.
type mass struct {
	p, lo, hi float64
	end       float64 // of the bucket
	atLo      float64 // E[min(S, lo)]
	atHi      float64 // E[min(S, hi)]
	before    float64 // probability of the buckets before
	after     float64 // probability of outliving hi
}

// piece is a step before there are few enough.
type piece struct {
	from, to    float64
	first, last float64 // index at from, and just before to
	end         float64
	survive     float64 // probability of getting there
	wrong       float64 // by how much joining has made the index wrong
	cost        float64 // of joining it with the next
	next        int32   // -1: none
}

// negligible is a weight, in records, that is left out.
const negligible = 1e-4

// build makes the table of own records and prior records of the pool. Either
// histogram may be nil or empty; without own the pool counts alone.
func (b *builder) build(t *Table, own, pool *histogram, prior float64) {
	*t = Table{}
	n := b.spread(own, pool, prior)
	if n == 0 {
		return
	}
	b.reduce(t, b.cut(n))
	t.end = time.Duration(b.mass[n-1].hi)
}

// spread fills mass and says how many there are.
func (b *builder) spread(own, pool *histogram, prior float64) int {
	ownUnit, poolUnit := 0.0, 0.0
	if own != nil && own.unit > 0 {
		ownUnit = 1 / own.unit
	} else {
		prior = 1
	}
	if pool != nil && pool.total > 0 {
		poolUnit = prior / pool.total
	}
	n, total := 0, 0.0
	for i := range histogramBuckets {
		var weight, position, square float64
		if ownUnit > 0 {
			x := &own.buckets[i]
			weight, position, square = ownUnit*float64(x.weight), ownUnit*float64(x.position), ownUnit*float64(x.square)
		}
		if poolUnit > 0 {
			x := &pool.buckets[i]
			weight, position, square = weight+poolUnit*float64(x.weight), position+poolUnit*float64(x.position), square+poolUnit*float64(x.square)
		}
		if weight <= negligible {
			continue
		}
		from, to := bucketRange(i)
		position /= weight
		spread := math.Sqrt(max(square/weight-position*position, 0))
		mean := from + position*(to-from)
		// Two standard deviations to either side hold nearly all, and of an even
		// spread all; a little more than nothing holds what is always alike.
		half := 2*spread*(to-from) + mean/200
		b.mass[n] = mass{p: weight, lo: max(mean-half, from), hi: min(mean+half, to), end: to}
		n++
		total += weight
	}
	before, at, done := 0.0, 0.0, 0.0
	for i := range n {
		m := &b.mass[i]
		m.p /= total
		alive := max(1-before, 0)
		m.before = before
		before += m.p
		m.after = max(1-before, 0)
		if i == n-1 {
			m.after = 0
		}
		m.atLo = at + alive*(m.lo-done)
		m.atHi = m.atLo + (alive+m.after)/2*(m.hi-m.lo)
		at, done = m.atHi, m.hi
	}
	return n
}

// cut makes the pieces: the index between the buckets' masses, and within them.
// Seen as a curve of E[min(S, D)] over P(S ≤ D), the index is the slope of the
// flattest line from where the invocation is to a later point, so the lower
// hull of the later points has it.
func (b *builder) cut(n int) (pieces int) {
	pieces = len(b.pieces)
	add := func(p piece) {
		if p.to > p.from {
			pieces--
			b.pieces[pieces] = p
		}
	}
	top := -1 // of the hull, leftmost
	for i := n - 1; i >= 0; i-- {
		m := &b.mass[i]
		// Within the mass: flattest from its beginning, then from its end. There,
		// what is left of the mass itself ends at its own rate.
		past := math.Inf(1)
		for top >= 0 {
			past = b.slope(m.before+m.p, m.atHi, b.hull[top])
			if top == 0 || past <= b.slope(m.before+m.p, m.atHi, b.hull[top-1]) {
				break
			}
			top-- // above the line between its neighbours
		}
		past = min(past, m.after*(m.hi-m.lo)/m.p)
		top++
		b.hull[top] = int32(i)
		index, end := b.flattest(m.before, m.atLo, top)
		add(piece{from: m.lo, to: m.hi, first: index, last: past, end: end, survive: 1 - m.before})
		done, at := 0.0, 0.0
		if i > 0 {
			done, at = b.mass[i-1].hi, b.mass[i-1].atHi
		}
		first, end := b.flattest(m.before, at, top)
		add(piece{from: done, to: m.lo, first: first, last: index, end: end, survive: 1 - m.before})
	}
	return pieces
}

// slope is that of the line from (p, at) to the end of mass j.
func (b *builder) slope(p, at float64, j int32) float64 {
	m := &b.mass[j]
	return (m.atHi - at) / (m.before + m.p - p)
}

// flattest is the least slope from (p, at) to the hull, and the end of the
// bucket that it leads to.
func (b *builder) flattest(p, at float64, top int) (slope, end float64) {
	slope = b.slope(p, at, b.hull[top])
	for top > 0 {
		next := b.slope(p, at, b.hull[top-1])
		if next > slope {
			break
		}
		slope = next
		top--
	}
	return slope, b.mass[b.hull[top]].end
}

// reduce joins neighbouring pieces, those first where it changes the index least and
// fewest invocations get there, until they fit, and makes them the table's steps.
func (b *builder) reduce(t *Table, first int) {
	last := len(b.pieces) - 1
	left := last - first + 1
	for i := first; i <= last; i++ {
		b.pieces[i].next = int32(i + 1)
	}
	b.pieces[last].next = -1
	for i := first; i < last; i++ {
		b.price(&b.pieces[i])
	}
	for ; left > MaxSteps; left-- {
		best, before := int32(-1), int32(-1)
		prev := int32(-1)
		for i := int32(first); b.pieces[i].next >= 0; i = b.pieces[i].next {
			if best < 0 || b.pieces[i].cost < b.pieces[best].cost {
				best, before = i, prev
			}
			prev = i
		}
		x := &b.pieces[best]
		y := &b.pieces[x.next]
		x.wrong = joined(x, y)
		// A quantum that ended within ends with the whole.
		x.to, x.last, x.end, x.next = y.to, y.last, max(x.end, y.to), y.next
		if x.next >= 0 {
			b.price(x)
		}
		if before >= 0 {
			b.price(&b.pieces[before])
		}
	}
	for i := int32(first); i >= 0; i = b.pieces[i].next {
		p := &b.pieces[i]
		from := time.Duration(math.Round(p.from))
		if t.n > 0 && t.steps[t.n-1].From == from {
			t.n-- // in whole ns the piece before is empty
		}
		t.steps[t.n] = Step{From: from, Index: time.Duration(max(math.Round(p.first), 1)), Slope: (p.last - p.first) / (p.to - p.from), End: max(time.Duration(math.Round(p.end)), from+1)}
		t.n++
	}
}

// price is what joining p with the next would cost: by how much the index would
// be wrong, times a weight that grows with the probability of getting there.
func (b *builder) price(p *piece) {
	y := &b.pieces[p.next]
	p.cost = joined(p, y) * (y.survive + rareShare)
}

// joined is by how much the index of both as one would be wrong: where they meet,
// and what either is wrong already.
func joined(x, y *piece) float64 {
	met := x.first + (y.last-x.first)*(x.to-x.from)/(y.to-x.from)
	return wrong(met, x.last) + wrong(met, y.first) + max(x.wrong, y.wrong)
}

// rareShare is the weight of a piece that nearly no invocation gets to.
const rareShare = 0.02

// wrong is by what fraction a and b differ; below a millisecond all are alike.
func wrong(a, b float64) float64 {
	a, b = max(a, float64(time.Millisecond)), max(b, float64(time.Millisecond))
	return max(a/b, b/a) - 1
}
