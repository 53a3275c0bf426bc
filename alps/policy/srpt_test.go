// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/clock"
)

func jobs(pairs ...int64) []Job {
	var js []Job
	for i := 0; i < len(pairs); i += 2 {
		js = append(js, Job{int64(i / 2), clock.KTime(pairs[i]), time.Duration(pairs[i+1])})
	}
	return js
}

func TestSRPT(t *testing.T) {
	type got struct {
		wait   time.Duration
		slices []time.Duration
	}
	for _, c := range []struct {
		name    string
		jobs    []Job // arrive, burst
		machine Machine
		want    []got
	}{
		{"alone", jobs(5, 7), Machine{}, []got{{0, []time.Duration{7}}}},
		{"preempted at arrival", jobs(0, 10, 3, 2), Machine{}, []got{{2, []time.Duration{3, 7}}, {0, []time.Duration{2}}}},
		{"equal remaining is not shorter", jobs(0, 10, 3, 7), Machine{}, []got{{0, []time.Duration{10}}, {7, []time.Duration{7}}}},
		{"protected by the granularity, preempted when it ends", jobs(0, 10, 3, 2), Machine{Granularity: 5},
			[]got{{2, []time.Duration{5, 5}}, {2, []time.Duration{2}}}},
		{"shorter than the newcomer by then", jobs(0, 10, 3, 5), Machine{Granularity: 5}, []got{{0, []time.Duration{10}}, {7, []time.Duration{5}}}},
		{"the granularity begins anew with each segment", jobs(0, 20, 5, 8, 6, 1), Machine{Granularity: 5},
			[]got{{9, []time.Duration{5, 15}}, {1, []time.Duration{5, 3}}, {4, []time.Duration{1}}}},
		{"tie by arrival", jobs(0, 4, 2, 3, 1, 3), Machine{}, []got{{0, []time.Duration{4}}, {5, []time.Duration{3}}, {3, []time.Duration{3}}}},
		{"tie by id", []Job{{9, 0, 3}, {2, 0, 3}}, Machine{}, []got{{3, []time.Duration{3}}, {0, []time.Duration{3}}}},
		{"no burst displaces nobody", jobs(0, 4, 2, 0), Machine{}, []got{{0, []time.Duration{4}}, {0, []time.Duration{}}}},
		{"no burst waits for the granularity", jobs(0, 9, 2, 0), Machine{Granularity: 5}, []got{{0, []time.Duration{9}}, {3, []time.Duration{}}}},
		{"a freed core is filled before anyone is preempted", jobs(0, 3, 0, 9, 3, 2), Machine{Cores: 2},
			[]got{{0, []time.Duration{3}}, {0, []time.Duration{9}}, {0, []time.Duration{2}}}},
		{"the longest yields, and moves to the core freed first", jobs(0, 5, 0, 9, 1, 2), Machine{Cores: 2},
			[]got{{0, []time.Duration{5}}, {2, []time.Duration{1, 8}}, {0, []time.Duration{2}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := SRPT(c.jobs, c.machine)
			require.NoError(t, err)
			for i, o := range out {
				require.Equal(t, c.want[i], got{o.Wait, o.Slices}, "job %d", i)
			}
		})
	}
}

func TestSRPTRefuses(t *testing.T) {
	for _, c := range []struct {
		jobs    []Job
		machine Machine
		want    string
	}{
		{jobs(0, -1), Machine{}, "simulate SRPT: job 0: burst -1ns is negative"},
		{nil, Machine{Cores: -1}, "simulate SRPT: cores: -1 is negative"},
		{nil, Machine{Granularity: -1}, "simulate SRPT: granularity: -1ns is negative"},
		{jobs(0, math.MaxInt64/2, 0, math.MaxInt64/2+1), Machine{}, "simulate SRPT: job 1: time passes 2⁶³ ns"},
		{[]Job{{0, 0, 1}, {1, math.MaxUint64, 1}}, Machine{}, "simulate SRPT: job 1: time passes 2⁶³ ns"},
		{jobs(0, 1), Machine{Granularity: math.MaxInt64}, "simulate SRPT: job 0: time passes 2⁶³ ns"},
	} {
		_, err := SRPT(c.jobs, c.machine)
		require.EqualError(t, err, c.want)
	}
	// Late is not long.
	out, err := SRPT([]Job{{0, math.MaxUint64 - 10, 5}}, Machine{})
	require.NoError(t, err)
	require.Equal(t, clock.KTime(math.MaxUint64-5), out[0].End)
}

// tick is SRPT as its documentation says it, one nanosecond after the other,
// with nothing remembered between two of them but who runs since when.
func tick(js []Job, m Machine) []Outcome {
	type state struct {
		left    time.Duration
		core    int // -1: not running
		since   clock.KTime
		arrived bool
		done    bool
	}
	cores := max(m.Cores, 1)
	st := make([]state, len(js))
	out := make([]Outcome, len(js))
	before := func(a, b int) bool { // in the queue's order
		return cmp.Or(cmp.Compare(st[a].left, st[b].left), cmp.Compare(js[a].Arrive, js[b].Arrive), cmp.Compare(js[a].ID, js[b].ID)) < 0
	}
	for i := range st {
		st[i].core, st[i].left = -1, js[i].Burst
		out[i].Slices = []time.Duration{}
	}
	finish := func(i int, now clock.KTime) {
		st[i].done, st[i].core = true, -1
		out[i].End = now
		out[i].Wait = now.Sub(js[i].Arrive) - js[i].Burst
	}
	for now, left := clock.KTime(0), len(js); left > 0; now++ {
		for i := range st {
			if st[i].core >= 0 && st[i].left == 0 {
				out[i].Slices = append(out[i].Slices, now.Sub(st[i].since))
				finish(i, now)
				left--
			}
			st[i].arrived = js[i].Arrive <= now
		}
		for {
			first, victim := -1, -1
			used := make([]bool, cores)
			for i := range st {
				s := st[i]
				switch {
				case s.done || !s.arrived:
				case s.core >= 0:
					used[s.core] = true
				case first < 0 || before(i, first):
					first = i
				}
			}
			if first < 0 {
				break
			}
			core := slices.Index(used, false)
			if core < 0 {
				for i, s := range st {
					if s.core >= 0 && now.Sub(s.since) >= m.Granularity && s.left > st[first].left && (victim < 0 || before(victim, i)) {
						victim = i
					}
				}
				if victim < 0 {
					break
				}
				core = st[victim].core
			}
			if js[first].Burst == 0 {
				finish(first, now)
				left--
				continue
			}
			if victim >= 0 {
				out[victim].Slices = append(out[victim].Slices, now.Sub(st[victim].since))
				st[victim].core = -1
			}
			st[first].core, st[first].since = core, now
		}
		for i := range st {
			if st[i].core >= 0 {
				st[i].left--
			}
		}
	}
	return out
}

// small makes a little random instance with many coincidences.
func small(rng *rand.Rand) ([]Job, Machine) {
	n := 1 + rng.IntN(12)
	span, longest := 1+rng.IntN(40), 1+rng.IntN(20)
	js := make([]Job, n)
	for i, id := range rng.Perm(n) {
		js[i] = Job{int64(id), clock.KTime(rng.IntN(span)), time.Duration(rng.IntN(longest + 1))}
	}
	return js, Machine{Cores: rng.IntN(4), Granularity: time.Duration(rng.IntN(3) * rng.IntN(6))}
}

func TestSRPTAgreesWithTicks(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 30_000 {
		js, m := small(rng)
		want := tick(js, m)
		got, err := SRPT(js, m)
		require.NoError(t, err)
		require.Equal(t, want, got, "round %d: %+v on %+v", round, js, m)
	}
}

// load makes n jobs with heavy-tailed bursts that keep the cores busy for
// about the share rho of the time.
func load(rng *rand.Rand, n, cores int, rho float64) []Job {
	js := make([]Job, n)
	now, mean := 0.0, 0.0
	for i := range js {
		burst := 50e6 * math.Exp(rng.NormFloat64()) // mean 82 ms
		mean += burst / float64(n)
		js[i] = Job{int64(i), 0, time.Duration(burst)}
	}
	for i := range js {
		now += rng.ExpFloat64() * mean / float64(cores) / rho
		js[i].Arrive = clock.KTime(now)
	}
	return js
}

// fifo is the mean wait under first come, first served, on cores.
func fifo(js []Job, cores int) float64 {
	free := make([]clock.KTime, cores)
	sum := 0.0
	for _, j := range js { // in order of arrival
		slices.Sort(free)
		start := max(free[0], j.Arrive)
		free[0] = start.Add(j.Burst)
		sum += float64(start.Sub(j.Arrive))
	}
	return sum / float64(len(js))
}

func TestSRPTProperties(t *testing.T) {
	for _, c := range []struct {
		cores int
		gran  time.Duration
	}{{1, 0}, {1, 8 * time.Millisecond}, {1, time.Hour}, {3, 0}, {24, 8 * time.Millisecond}} {
		t.Run(fmt.Sprint(c.cores, c.gran), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(3, uint64(c.cores)))
			for range 20 {
				js := load(rng, 400, c.cores, 0.5+rng.Float64())
				out, err := SRPT(js, Machine{c.cores, c.gran})
				require.NoError(t, err)
				sum := 0.0
				var s srpt
				require.NoError(t, s.run(js, Machine{c.cores, c.gran}))
				for i, o := range out {
					served := time.Duration(0)
					for k, l := range o.Slices {
						require.Positive(t, l)
						require.True(t, k == len(o.Slices)-1 || l >= c.gran, "a segment of %v was preempted within %v", l, c.gran)
						served += l
					}
					require.Equal(t, js[i].Burst, served)
					require.GreaterOrEqual(t, o.Wait, time.Duration(0))
					require.Equal(t, js[i].Arrive.Add(js[i].Burst+o.Wait), o.End)
					sum += float64(o.Wait)
				}
				conserves(t, js, &s, c.cores)
				mean := sum / float64(len(js))
				if c.gran == 0 && c.cores == 1 {
					require.LessOrEqual(t, mean, fifo(js, c.cores)*(1+1e-9))
				}
				if c.gran == time.Hour && c.cores == 1 { // then it is shortest job first
					for i, o := range out {
						require.Len(t, o.Slices, 1, "job %d", i)
					}
				}
			}
		})
	}
}

// conserves checks that at every moment as many cores are busy as there are
// jobs to serve, or all.
func conserves(t *testing.T, js []Job, s *srpt, cores int) {
	type event struct {
		at         int64
		busy, jobs int
	}
	var events []event
	for i, j := range js {
		at := int64(j.Arrive.Sub(s.base))
		events = append(events, event{at, 0, 1}, event{s.end[i], 0, -1})
	}
	for _, x := range s.segments {
		events = append(events, event{x.end - x.length, 1, 0}, event{x.end, -1, 0})
	}
	slices.SortFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	busy, present := 0, 0
	for i, e := range events {
		busy += e.busy
		present += e.jobs
		if i+1 < len(events) && events[i+1].at == e.at {
			continue
		}
		require.Equal(t, min(present, cores), busy, "at %d ns", e.at)
	}
}

// SRPT's order of service is optimal: no other way to serve one core gives a
// smaller mean, checked against all non-preemptive orders of few jobs.
func TestSRPTIsOptimalOnOneCore(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for range 300 {
		js, _ := small(rng)
		js = js[:min(len(js), 6)]
		out, err := SRPT(js, Machine{})
		require.NoError(t, err)
		got := time.Duration(0)
		for _, o := range out {
			got += o.Wait
		}
		var try func(order []int, left []int)
		try = func(order, left []int) {
			if len(left) == 0 {
				now, sum := clock.KTime(0), time.Duration(0)
				for _, i := range order {
					now = max(now, js[i].Arrive)
					sum += now.Sub(js[i].Arrive)
					now = now.Add(js[i].Burst)
				}
				require.LessOrEqual(t, got, sum)
			}
			for k := range left {
				rest := slices.Delete(slices.Clone(left), k, k+1)
				try(append(slices.Clone(order), left[k]), rest)
			}
		}
		all := make([]int, len(js))
		for i := range all {
			all[i] = i
		}
		try(nil, all)
	}
}

func TestSRPTReusesItsMemory(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	var used srpt
	for range 200 {
		js, m := small(rng)
		require.NoError(t, used.run(js, m))
		var fresh srpt
		require.NoError(t, fresh.run(js, m))
		require.True(t, slices.Equal(fresh.segments, used.segments))
		require.Equal(t, fresh.end, used.end)
	}
}
