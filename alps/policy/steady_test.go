// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// learnTable makes the table of one function from times drawn for it alone.
func learnTable(t testing.TB, p SteadyParams, n int, draw func(i int) time.Duration) *Table {
	s, err := NewSteady(p)
	require.NoError(t, err)
	for i := range n {
		s.Record("f", draw(i))
	}
	s.Update()
	return s.Table("f")
}

// alone has no memory to speak of and no pool: what is recorded is what counts.
func alone() SteadyParams {
	p := DefaultSteady()
	p.Prior, p.Memory = 0, 100_000
	return p
}

// quantiles are n times of a distribution by its inverse, evenly spread, so that
// the histogram is the distribution's and not a sample's.
func quantiles(n int, inverse func(u float64) float64) func(int) time.Duration {
	return func(i int) time.Duration { return time.Duration(inverse((float64(i) + 0.5) / float64(n))) }
}

func exponential(mean float64) func(u float64) float64 {
	return func(u float64) float64 { return -mean * math.Log(1-u) }
}

func pareto(lowest, shape float64) func(u float64) float64 {
	return func(u float64) float64 { return lowest * math.Pow(1-u, -1/shape) }
}

// Of an invocation that always takes as long the index is the remaining time,
// to the half percent that its position in a bucket is given, and the quantum is
// over when the invocation is.
func TestIndexOfDeterministicTimesIsTheRemainingTime(t *testing.T) {
	for _, d := range []time.Duration{3 * ms, 72500 * time.Microsecond, 329 * ms, 2040 * ms, time.Minute} {
		table := learnTable(t, alone(), 30, func(int) time.Duration { return d })
		for _, share := range []float64{0, 0.1, 0.5, 0.9, 0.99} {
			used := time.Duration(share * float64(d))
			require.InDelta(t, float64(max(d-used, MinIndex)), float64(table.Index(used)), 0.006*float64(d), "%v of %v", used, d)
			require.GreaterOrEqual(t, table.End(used), d)
			require.Less(t, table.End(used), d*9/8, "to a bucket's width")
		}
		require.Equal(t, 2*d, table.Index(2*d), "outlived: as long again")
	}
}

// What has been used says nothing of an exponential time: the index stays at
// the mean.
func TestIndexOfExponentialTimesIsConstant(t *testing.T) {
	const n, mean = 20_000, 100e6
	table := learnTable(t, alone(), n, quantiles(n, exponential(mean)))
	for used := time.Duration(0); used < 300*ms; used += ms {
		require.InEpsilon(t, mean, float64(table.Index(used)), 0.15, "%v", used)
	}
}

// The longer a Pareto time has lasted the longer it will last.
func TestIndexGrowsWithADecreasingHazard(t *testing.T) {
	const n = 20_000
	for _, shape := range []float64{1.3, 2, 3} {
		table := learnTable(t, alone(), n, quantiles(n, pareto(20e6, shape)))
		before := time.Duration(0)
		for used := 24 * ms; used < 500*ms; used = used * 3 / 2 {
			r := table.Index(used)
			require.Greater(t, r, before, "%v", used)
			require.InEpsilon(t, float64(used)/shape, float64(r), 0.45, "the inverse of the hazard at %v", used)
			before = r
		}
	}
}

// Two kinds in one function: the index takes the short ones first, and gives
// up at their end.
func TestIndexOfTwoKinds(t *testing.T) {
	table := learnTable(t, alone(), 100, func(i int) time.Duration {
		if i%10 == 0 {
			return time.Second
		}
		return 50 * ms
	})
	require.InEpsilon(t, 50e6/0.9, float64(table.Index(0)), 0.03)
	require.InDelta(t, 50, float64(table.End(0)/ms), 6)
	require.InEpsilon(t, 940e6, float64(table.Index(60*ms)), 0.03, "then it is a long one")
	require.InDelta(t, 1000, float64(table.End(60*ms)/ms), 120)
}

// randomTimes is any histogram there may be.
func randomTimes(rng *rand.Rand) func(int) time.Duration {
	kinds := 1 + rng.IntN(4)
	center, spread := make([]float64, kinds), make([]float64, kinds)
	for k := range center {
		center[k], spread[k] = 1e4*math.Exp(17*rng.Float64()), 2*rng.Float64()*rng.Float64()
	}
	return func(int) time.Duration {
		k := rng.IntN(kinds)
		return time.Duration(center[k]*math.Exp(spread[k]*rng.NormFloat64())) + 1
	}
}

func TestAnyHistogramGivesAnIndex(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		p := DefaultSteady()
		p.Memory, p.Prior = 2+100*rng.Float64(), 5*rng.Float64()
		s, err := NewSteady(p)
		require.NoError(t, err)
		for f := range 3 {
			draw := randomTimes(rng)
			for i := range rng.IntN(400) {
				s.Record(fmt.Sprint(f), draw(i))
			}
		}
		s.Update()
		for f := range 4 {
			table := s.Table(fmt.Sprint(f))
			require.LessOrEqual(t, len(table.Steps()), MaxSteps)
			for i, x := range table.Steps() {
				require.Equal(t, i == 0, x.From == 0)
				require.True(t, i == 0 || x.From >= table.Steps()[i-1].From)
				require.False(t, math.IsNaN(x.Slope) || math.IsInf(x.Slope, 0))
			}
			for _, used := range append([]time.Duration{-1, 0, 1, time.Hour, 1000 * time.Hour}, table.Seen()-1, table.Seen(), table.Seen()+1) {
				require.GreaterOrEqual(t, table.Index(used), MinIndex, "%v", used)
				require.Greater(t, table.End(used), used)
				require.Positive(t, p.Bias(table.Index(used)))
			}
			for used := time.Duration(1000); used < time.Hour; used = used * 6 / 5 {
				r := table.Index(used)
				require.GreaterOrEqual(t, r, MinIndex, "seed %d, %v", seed, used)
				require.LessOrEqual(t, r, max(2*table.Seen(), used, unknownIndex), "seed %d, %v", seed, used)
				require.Greater(t, table.End(used), used)
			}
		}
	}
}

// Times that are all twice as long have twice the index: to a bucket's width
// and what joining steps makes of it.
func TestIndexScales(t *testing.T) {
	for seed := range uint64(50) {
		for factor, within := range map[float64]float64{2: 0.2, 8: 0.2, 3: 0.2} {
			rng, same := rand.New(rand.NewPCG(seed, 2)), rand.New(rand.NewPCG(seed, 2))
			draw, again := randomTimes(rng), randomTimes(same)
			// Above the lowest bucket, and what is alike below a millisecond.
			base := func(d time.Duration) time.Duration { return d + 5*ms }
			a := learnTable(t, alone(), 200, func(i int) time.Duration { return base(draw(i)) })
			b := learnTable(t, alone(), 200, func(i int) time.Duration { return time.Duration(factor * float64(base(again(i)))) })
			if factor == 3 { // where quanta end may differ by a bucket
				require.InEpsilon(t, factor*float64(a.Index(0)), float64(b.Index(0)), within, "seed %d", seed)
				continue
			}
			for _, share := range []float64{0, 0.25, 0.5, 0.75, 0.95} {
				used := time.Duration(share * float64(a.Index(0)))
				x, y := a.Index(used), b.Index(time.Duration(factor*float64(used)))
				if x > 2*ms {
					require.InEpsilon(t, factor*float64(x), float64(y), within, "seed %d, %v", seed, used)
				}
			}
		}
	}
}

// Sixteen steps are near enough: for nearly all that invocations get to see the
// index is within half an octave, which is what a bias tells apart, of that of
// all pieces. The histograms are harder than any function's.
func TestStepsAreEnough(t *testing.T) {
	wide, seen := 0, 0
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 3))
		draw := randomTimes(rng)
		times := make([]time.Duration, 500)
		s, err := NewSteady(DefaultSteady())
		require.NoError(t, err)
		for i := range times {
			times[i] = draw(i) + ms
			s.Record("f", times[i])
		}
		s.Update()
		table := s.Table("f")
		n := s.builder.spread(&s.functions["f"].histogram, &s.pool, s.params.Prior)
		first := s.builder.cut(n)
		for _, d := range times[400:] {
			for _, share := range []float64{0, 0.2, 0.4, 0.6, 0.8} {
				used := share * float64(d)
				exact := 0.0
				for _, p := range s.builder.pieces[first:] {
					if p.from <= used && used < p.to {
						exact = p.first + (p.last-p.first)*(used-p.from)/(p.to-p.from)
					}
				}
				seen++
				if wrong(exact, float64(table.Index(time.Duration(used)))) > math.Sqrt2-1 { // half an octave

					wide++
				}
			}
		}
	}
	require.Less(t, float64(wide)/float64(seen), 0.07)
}

// Newer records count more, a function that changed is soon known as changed.
func TestMemory(t *testing.T) {
	s, err := NewSteady(DefaultSteady())
	require.NoError(t, err)
	for range 500 {
		s.Record("f", 500*ms)
	}
	s.Update()
	require.InEpsilon(t, 500e6, float64(s.Table("f").Index(0)), 0.05)
	for range 30 {
		s.Record("f", 20*ms)
	}
	s.Update()
	require.Less(t, s.Table("f").Index(0), 50*ms)
}

// A function without records has the index of all; with few it has both's.
func TestUnknownFunctionsAreLikeTheOthers(t *testing.T) {
	s, err := NewSteady(DefaultSteady())
	require.NoError(t, err)
	require.Equal(t, unknownIndex, s.Table("new").Index(0))
	for range 300 {
		s.Record("f", 100*ms)
	}
	require.Equal(t, unknownIndex, s.Table("f").Index(0), "not before the update")
	s.Update()
	require.InEpsilon(t, 100e6, float64(s.Table("new").Index(0)), 0.02)
	require.Equal(t, 300*ms, s.Table("new").Index(300*ms))
	s.Record("new", 800*ms)
	s.Update()
	require.Greater(t, s.Table("new").Index(110*ms), 600*ms)
	require.Equal(t, []string{"f", "new"}, s.Functions())
	s.Forget("new")
	require.Equal(t, []string{"f"}, s.Functions())
	s.Record("", ms)
	s.Record("f", 0)
	require.Equal(t, []string{"f"}, s.Functions())
}

func TestBiasOfAnIndex(t *testing.T) {
	p := DefaultSteady()
	for index, want := range map[time.Duration]time.Duration{
		0: time.Microsecond, ms: time.Microsecond, 1300 * time.Microsecond: time.Microsecond,
		1500 * time.Microsecond: 1500 * ms, 2 * ms: 3 * time.Second, 3 * ms: 4500 * ms, 1024 * ms: 30 * time.Second,
	} {
		require.Equal(t, want, p.Bias(index), "%v", index)
	}
}

func TestSteadyParams(t *testing.T) {
	require.NoError(t, DefaultSteady().Validate())
	for want, change := range map[string]func(*SteadyParams){
		"memory: 1 is outside [2, 1e+06]":           func(p *SteadyParams) { p.Memory = 1 },
		"memory: NaN is outside":                    func(p *SteadyParams) { p.Memory = math.NaN() },
		"pool_memory: 0 is outside":                 func(p *SteadyParams) { p.PoolMemory = 0 },
		"prior: -1 is outside [0, 1000]":            func(p *SteadyParams) { p.Prior = -1 },
		"period: 0s is outside [1ms, 24h0m0s]":      func(p *SteadyParams) { p.Period = 0 },
		"octave: 2m0s is outside [0s, 1m0s]":        func(p *SteadyParams) { p.Octave = 2 * time.Minute },
		"floor: 0s is outside [1µs, 1m0s]":          func(p *SteadyParams) { p.Floor = 0 },
		"group_slice: 11s is outside [1ms, 10s]":    func(p *SteadyParams) { p.GroupSlice = 11 * time.Second },
		"guard_wait: 0s is outside":                 func(p *SteadyParams) { p.GuardWait = 0 },
		"guard_slice: 0s is outside [1ms, 10s]":     func(p *SteadyParams) { p.GuardSlice = 0 },
		"guard_every: 0s is outside [1ms, 24h0m0s]": func(p *SteadyParams) { p.GuardEvery = 0 },
	} {
		p := DefaultSteady()
		change(&p)
		require.ErrorContains(t, p.Validate(), "steady: "+want)
		_, err := NewSteady(p)
		require.Error(t, err)
	}
	text, err := json.Marshal(DefaultSteady())
	require.NoError(t, err)
	var back SteadyParams
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, DefaultSteady(), back)
	require.NoError(t, json.Unmarshal([]byte(`{"octave": "1s", "prior": 2}`), &back))
	want := DefaultSteady()
	want.Octave, want.Prior = time.Second, 2
	require.Equal(t, want, back)
	require.ErrorContains(t, json.Unmarshal([]byte(`{"octaves": "1s"}`), &back), `read steady parameters: json: unknown field "octaves"`)
	require.Equal(t, want, back, "nothing changes")
}

// What is kept of each function, in user space, fits into a page.
func TestSteadyIsSmall(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(learnt{}), uintptr(4096))
}

// steadyLoad has the records of fifteen functions, of which one is asked for.
func steadyLoad(b *testing.B) (*Steady, []Record) {
	s, err := NewSteady(DefaultSteady())
	require.NoError(b, err)
	records := mix(5000)
	for _, r := range records {
		s.Record(r.UID, r.CPU)
	}
	s.Update()
	return s, records
}

func BenchmarkSteadyRecord(b *testing.B) {
	s, records := steadyLoad(b)
	i := 0
	for b.Loop() {
		s.Record(records[i%4096].UID, records[i%4096].CPU)
		i++
	}
}

func BenchmarkSteadyTable(b *testing.B) {
	s, _ := steadyLoad(b)
	f := s.functions["3"]
	for b.Loop() {
		s.builder.build(&f.table, &f.histogram, &s.pool, 1)
	}
	b.ReportMetric(float64(f.table.n), "steps")
}

// BenchmarkSteadyLookup is an index.
func BenchmarkSteadyLookup(b *testing.B) {
	s, records := steadyLoad(b)
	t := s.Table("3")
	i := 0
	for b.Loop() {
		t.Index(records[i%4096].CPU / 2)
		i++
	}
}

// The steps of a table of short functions, whose pieces can be shorter than 1 ns, begin one
// after the other, and each quantum ends after its step's begin.
func TestStepsAreApart(t *testing.T) {
	y, err := NewSteady(DefaultSteady())
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 20_000 {
		uid := string(rune('a' + i%4))
		y.Record(uid, time.Duration(60e3+20e3*r.NormFloat64()))
		y.Update()
		steps := y.Table(uid).Steps()
		for j, s := range steps {
			require.Greater(t, s.End, s.From, "record %d, step %d", i, j)
			require.True(t, j == 0 || s.From > steps[j-1].From, "record %d, step %d: %+v", i, j, s)
		}
	}
}
