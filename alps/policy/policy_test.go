// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/clock"
)

const ms = time.Millisecond

func policyOf(t *testing.T, p Params) *Policy {
	policy, err := New(p)
	require.NoError(t, err)
	return policy
}

// rec is an invocation of uid that arrived at and used cpu, both in ms.
func rec(uid string, at, cpu int) Record {
	arrive := clock.KTime(time.Duration(at) * ms)
	return Record{UID: uid, Arrive: arrive, End: arrive.Add(time.Duration(cpu) * ms), CPU: time.Duration(cpu) * ms}
}

// crowd is a window in which long is preempted twice and mid waits once:
//
//	long 0-10 | short 10-15 | long 15-20 | mid 20-40 | long 40-125
var crowd = []Record{rec("long", 0, 100), rec("short", 10, 5), rec("mid", 20, 20)}

func TestUpdate(t *testing.T) {
	p := policyOf(t, Paper())
	stdev := time.Duration(math.Round(math.Sqrt((math.Pow(10-100./3, 2) + math.Pow(5-100./3, 2) + math.Pow(85-100./3, 2)) / 3 * 1e12)))
	mean := 33333333 * time.Nanosecond
	want := []Decision{
		{UID: "mid", Rank: 1, Slice: 40 * ms, MeanSlice: 20 * ms, Learnt: 20 * ms, MeanCPU: 20 * ms, N: 1, Invocations: 1},
		{UID: "short", Rank: 1, Slice: 10 * ms, MeanSlice: 5 * ms, Learnt: 5 * ms, MeanCPU: 5 * ms, N: 1, Invocations: 1},
		{
			UID: "long", Rank: 2, Slice: time.Duration(math.Round(2*100./3*1e6 - float64(stdev))), MeanWait: 25 * ms,
			MeanSlice: mean, StdevSlice: stdev, Learnt: mean, MeanCPU: 100 * ms, N: 3, Invocations: 1,
		},
	}
	slices.SortFunc(want, func(a, b Decision) int { return a.Rank - b.Rank })
	got := p.Update(crowd, 40, 1)
	require.InDelta(t, want[2].Slice, got[2].Slice, 1)
	require.InDelta(t, want[2].StdevSlice, got[2].StdevSlice, 1)
	want[2].Slice, want[2].StdevSlice = got[2].Slice, got[2].StdevSlice
	require.Equal(t, want, got)
}

func TestUpdateDoesNotDependOnOrderOfRecords(t *testing.T) {
	for _, params := range []Params{Paper(), Artifact()} {
		for l := range Learner(len(learnerNames)) {
			params.Learner = l
			records := mix(500)
			want := policyOf(t, params).Update(records, 85, 3)
			require.NotEmpty(t, want)
			rand.New(rand.NewPCG(1, 1)).Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
			p := policyOf(t, params)
			p.params.Smoothing = 0 // the second update smooths with the first
			require.Equal(t, want, p.Update(records, 85, 3), "%v", l)
			require.Equal(t, want, p.Update(records, 85, 3), "%v", l)
		}
	}
}

func TestTuning(t *testing.T) {
	// A function whose slices are 30 and 10 ms: mean 20, stdev 10.
	records := []Record{rec("f", 0, 30), rec("f", 100, 10)}
	slice := func(load float64, change func(*Params)) time.Duration {
		params := Paper()
		change(&params)
		return policyOf(t, params).Update(records, load, 1)[0].Slice
	}
	for _, c := range []struct {
		name   string
		load   float64
		change func(*Params)
		want   time.Duration
	}{
		{"defaults", 0, func(p *Params) {}, 30 * ms},
		{"alpha", 0, func(p *Params) { p.Alpha = 5 }, 90 * ms},
		{"beta", 0, func(p *Params) { p.Beta = .5 }, 35 * ms},
		{"the spread outweighs the mean", 0, func(p *Params) { p.Beta = 4 }, 0},
		{"unpredictability off", 0, func(p *Params) { p.Unpredictability = false }, 20 * ms},
		{"below theta", 49.9, func(p *Params) { p.Gamma = 2 }, 30 * ms},
		{"at theta", 50, func(p *Params) { p.Gamma = 2 }, 15 * ms},
		{"above theta", 90, func(p *Params) {}, 18 * ms},
		{"above theta, gamma", 90, func(p *Params) { p.Gamma = 2 }, 9 * ms},
		{"never grows", 60, func(p *Params) { p.Gamma = .1 }, 30 * ms},
		{"overload off", 90, func(p *Params) { p.Overload = false }, 30 * ms},
		{"more than full is full", 150, func(p *Params) {}, 15 * ms},
		{"not a number", math.NaN(), func(p *Params) {}, 30 * ms},
		{"no load, from theta on", 0, func(p *Params) { p.Theta, p.Gamma = 0, 2 }, 15 * ms},
		{"not a number is no load", math.NaN(), func(p *Params) { p.Theta, p.Gamma = 0, 2 }, 15 * ms},
		{"below 0 is no load", -1, func(p *Params) { p.Theta, p.Gamma = 0, 2 }, 15 * ms},
		{"both off", 90, func(p *Params) { p.Overload, p.Unpredictability = false, false }, 20 * ms},
		{"cap is on alpha × learnt", 0, func(p *Params) { p.SliceCap = 25 * ms }, 15 * ms},
		{"cap without tuning", 0, func(p *Params) { p.SliceCap, p.Unpredictability = 15*ms, false }, 15 * ms},
		{"burst factor", 0, func(p *Params) { p.BurstFactor = .5 }, 15 * ms},
		{"mean burst", 0, func(p *Params) { p.MeanBurst = true }, 40 * ms},
	} {
		require.Equal(t, c.want, slice(c.load, c.change), c.name)
	}
}

func TestRanks(t *testing.T) {
	ranks := func(ds []Decision) map[string]int {
		m := map[string]int{}
		for _, d := range ds {
			m[d.UID] = d.Rank
		}
		return m
	}
	// By wait short and mid never waited; by slice they differ, and long's
	// slices of 10, 5 and 85 ms average more than both.
	require.Equal(t, map[string]int{"short": 1, "mid": 1, "long": 2}, ranks(policyOf(t, Paper()).Update(crowd, 0, 1)))
	params := Paper()
	params.RankBy = BySlice
	require.Equal(t, map[string]int{"short": 1, "mid": 2, "long": 3}, ranks(policyOf(t, params).Update(crowd, 0, 1)))
	// On as many cores as invocations nobody waits: one rank.
	params.RankBy, params.Share = ByWait, ShareGlobal
	require.Equal(t, map[string]int{"short": 1, "mid": 1, "long": 1}, ranks(policyOf(t, params).Update(crowd, 0, 3)))
}

func TestRemember(t *testing.T) {
	p := policyOf(t, Paper())
	first := p.Update(crowd, 0, 1)
	again := p.Update([]Record{rec("short", 500, 5)}, 90, 1)
	require.Len(t, again, 3)
	for _, d := range again {
		i := slices.IndexFunc(first, func(o Decision) bool { return o.UID == d.UID })
		require.Equal(t, first[i].Rank, d.Rank)
		require.Equal(t, time.Duration(math.Round(0.6*float64(first[i].Slice))), d.Slice, "load counts for the remembered too")
		if d.UID == "short" {
			require.Zero(t, d.Age)
		} else {
			require.Equal(t, 1, d.Age)
		}
	}
	require.Len(t, p.Update(nil, 0, 1), 3)
	p.Forget("mid")
	require.Len(t, p.Update(nil, 0, 1), 2)

	params := Paper()
	params.Remember = false
	p = policyOf(t, params)
	require.Len(t, p.Update(crowd, 0, 1), 3)
	require.Len(t, p.Update(crowd[:1], 0, 1), 1)
	require.Empty(t, p.Update(nil, 0, 1))
}

func TestMonotoneAndSmoothing(t *testing.T) {
	// Slices 10, 50 and 20 ms; nobody waits.
	records := []Record{rec("a", 0, 10), rec("b", 100, 50), rec("c", 200, 20)}
	params := Paper()
	params.Alpha, params.RankBy = 1, BySlice
	params.Monotone = true
	for _, d := range policyOf(t, params).Update(records, 0, 1) {
		require.Equal(t, 10*ms, d.Slice, d.UID)
	}
	// By slice: a, then u (mean 20, stdev 10: beta 2 leaves 0), then b. A slice
	// of 0 is no slice, and caps nothing.
	params.Beta = 2
	ds := policyOf(t, params).Update([]Record{rec("a", 0, 10), rec("u", 100, 10), rec("u", 200, 30), rec("b", 300, 50)}, 0, 1)
	require.Equal(t, []time.Duration{10 * ms, 0, 50 * ms}, []time.Duration{ds[0].Slice, ds[1].Slice, ds[2].Slice})

	params.Monotone, params.Smoothing = false, 0.3
	p := policyOf(t, params)
	require.Equal(t, 10*ms, p.Update([]Record{rec("a", 0, 10)}, 90, 1)[0].Slice*10/6, "load is no part of what is smoothed")
	require.Equal(t, 17*ms, p.Update([]Record{rec("a", 0, 20)}, 0, 1)[0].Slice)
	require.Equal(t, (14+5.1)*1e6, float64(p.Update([]Record{rec("a", 0, 20)}, 0, 1)[0].Slice))
}

func TestShares(t *testing.T) {
	records := mix(1000)
	count := func(change func(*Params), cores int) (n int) {
		params := Paper()
		change(&params)
		for _, d := range policyOf(t, params).Update(records, 0, cores) {
			n += d.Invocations
		}
		return n
	}
	require.Equal(t, 1000, count(func(p *Params) {}, 24))
	require.Equal(t, 1000, count(func(p *Params) { p.Share = ShareGlobal }, 24))
	require.Equal(t, 42, count(func(p *Params) { p.Share = ShareSample }, 24))
	require.Equal(t, 1000, count(func(p *Params) { p.Share = ShareSample }, 0))
	require.Equal(t, 1, count(func(p *Params) { p.Share = ShareSample }, 5000))
	require.Equal(t, 100, count(func(p *Params) { p.Records = 100 }, 24))
	require.Equal(t, 100, count(func(p *Params) { p.Share, p.Records = ShareSample, 100 }, 2))
	require.Equal(t, 42, count(func(p *Params) { p.Share, p.Records = ShareSample, 100 }, 24))

	// Each core is simulated apart: 24 evenly loaded cores look like one, but for the
	// seed.
	wait := func(share Share, seed uint64, cores int, rs []Record) (sum time.Duration) {
		params := Paper()
		params.Share, params.Seed = share, seed
		for _, d := range policyOf(t, params).Update(rs, 0, cores) {
			sum += d.MeanWait * time.Duration(d.Invocations) / 1000
		}
		return sum
	}
	machine := slices.Clone(records)
	for i := range machine {
		machine[i].Arrive /= 24
	}
	global, dealt := wait(ShareGlobal, 1, 24, machine), wait(ShareDeal, 1, 24, machine)
	require.Greater(t, dealt, 2*global)
	require.NotEqual(t, dealt, wait(ShareDeal, 2, 24, machine))
	require.Equal(t, dealt, wait(ShareDeal, 1, 24, machine))
}

// Of the records, the newest by arrival are kept.
func TestRecordLimit(t *testing.T) {
	params := Paper()
	params.Records = 2
	ds := policyOf(t, params).Update(crowd, 0, 1)
	require.Len(t, ds, 2)
	for _, d := range ds {
		require.NotEqual(t, "long", d.UID)
	}
}

func TestUpdateLeavesOutTheAbsurd(t *testing.T) {
	bad := []Record{
		{UID: "", Arrive: 1, CPU: 1},
		{UID: "x", CPU: 0},
		{UID: "x", CPU: -1},
		{UID: "x", CPU: math.MaxInt64},
		{UID: "x", CPU: 1, Arrive: math.MaxUint64},
	}
	require.Empty(t, policyOf(t, Paper()).Update(bad, 0, 1))
	require.Equal(t, policyOf(t, Paper()).Update(crowd, 0, 1), policyOf(t, Paper()).Update(append(bad, crowd...), 0, 1))
	// As long and as many as they may be, they fit.
	long := make([]Record, 2000)
	for i := range long {
		long[i] = Record{UID: "f", Arrive: maxTime * clock.KTime(i%2), CPU: maxCPU}
	}
	params := Paper()
	params.BurstFactor = maxFactor
	ds := policyOf(t, params).Update(long, 0, 1)
	// 1,000 arrive together, each an hour: the k-th waits k hours.
	require.Equal(t, 999*time.Hour/2, ds[0].MeanWait)
}

func TestUpdateIsDeterministic(t *testing.T) {
	for l := range Learner(len(learnerNames)) {
		params := Artifact()
		params.Learner, params.Smoothing = l, 0.3
		var before []byte
		for range 3 {
			p := policyOf(t, params)
			p.Update(mix(700), 50, 4)
			p.Update(mix(300), 80, 4)
			text, err := json.Marshal(p.Update(mix(900), 90, 4))
			require.NoError(t, err)
			require.True(t, before == nil || string(before) == string(text))
			before = text
		}
	}
}

func TestWindow(t *testing.T) {
	uids := func(rs []Record) (s string) {
		for _, r := range rs {
			s += r.UID
		}
		return s
	}
	w := Window{Length: 100}
	for _, r := range []Record{{UID: "c", End: 30}, {UID: "a", End: 10}, {UID: "b", End: 20}, {UID: "e", End: 130}, {UID: "d", End: 120}} {
		w.Add(r)
	}
	require.Equal(t, "abcde", uids(w.Records(100)))
	require.Equal(t, "bcde", uids(w.Records(110)))
	require.Equal(t, "de", uids(w.Records(130)))
	w.Add(Record{UID: "f", End: 125})
	require.Equal(t, "dfe", uids(w.Records(1)))
	w.Clear()
	require.Empty(t, w.Records(1))

	w = Window{Limit: 3}
	for i := range 10 {
		w.Add(Record{UID: fmt.Sprint(i), End: clock.KTime(i)})
		require.LessOrEqual(t, len(w.records), 6)
	}
	require.Equal(t, "789", uids(w.Records(0)))
}

// FuzzUpdate: whatever the records, decisions are sane and the same again.
func FuzzUpdate(f *testing.F) {
	f.Add(uint64(1), uint16(50), 85.0, 2, uint8(0))
	f.Add(uint64(9), uint16(3), math.Inf(1), -1, uint8(255))
	f.Fuzz(func(t *testing.T, seed uint64, n uint16, load float64, cores int, mode uint8) {
		rng := rand.New(rand.NewPCG(seed, 0))
		records := make([]Record, n%300)
		for i := range records {
			records[i] = Record{
				UID: fmt.Sprint(rng.IntN(6)), Arrive: clock.KTime(rng.Uint64() >> rng.IntN(64)),
				CPU: time.Duration(rng.Uint64() >> rng.IntN(64)), End: clock.KTime(rng.Uint64()),
			}
		}
		params := Paper()
		if mode&1 != 0 {
			params = Artifact()
		}
		params.Learner = Learner(mode >> 1 & 3)
		params.Share = Share(mode >> 3 & 3 % 3)
		params.Remember = mode&32 != 0
		params.Seed = seed
		one, two := policyOf(t, params), policyOf(t, params)
		cores = max(min(cores, 64), -64)
		for range 2 {
			ds := one.Update(records, load, cores)
			require.Equal(t, ds, two.Update(records, load, cores))
			for i, d := range ds {
				require.True(t, i == 0 && d.Rank == 1 || i > 0 && (d.Rank == ds[i-1].Rank || d.Rank == ds[i-1].Rank+1))
				require.GreaterOrEqual(t, d.Slice, time.Duration(0))
				require.Positive(t, d.N)
				require.Positive(t, d.MeanCPU)
				require.GreaterOrEqual(t, d.Learnt, time.Duration(0))
				require.GreaterOrEqual(t, d.MeanWait, time.Duration(0))
			}
		}
	})
}

// Slices reach the learner in the order of time, whichever core they are of.
func TestSlicesOfSeveralCoresAreInOrderOfTime(t *testing.T) {
	var records []Record
	for i := range 20 {
		records = append(records, rec("f", 1000*i, 10+i))
	}
	params := Paper()
	params.Learner = LinearRegression
	ds := policyOf(t, params).Update(records, 0, 4)
	require.Equal(t, 30*ms, ds[0].Learnt)
}

func TestLeastBurstIsANanosecond(t *testing.T) {
	params := Paper()
	params.BurstFactor = 0.1
	d := policyOf(t, params).Update([]Record{{UID: "f", CPU: 1}}, 0, 1)[0]
	require.Equal(t, time.Duration(1), d.MeanSlice)
	require.Equal(t, 1, d.N)
}

func TestMeansAreRounded(t *testing.T) {
	var sum total
	for _, d := range []time.Duration{math.MaxInt64, math.MaxInt64 - 1, math.MaxInt64 - 1, math.MaxInt64 - 1} {
		sum.add(d)
	}
	require.Equal(t, time.Duration(math.MaxInt64-1), sum.mean()) // …¾
	sum.add(math.MaxInt64)
	sum.add(math.MaxInt64)
	require.Equal(t, time.Duration(math.MaxInt64), sum.mean()) // …½
}
