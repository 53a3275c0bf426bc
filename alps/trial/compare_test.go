// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/internal/clock"
)

const second = clock.KTime(time.Second)

// event is one of the function f that lasted so long from a time on.
func event(arrive clock.KTime, long time.Duration) client.Event {
	return client.Event{UID: "f", Function: "fib", ArriveNS: uint64(arrive), EndNS: uint64(arrive.Add(long)), CPUNS: 1000, WaitNS: 10}
}

// An invocation belongs to the period in which it arrived, and counts if it arrived after
// the settle time and ended in the period. All others that arrived since the trial's begin are
// numbers, too.
func TestInvocationsBelongToPeriods(t *testing.T) {
	y := tally{settle: 5 * time.Second, names: map[string]string{}}
	y.add(event(99*second, time.Second)) // before the trial
	a := y.next(1, 0, 100*second)
	y.add(event(101*second, time.Second)) // before the mode counts
	a.begun = 102 * second
	y.add(event(107*second-1, 1)) // the last that settles
	y.add(event(107*second, 1))   // the first that counts
	a.end = 120 * second
	y.add(event(119*second, time.Second))     // it ended with the period
	y.add(event(119*second, time.Second+1))   // it did not
	y.add(event(103*second, time.Minute))     // it settles, whenever it ends
	y.add(event(120*second, time.Nanosecond)) // while nobody knows whether there is a next period
	require.Len(t, y.between, 1)
	b := y.next(1, 1, 0)
	require.Equal(t, a.end, b.from, "periods have no gaps")
	require.Empty(t, y.between)
	b.begun = 121 * second
	busy := event(130*second, 3*time.Second)
	busy.Busy = true
	y.add(busy)
	y.add(event(119*second+1, 5*time.Second)) // reported in the next period
	b.end = 140 * second
	require.Equal(t, &counts{turnarounds: []time.Duration{1, time.Second}, cpu: 2000, wait: 20, settling: 3, unfinished: 2}, a.functions["f"])
	require.Equal(t, &counts{turnarounds: []time.Duration{3 * time.Second}, cpu: 1000, wait: 10, settling: 1, busy: 1}, b.functions["f"])
	require.Equal(t, map[string]string{"f": "fib"}, y.names)
	require.Equal(t, 7, a.seen())
}

func TestOrder(t *testing.T) {
	require.Equal(t, [][2]side{{0, 1}, {1, 0}, {0, 1}}, [][2]side{order(1), order(2), order(3)})
}

// The interval is that of Student's paired test on the logarithms; the values are those of
// any table of the distribution.
func TestChangeOf(t *testing.T) {
	// ln ratios ln 0.5 and ln 0.5: no deviation.
	require.Equal(t, Better, changeOf([]float64{2, 4}, []float64{1, 2}).Verdict)
	require.InDelta(t, -50, changeOf([]float64{2, 4}, []float64{1, 2}).Hi, 1e-9)
	// Six rounds with ln ratios 0.1 ± 0.05: t(5) = 2.571, deviation 0.05 √(6/5).
	var a, b []float64
	for i := range 6 {
		a = append(a, float64(i+1))
		b = append(b, float64(i+1)*math.Exp(0.1+0.05*float64(1-2*(i%2))))
	}
	c := changeOf(a, b)
	half := 2.5706 * 0.05 * math.Sqrt(6./5) / math.Sqrt(6)
	require.Equal(t, 6, c.Rounds)
	require.InDelta(t, 100*(math.Exp(0.1)-1), c.Percent, 1e-9)
	require.InDelta(t, 100*(math.Exp(0.1-half)-1), c.Lo, 1e-3)
	require.InDelta(t, 100*(math.Exp(0.1+half)-1), c.Hi, 1e-3)
	require.Equal(t, Worse, c.Verdict)
	// Two rounds: t(1) = 12.706, so a doubling and a quadrupling show nothing.
	c = changeOf([]float64{1, 1}, []float64{2, 4})
	require.Equal(t, None, c.Verdict)
	require.InDelta(t, 1.5*math.Ln2+12.7062*math.Ln2/2, math.Log1p(c.Hi/100), 1e-3)
	// A round without a value is none, and one round shows nothing.
	require.Equal(t, Change{Rounds: 1, Verdict: TooFew}, changeOf([]float64{0, 1}, []float64{1, 2}))
	require.Equal(t, Change{Verdict: TooFew}, changeOf(nil, nil))
	require.Equal(t, None, changeOf([]float64{1, 1}, []float64{1, 1}).Verdict)
}

// Where nothing differs, about one verdict in 20 says that something does, whatever the
// number of rounds, and though rounds differ much from each other.
func TestVerdictsByChance(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for _, rounds := range []int{2, 3, 6} {
		wrong := 0
		const trials = 4000
		for range trials {
			var a, b []float64
			for range rounds {
				drift := math.Exp(rng.NormFloat64())
				a = append(a, drift*math.Exp(0.1*rng.NormFloat64()))
				b = append(b, drift*math.Exp(0.1*rng.NormFloat64()))
			}
			if changeOf(a, b).Verdict != None {
				wrong++
			}
		}
		require.InDelta(t, 0.05, float64(wrong)/trials, 0.011, "%d rounds", rounds) // three standard errors
	}
}

// rounds is a tally of n rounds, with an invocation of these turnarounds every 100 ms of a
// period.
func rounds(n, invocations int, turnarounds [2]time.Duration) *tally {
	y := &tally{names: map[string]string{}}
	at := 100 * second
	for r := range n {
		for _, s := range order(r + 1) {
			p := y.next(r+1, s, at)
			p.begun = p.from
			p.end = p.from.Add(10 * time.Second)
			for i := range invocations {
				y.add(event(p.from.Add(time.Duration(i)*time.Millisecond), turnarounds[s]+time.Duration(r)))
			}
		}
	}
	return y
}

func TestHowManyInvocationsAVerdictNeeds(t *testing.T) {
	for _, c := range []struct {
		invocations int
		mean, p99   Verdict
		shown       bool // a P99 of all rounds together
	}{
		{9, TooFew, TooFew, false}, {10, Better, TooFewP99, false}, {66, Better, TooFewP99, false}, {67, Better, TooFewP99, true},
		{199, Better, TooFewP99, true}, {200, Better, Better, true},
	} {
		g := rounds(3, c.invocations, [2]time.Duration{time.Second, time.Second / 2}).group([]string{"f"})
		require.Equal(t, []Verdict{c.mean, c.p99}, []Verdict{g.Mean.Verdict, g.P99.Verdict}, c)
		require.Equal(t, c.shown, g.A.P99NS > 0, c)
		require.Equal(t, 3*c.invocations, g.A.Invocations)
	}
	var r Report
	rounds(2, 3, [2]time.Duration{1, 1}).compare(&r, map[string]string{"f": "fib", "silent": "s"})
	require.Equal(t, []Other{{UID: "f", Name: "fib", A: 6, B: 6}, {UID: "silent", Name: "s"}}, r.Others)
	require.Empty(t, r.Functions)
}

// A round counts if both periods do.
func TestPairs(t *testing.T) {
	y := rounds(3, 20, [2]time.Duration{1000, 2000})
	y.periods[2].left = "why"
	require.Len(t, y.pairs(), 2)
	for _, p := range y.pairs() {
		require.Equal(t, []side{0, 1}, []side{p[0].side, p[1].side})
	}
	g := y.group([]string{"f"})
	require.Equal(t, 40, g.A.Invocations)
	require.Equal(t, 2, g.Mean.Rounds)
}
