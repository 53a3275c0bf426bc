// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"math/bits"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat"
)

// Decision is what the policy wants for one function.
type Decision struct {
	UID string `json:"uid"`
	// Rank is ≥ 1, lower is sooner. Ranks are dense, and equal where SRPT made
	// no difference: then nothing is known about the order, and it is the kernel's.
	Rank int `json:"rank"`
	// Slice is how long the function may keep a CPU before its siblings are weighed; 0 is the
	// kernel's own slice.
	Slice time.Duration `json:"slice_ns"`

	MeanWait    time.Duration `json:"mean_wait_ns"`   // per invocation under SRPT
	MeanSlice   time.Duration `json:"mean_slice_ns"`  // of the on-CPU segments under SRPT
	StdevSlice  time.Duration `json:"stdev_slice_ns"` // of the segments, population
	Learnt      time.Duration `json:"learnt_ns"`      // the learner's slice, before tuning
	MeanCPU     time.Duration `json:"mean_cpu_ns"`    // per invocation, as measured
	N           int           `json:"n"`              // segments behind MeanSlice and StdevSlice
	Invocations int           `json:"invocations"`    // records that were simulated
	Age         int           `json:"age"`            // updates since those records; 0 is this window
}

// Policy turns windows into decisions. It is not safe for concurrent use.
type Policy struct {
	params Params
	known  map[string]*function

	// Kept from one update to the next for their memory only.
	forest   forest
	srpt     srpt
	xs       []float64
	all      []pick
	picks    []pick // those of all that are simulated
	jobs     []Job
	segments []segment // of all cores; job is an index into picks
	window   []*function
	ranked   []*function
}

// function is what is known of one function.
type function struct {
	Decision
	tuned  time.Duration // slice without regard to load
	former time.Duration // slice of the last update, after Monotone and before load; 0 the first time
	learnt float64

	// Of the current window.
	class  int32
	seen   bool
	cpu    total
	wait   total
	slices []float64
}

// New is a policy that knows no function yet. It fails where p.Validate does.
func New(p Params) (*Policy, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return &Policy{params: p, known: map[string]*function{}}, nil
}

// Params are those New was given.
func (p *Policy) Params() Params { return p.params }

// Forget drops what is known of a function that is gone for good.
func (p *Policy) Forget(uid string) { delete(p.known, uid) }

// Update learns from the records of one window and returns what it now wants
// of every function it knows, by rank, then UID.
//
// load is the CPU utilisation of the cores in percent; what lies outside
// [0, 100] counts as the nearer bound, and not a number as 0. cores below 1
// counts as 1. The order of the records does not matter, except that of two
// which arrived in the same nanosecond the earlier in the slice goes first.
// Records without a UID, without CPU time, or absurd (CPU time above an hour,
// arrival after 146 years) are left out, and so are all but the newest million.
func (p *Policy) Update(records []Record, load float64, cores int) []Decision {
	p.gather(records)
	p.simulate(records, max(cores, 1))
	for _, f := range p.window {
		p.conclude(f)
	}
	for uid, f := range p.known {
		f.seen = false
		f.Age++
		if f.Age > 0 && !p.params.Remember || f.Invocations == 0 {
			delete(p.known, uid)
		}
	}
	p.rank()
	return p.publish(p.params.pressure(load))
}

// gather fills all and window.
func (p *Policy) gather(records []Record) {
	p.all, p.window = p.all[:0], p.window[:0]
	for i, r := range records {
		if r.UID == "" || r.CPU <= 0 || r.CPU > maxCPU || r.Arrive > maxTime {
			continue
		}
		f := p.known[r.UID]
		if f == nil {
			f = &function{Decision: Decision{UID: r.UID}}
			p.known[r.UID] = f
		}
		if !f.seen {
			f.seen, f.class = true, int32(len(p.window))
			f.cpu, f.wait, f.slices = total{}, total{}, f.slices[:0]
			p.window = append(p.window, f)
		}
		f.cpu.add(r.CPU)
		p.all = append(p.all, pick{arrive: r.Arrive, record: int32(i), class: f.class})
	}
}

// simulate fills picks and the functions' waits and slices.
func (p *Policy) simulate(records []Record, cores int) {
	var lanes int
	p.picks, lanes = p.params.share(p.all, cores)
	machine := Machine{Cores: 1, Granularity: p.params.Granularity}
	if p.params.Share == ShareGlobal {
		machine.Cores = cores
	}
	p.segments = p.segments[:0]
	for lane := range min(lanes, len(p.picks)) {
		p.jobs = p.jobs[:0]
		for i, x := range p.picks {
			if x.core == int32(lane) {
				// The index stands in for the ID: picks are in the order of ties.
				p.jobs = append(p.jobs, Job{int64(i), x.arrive, p.burst(records[x.record], p.window[x.class])})
			}
		}
		if err := p.srpt.run(p.jobs, machine); err != nil {
			panic(err) // gather left out what could overflow
		}
		for i, j := range p.jobs {
			p.window[p.picks[j.ID].class].wait.add(p.srpt.wait(p.jobs, i))
		}
		// Ends are relative to the lane's first arrival.
		shift := int64(0)
		if len(p.jobs) > 0 {
			shift = int64(p.srpt.base.Sub(p.picks[0].arrive))
		}
		for _, t := range p.srpt.segments {
			p.segments = append(p.segments, segment{int32(p.jobs[t.job].ID), t.length, t.end + shift})
		}
	}
	if lanes > 1 && p.params.Learner != Average {
		slices.SortStableFunc(p.segments, func(a, b segment) int { return cmp.Compare(a.end, b.end) })
	}
	for _, t := range p.segments {
		f := p.window[p.picks[t.job].class]
		f.slices = append(f.slices, float64(t.length))
	}
}

func (p *Policy) burst(r Record, f *function) time.Duration {
	cpu := r.CPU
	if p.params.MeanBurst {
		cpu = f.cpu.mean()
	}
	if p.params.BurstFactor != 1 {
		cpu = whole(float64(cpu) * p.params.BurstFactor)
	}
	return min(max(cpu, 1), maxCPU)
}

// conclude learns from a function's waits and slices, unless none of its
// records was simulated.
func (p *Policy) conclude(f *function) {
	if f.wait.n == 0 {
		return
	}
	mean, stdev := stat.PopMeanStdDev(f.slices, nil)
	f.learnt = p.learn(f.slices, mean)
	f.MeanWait, f.MeanCPU = f.wait.mean(), f.cpu.mean()
	f.MeanSlice, f.StdevSlice, f.Learnt = whole(mean), whole(stdev), whole(f.learnt)
	f.N, f.Invocations, f.Age = len(f.slices), f.wait.n, -1
	f.tuned = p.params.tune(f.learnt, stdev)
	if s := p.params.Smoothing; s > 0 && f.former > 0 {
		f.tuned = whole((1-s)*float64(f.tuned) + s*float64(f.former))
	}
}

// rank fills ranked and the functions' ranks.
func (p *Policy) rank() {
	key := func(f *function) time.Duration { return f.MeanWait }
	if p.params.RankBy == BySlice {
		key = func(f *function) time.Duration { return f.Learnt }
	}
	p.ranked = p.ranked[:0]
	for _, f := range p.known {
		p.ranked = append(p.ranked, f)
	}
	slices.SortFunc(p.ranked, func(a, b *function) int {
		return cmp.Or(cmp.Compare(key(a), key(b)), cmp.Compare(a.UID, b.UID))
	})
	for i, f := range p.ranked {
		switch {
		case i == 0:
			f.Rank = 1
		case key(f) == key(p.ranked[i-1]):
			f.Rank = p.ranked[i-1].Rank
		default:
			f.Rank = p.ranked[i-1].Rank + 1
		}
	}
}

// publish gives the ranked functions their slices under the pressure.
func (p *Policy) publish(pressure float64) []Decision {
	out := make([]Decision, len(p.ranked))
	before := time.Duration(0)
	for i, f := range p.ranked {
		slice := f.tuned
		if p.params.Monotone && before > 0 {
			slice = min(slice, before)
		}
		before, f.former = slice, slice
		f.Slice = min(whole(pressure*float64(slice)), slice)
		out[i] = f.Decision
	}
	return out
}

// total is a sum of times that may pass 2⁶³ ns, and of how many.
type total struct {
	hi, lo uint64
	n      int
}

func (t *total) add(d time.Duration) {
	var carry uint64
	t.lo, carry = bits.Add64(t.lo, uint64(d), 0)
	t.hi += carry
	t.n++
}

// mean is rounded to the nearest nanosecond.
func (t *total) mean() time.Duration {
	lo, carry := bits.Add64(t.lo, uint64(t.n)/2, 0)
	q, _ := bits.Div64(t.hi+carry, lo, uint64(t.n))
	return time.Duration(q)
}
