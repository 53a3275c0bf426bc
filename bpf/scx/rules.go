// SPDX-License-Identifier: Apache-2.0

package scx

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/ds2-lab/alps/bpf"
)

// Order is how an index becomes a bias: half of Octave for each factor of √2 above
// Floor, at most Most.
type Order struct {
	Octave time.Duration // 0: 1 s
	Floor  time.Duration // 0: 1 ms
	Most   time.Duration // 0, or above it: MaxBias
}

// Bias is what the programs make of an index.
func (o Order) Bias(index time.Duration) time.Duration {
	o = o.filled()
	if index <= o.Floor {
		return 0
	}
	times := min(uint64(index)<<8/uint64(o.Floor), 1<<31-1)
	halves := -16
	for v := times * times; v > 1; v >>= 1 {
		halves++
	}
	return min(time.Duration(halves)*(o.Octave/2), o.Most)
}

func (o Order) filled() Order {
	o.Octave, o.Floor = cmp.Or(o.Octave, time.Second), cmp.Or(o.Floor, time.Millisecond)
	if o.Most <= 0 || o.Most > MaxBias {
		o.Most = MaxBias
	}
	return o
}

// SetOrder changes how invocations are sorted that are queued from now on.
func (s *Scheduler) SetOrder(o Order) error {
	o = o.filled()
	return errors.Join(s.word("half_octave_ns", uint64(o.Octave/2)), s.word("floor_ns", uint64(o.Floor)), s.word("most_bias_ns", uint64(o.Most)))
}

// Step is a piece of a Rule: for CPU times used from From on, up to the next step's.
type Step struct {
	From  time.Duration
	Index time.Duration // there: what SetOrder's Order makes a bias of
	Slope int64         // by how much the index grows per CPU time used, in 1/2^SlopeBits
	End   time.Duration // CPU time used when the invocation is weighed anew
}

// Rule says what the invocations of a function are worth: by Steps, at most
// MaxSteps, the first from 0; or, without steps, all the same.
type Rule struct {
	Steps []Step
	Seen  time.Duration // CPU time from which on an invocation is worth what it has used

	Bias  time.Duration // without steps
	Slice time.Duration // CPU time between two looks at an invocation; 0: 10 ms

	// LateBias, if not 0, is the bias of invocations that have used Slice: SFS.
	LateBias time.Duration
}

// SlopeBits is how many bits of a slope are its fraction.
const SlopeBits = 20

// Check says what of a rule the scheduler cannot carry out.
func (r Rule) Check() error {
	switch {
	case len(r.Steps) > MaxSteps:
		return fmt.Errorf("%d steps: at most %d", len(r.Steps), MaxSteps)
	case len(r.Steps) > 0 && r.Steps[0].From != 0:
		return fmt.Errorf("the first step is from %s: want 0", r.Steps[0].From)
	case r.LateBias < 0 || r.LateBias > 0 && (r.Slice == 0 || r.LateBias < r.Bias):
		return fmt.Errorf("late bias %s: a slice and a smaller bias are needed", r.LateBias)
	case r.Bias < 0 || r.Slice < 0 || r.Slice > MaxSlice:
		return fmt.Errorf("bias %s, slice %s: allowed: bias from 0, slice 0 to %s", r.Bias, r.Slice, MaxSlice)
	}
	for i, s := range r.Steps {
		if s.From < 0 || s.Index < 0 || s.End <= s.From || i > 0 && s.From <= r.Steps[i-1].From {
			return fmt.Errorf("step %d, %+v: want an increasing From, and an End above it", i, s)
		}
	}
	return nil
}

// The programs' own; a test compares them.
type step struct {
	From, Index, End uint64
	Slope            int64
}

type rule struct {
	Generation, Seen, Bias, Slice, Late uint64
	Steps, _                            uint32
	Step                                [MaxSteps]step
}

func (r Rule) value(generation uint64) rule {
	v := rule{Generation: generation, Seen: uint64(r.Seen), Bias: uint64(r.Bias), Slice: uint64(r.Slice), Late: uint64(r.LateBias), Steps: uint32(len(r.Steps))}
	for i, s := range r.Steps {
		v.Step[i] = step{From: uint64(s.From), Index: uint64(s.Index), End: uint64(s.End), Slope: s.Slope}
	}
	return v
}

// SetRules makes rules those of the functions, all at once, and unknown that of
// functions without one. What is refused changes nothing.
func (s *Scheduler) SetRules(rules map[bpf.CgroupID]Rule, unknown Rule) error {
	if err := unknown.Check(); err != nil {
		return fmt.Errorf("rule of unknown functions: %w", err)
	}
	for id, r := range rules {
		if err := r.Check(); err != nil {
			return fmt.Errorf("rule of cgroup %d: %w", id, err)
		}
		if _, ok := s.slots[id]; !ok {
			return fmt.Errorf("rule of cgroup %d: it is no function: register it first", id)
		}
	}
	next := s.set + 1
	errs := []error{s.putRule(next, 0, unknown.value(next))}
	for id, r := range rules {
		errs = append(errs, s.putRule(next, s.slots[id], r.value(next)))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("write the rules of functions: %w", err)
	}
	s.set = next
	return s.word("policy", next)
}

// putRule writes what a slot has in the half of a generation.
func (s *Scheduler) putRule(generation uint64, slot uint32, r rule) error {
	raw, err := binary.Append(nil, binary.LittleEndian, r)
	if err == nil {
		at := int64(generation&1)*MaxFunctions + int64(slot)
		_, err = s.rules.WriteAt(raw, at*int64(unsafe.Sizeof(rule{})))
	}
	return err
}

// SetFunctions makes the cgroups of functions, and all below them, functions:
// what is forked there is an invocation. Pools are cgroups that hold nothing
// else: tasks in them that are no known function's go by SetRules' unknown, and
// the pool's weight is the functions'. Of functions outside pools each one's own
// weight counts. A set that is too large changes nothing; if the kernel fails in the
// middle, what was added is removed again.
func (s *Scheduler) SetFunctions(functions, pools []bpf.Function) (err error) {
	want := map[bpf.CgroupID]bool{}
	for _, f := range functions {
		want[f.ID] = true
	}
	if len(want) >= MaxFunctions {
		return fmt.Errorf("%d functions: at most %d", len(want), MaxFunctions-1)
	}
	wantPool := map[bpf.CgroupID]bool{}
	for _, p := range pools {
		wantPool[p.ID] = !want[p.ID]
	}
	changed := false
	var added []bpf.CgroupID
	defer func() {
		if err != nil {
			for _, id := range added {
				err = errors.Join(err, s.forget(id))
			}
		}
		if changed {
			s.epoch++
			err = errors.Join(err, s.word("functions_epoch", s.epoch))
		}
	}()
	used := map[uint32]bool{0: true}
	for id, slot := range s.slots {
		if want[id] {
			used[slot] = true
			continue
		}
		changed = true
		if err := s.forget(id); err != nil {
			return err
		}
	}
	for id := range s.pools {
		if wantPool[id] {
			continue
		}
		changed = true
		if err := s.forget(id); err != nil {
			return err
		}
	}
	var slot uint32
	for id := range want {
		if _, ok := s.slots[id]; ok {
			continue
		}
		for used[slot] {
			slot++
		}
		used[slot], changed = true, true
		err := s.putRule(s.set, slot, rule{}) // it may have a former function's
		if err == nil {
			err = s.coll.Maps["functions"].Put(uint64(id), slot)
		}
		if err != nil {
			return fmt.Errorf("function cgroup %d: %w", id, err)
		}
		s.slots[id], added = slot, append(added, id)
	}
	for _, p := range pools {
		if !wantPool[p.ID] || s.pools[p.ID] {
			continue
		}
		changed = true
		if err := s.coll.Maps["functions"].Put(uint64(p.ID), uint32(0)); err != nil {
			return fmt.Errorf("pool %s: %w", p.Cgroup, err)
		}
		s.pools[p.ID], added = true, append(added, p.ID)
	}
	return s.setRoots(rootsOf(functions, pools))
}

// forget makes a cgroup neither a function nor a pool.
func (s *Scheduler) forget(id bpf.CgroupID) error {
	if err := s.coll.Maps["functions"].Delete(uint64(id)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("function cgroup %d: %w", id, err)
	}
	delete(s.slots, id)
	delete(s.pools, id)
	return nil
}

// rootsOf are the cgroups whose weights are the functions': the pools, and the
// functions that lie in none; where those are too many, the first.
func rootsOf(functions, pools []bpf.Function) []bpf.CgroupID {
	var roots []bpf.CgroupID
	for _, p := range pools {
		roots = append(roots, p.ID)
	}
	for _, f := range functions {
		if !slices.ContainsFunc(pools, func(p bpf.Function) bool { return below(f.Cgroup, p.Cgroup) }) {
			roots = append(roots, f.ID)
		}
	}
	slices.Sort(roots)
	roots = slices.Compact(roots)
	return roots[:min(len(roots), maxRoots)]
}

// below says whether a cgroup is another, or in it.
func below(cgroup, other string) bool {
	return cgroup == other || len(cgroup) > len(other) && cgroup[:len(other)] == other && cgroup[len(other)] == '/'
}

func (s *Scheduler) setRoots(roots []bpf.CgroupID) error {
	for i, id := range roots {
		if err := s.coll.Maps["roots"].Put(uint32(i), uint64(id)); err != nil {
			return fmt.Errorf("write cgroup %d as one that is taken: %w", id, err)
		}
	}
	return s.word("nr_roots", uint32(len(roots)))
}
