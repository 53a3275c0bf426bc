// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"time"
)

// SteadyParams are the knobs of Steady. Begin with DefaultSteady and change what
// you mean to change; the zero SteadyParams is not valid. docs/policy.md says what
// each does.
type SteadyParams struct {
	Memory     float64       // records: a new one multiplies the weight of its function's older ones by 1 − 1/Memory
	PoolMemory float64       // likewise of the pool, to which functions give their first, second, fourth, … record
	Prior      float64       // weight of the pool in a function's histogram, in records
	Period     time.Duration // how often to make the tables anew

	Octave time.Duration // bias for each doubling of the index above Floor
	Floor  time.Duration // up to this index there is no bias

	GroupSlice time.Duration // time slice of a function
	GuardWait  time.Duration // the last of a CPU's functions, having waited so long, goes first for one time slice,
	GuardSlice time.Duration // of this length,
	GuardEvery time.Duration // at most so often on a CPU
}

// DefaultSteady has the values that were chosen by simulation, once for all
// workloads, loads and machines.
func DefaultSteady() SteadyParams {
	return SteadyParams{
		Memory: 50, PoolMemory: 2000, Prior: 0.3, Period: time.Second,
		Octave: 3 * time.Second, Floor: time.Millisecond,
		GroupSlice: 10 * time.Millisecond,
		GuardWait:  500 * time.Millisecond, GuardSlice: 25 * time.Millisecond, GuardEvery: 250 * time.Millisecond,
	}
}

// Validate says what is wrong with p: every field at once.
func (p SteadyParams) Validate() error {
	var errs []error
	number := func(name string, v, lo, hi float64) {
		if !(v >= lo && v <= hi) { // false for NaN
			errs = append(errs, fmt.Errorf("steady: %s: %v is outside [%v, %v]", name, v, lo, hi))
		}
	}
	length := func(name string, d, lo, hi time.Duration) {
		if d < lo || d > hi {
			errs = append(errs, fmt.Errorf("steady: %s: %v is outside [%v, %v]", name, d, lo, hi))
		}
	}
	number("memory", p.Memory, 2, maxRecords)
	number("pool_memory", p.PoolMemory, 2, maxRecords)
	number("prior", p.Prior, 0, 1000)
	length("period", p.Period, time.Millisecond, maxLength)
	length("octave", p.Octave, 0, time.Minute)
	length("floor", p.Floor, time.Microsecond, time.Minute)
	length("group_slice", p.GroupSlice, time.Millisecond, 10*time.Second)
	length("guard_wait", p.GuardWait, time.Millisecond, maxLength)
	length("guard_slice", p.GuardSlice, time.Millisecond, 10*time.Second)
	length("guard_every", p.GuardEvery, time.Millisecond, maxLength)
	return errors.Join(errs...)
}

// Bias is by how much a function yields whose next invocation has an index: at
// least a microsecond, for 0 would be no opinion. It goes by half octaves, so that
// functions that are alike share the CPU by arrival.
//
// It is reckoned in integers, as BPF does, in whole microseconds.
func (p SteadyParams) Bias(index time.Duration) time.Duration {
	if index <= p.Floor {
		return time.Microsecond
	}
	const one = 16 // bits of the ratio's fraction
	ratio := uint64(min(index, longestIndex)) << one / uint64(p.Floor)
	log := bits.Len64(ratio) - 1
	halves := 2 * (log - one)
	if mantissa := ratio >> (log - one); mantissa*mantissa >= 2<<(2*one) { // in [1, 2)
		halves++
	}
	us := uint64(halves) * uint64(p.Octave/time.Microsecond) / 2
	return max(time.Duration(us)*time.Microsecond, time.Microsecond)
}

// longestIndex is the largest index that a bias follows, 39 hours: shifted, it
// still fits into 64 bits.
const longestIndex = 1<<47 - 1

// Steady learns how long functions take, and makes tables of it. It is not safe
// for concurrent use.
type Steady struct {
	params    SteadyParams
	grow      float64 // 1 / (1 − 1/Memory)
	poolGrow  float64
	functions map[string]*learnt
	pool      histogram
	unknown   Table // of a function without records: the pool's
	builder   builder
}

// learnt is what is known of one function.
type learnt struct {
	histogram histogram
	table     Table
	records   uint64
	changed   bool // since the table was made
}

// NewSteady is a Steady without records. It fails where p.Validate does.
func NewSteady(p SteadyParams) (*Steady, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return &Steady{params: p, grow: 1 / (1 - 1/p.Memory), poolGrow: 1 / (1 - 1/p.PoolMemory), functions: map[string]*learnt{}}, nil
}

// Params are those NewSteady was given.
func (s *Steady) Params() SteadyParams { return s.params }

// Record takes an invocation that has ended, in the order of the ends. One
// without a UID or without CPU time is left out.
func (s *Steady) Record(uid string, cpu time.Duration) {
	if uid == "" || cpu <= 0 {
		return
	}
	f := s.functions[uid]
	if f == nil {
		f = &learnt{}
		s.functions[uid] = f
	}
	b := bucketOf(float64(cpu))
	position := positionIn(b, float64(cpu))
	f.histogram.add(b, position, s.grow)
	f.changed = true
	// The first, second, fourth, … record: the pool is what functions are like, not
	// what those are like that are called all the time.
	if f.records++; f.records&(f.records-1) == 0 {
		s.pool.add(b, position, s.poolGrow)
	}
}

// Update makes the tables of those functions anew that have new records.
func (s *Steady) Update() {
	s.builder.build(&s.unknown, nil, &s.pool, 1)
	for _, f := range s.functions {
		if f.changed {
			f.changed = false
			s.builder.build(&f.table, &f.histogram, &s.pool, s.params.Prior)
		}
	}
}

// Table is a function's, as of the last Update; that of the pool for one without
// records then. It is valid until the next Update.
func (s *Steady) Table(uid string) *Table {
	if f := s.functions[uid]; f != nil && f.table.n > 0 {
		return &f.table
	}
	return &s.unknown
}

// Functions are those with records, sorted.
func (s *Steady) Functions() []string { return slices.Sorted(maps.Keys(s.functions)) }

// Records is how many records of a function there were.
func (s *Steady) Records(uid string) uint64 {
	if f := s.functions[uid]; f != nil {
		return f.records
	}
	return 0
}

// Forget drops what is known of a function that is gone for good. Its records
// stay in the pool.
func (s *Steady) Forget(uid string) { delete(s.functions, uid) }
