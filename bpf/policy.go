// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cilium/ebpf"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/internal/clock"
)

// MaxFunctions is how many cgroups can be functions at a time.
const MaxFunctions = 1024

// MaxSlice bounds a slice: for so long a function can keep a CPU from its
// siblings.
const MaxSlice = 10 * time.Second

// Entry is the policy of one function.
type Entry struct {
	BiasUS  uint32 // microseconds by which it yields to siblings; 0: no opinion
	SliceUS uint32 // microseconds of its time slice; 0: CFS's

	// LateBiasUS, if not 0, says that this is SFS: it is the bias of a function without
	// a fresh invocation. An invocation is fresh until it has used SliceUS of CPU time.
	LateBiasUS uint32

	// Steady, if not nil, is all that counts of the entry.
	Steady *model.Steady
}

// Check says what of an entry the kernel cannot carry out.
func (e Entry) Check() error {
	if e.Steady != nil {
		return checkSteady(e.Steady)
	}
	if e.BiasUS > math.MaxInt32 || e.LateBiasUS > math.MaxInt32 {
		return fmt.Errorf("bias of %d µs: at most %d", max(e.BiasUS, e.LateBiasUS), math.MaxInt32)
	}
	if slice := time.Duration(e.SliceUS) * time.Microsecond; slice > MaxSlice {
		return fmt.Errorf("slice of %s: at most %s", slice, MaxSlice)
	}
	if e.LateBiasUS != 0 && (e.SliceUS == 0 || e.LateBiasUS < e.BiasUS) {
		return fmt.Errorf("late bias of %d µs: a slice and a smaller bias are needed", e.LateBiasUS)
	}
	return nil
}

// Function is a cgroup in which invocations run.
type Function struct {
	ID     CgroupID
	UID    string
	Name   string
	Cgroup string // its path, for people

	Source Source        // of its invocations
	Idle   time.Duration // the sleep that ends a busy period; 0: DefaultIdle

	Note string // what a process wants to find again that resumes; nothing here makes anything of it

	slot uint32
}

// SetPolicy makes entries the policy, all at once. Every cgroup in it must be a
// function. A policy that is refused changes nothing.
func (b *Backend) SetPolicy(entries map[CgroupID]Entry) error {
	for id, e := range entries {
		if err := e.Check(); err != nil {
			return fmt.Errorf("policy: cgroup %d: %w", id, err)
		}
		if _, ok := b.slots[id]; !ok {
			return fmt.Errorf("policy: cgroup %d is not a function: register it first", id)
		}
	}
	next := b.control.generation.Load() + 1
	var steady uint64
	for id, slot := range b.slots {
		v := alpsEntry{} // also over what a process that died here had begun
		if e, ok := entries[id]; ok {
			v = alpsEntry{CgroupId: uint64(id), Generation: next, BiasUs: e.BiasUS, SliceUs: e.SliceUS, LateBiasUs: e.LateBiasUS}
			if e.Steady != nil {
				steady = 1
				v.IsSteady, v.Steady = 1, steadyValue(e.Steady)
			}
		}
		if err := b.maps.Policy.Put(b.index(slot, next), v); err != nil {
			return fmt.Errorf("policy: cgroup %d: %w", id, err)
		}
	}
	b.control.generation.Store(next)
	b.control.steady.Store(steady)
	return nil
}

// index is where the entries of a slot lie in a generation.
func (b *Backend) index(slot uint32, generation uint64) uint32 {
	return slot + uint32(generation&1)*MaxFunctions
}

// Generation is how many policies were set since the maps were made.
func (b *Backend) Generation() uint64 { return b.control.generation.Load() }

// Policy reads back what counts: nothing, if the policy is no longer valid (KeepAlive).
func (b *Backend) Policy() (map[CgroupID]Entry, error) {
	entries := map[CgroupID]Entry{}
	if until := b.control.validUntil.Load(); until != 0 && uint64(clock.Now()) > until {
		return entries, nil
	}
	functions, err := b.Functions()
	if err != nil {
		return nil, err
	}
	g := b.control.generation.Load()
	for _, f := range functions {
		var e alpsEntry
		if err := b.maps.Policy.Lookup(b.index(f.slot, g), &e); err != nil {
			return nil, fmt.Errorf("read the policy of function %s: %w", f.UID, err)
		}
		if e.Generation == g && CgroupID(e.CgroupId) == f.ID {
			x := Entry{BiasUS: e.BiasUs, SliceUS: e.SliceUs, LateBiasUS: e.LateBiasUs}
			if e.IsSteady != 0 {
				x.Steady = steadyOf(&e.Steady)
			}
			entries[f.ID] = x
		}
	}
	return entries, nil
}

// KeepAlive lets the policy count for d from now; when it is not called again
// in time the hooks answer as if there were none. d = 0 lifts the limit.
func (b *Backend) KeepAlive(d time.Duration) error {
	defer b.control.checkedJiffies.Store(0) // look again
	if d == 0 {
		b.control.validUntil.Store(0)
		return nil
	}
	b.control.validUntil.Store(uint64(clock.Now().Add(d)))
	return nil
}

// Limits of what the kernel's map keeps of a function, in bytes.
const (
	MaxUID    = 127
	MaxName   = 127
	MaxCgroup = 511
)

// Check says what of f the kernel's map cannot keep.
func (f Function) Check() error {
	for _, text := range []struct {
		what, s string
		most    int
	}{{"uid", f.UID, MaxUID}, {"name", f.Name, MaxName}, {"cgroup", f.Cgroup, MaxCgroup}, {"settings", f.Note, MaxNote}} {
		if len(text.s) > text.most {
			return fmt.Errorf("%s %q has %d bytes: at most %d", text.what, text.s, len(text.s), text.most)
		}
	}
	return nil
}

// value is the kernel's of f.
func (f Function) value(slot uint32) alpsFunction {
	v := alpsFunction{Slot: slot}
	for _, text := range []struct {
		from string
		to   []int8
	}{{f.UID, v.Uid[:]}, {f.Name, v.Name[:]}, {f.Cgroup, v.Cgroup[:]}} {
		for i, c := range []byte(text.from) {
			text.to[i] = int8(c)
		}
	}
	return v
}

// SetFunctions makes functions the cgroups in which invocations run. A
// set that is refused, by Check or for its size, changes nothing; if the kernel
// fails in the middle, what was added is removed again.
func (b *Backend) SetFunctions(functions []Function) (err error) {
	defer b.control.functions.Add(1) // answers of former functions count no more
	want := map[CgroupID]bool{}
	for _, f := range functions {
		want[f.ID] = true
		if err := f.Check(); err != nil {
			return fmt.Errorf("function cgroup %d: %w", f.ID, err)
		}
	}
	if len(want) > MaxFunctions {
		return fmt.Errorf("%d functions: at most %d", len(want), MaxFunctions)
	}
	for id := range b.slots {
		if !want[id] {
			if err := b.removeFunction(id); err != nil {
				return err
			}
		}
	}
	used := map[uint32]bool{}
	for _, slot := range b.slots {
		used[slot] = true
	}
	var added []CgroupID
	defer func() {
		if err == nil {
			return
		}
		errs := []error{err}
		for _, id := range added {
			errs = append(errs, b.removeFunction(id))
		}
		err = errors.Join(errs...)
	}()
	var slot uint32
	for _, f := range functions {
		if slot, ok := b.slots[f.ID]; ok {
			if err := b.setSource(slot, f); err != nil {
				return err
			}
			if err := b.setNote(f); err != nil {
				return err
			}
			continue
		}
		for used[slot] {
			slot++
		}
		err := b.forgetTasks(slot)
		if err == nil {
			err = b.maps.Functions.Update(uint64(f.ID), f.value(slot), ebpf.UpdateNoExist)
		}
		if err != nil {
			return fmt.Errorf("function cgroup %d: %w", f.ID, err)
		}
		b.slots[f.ID], used[slot] = slot, true
		added = append(added, f.ID)
		if err := b.setSource(slot, f); err != nil {
			return err
		}
		if err := b.setNote(f); err != nil {
			return err
		}
	}
	return b.followBusy()
}

// forgetTasks lets the next owner of a slot begin without invocations.
func (b *Backend) forgetTasks(slot uint32) error {
	for cpu := range b.cpus {
		if err := b.maps.FunctionCpus.Put(slot*b.cpus+cpu, alpsFunctionCpu{}); err != nil {
			return err
		}
	}
	return nil
}

func (b *Backend) removeFunction(id CgroupID) error {
	if err := b.leaveBusy(id, b.slots[id]); err != nil {
		return err
	}
	// The kernel forgets a cgroup that is removed by itself.
	if err := b.maps.Functions.Delete(uint64(id)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("function cgroup %d: %w", id, err)
	}
	delete(b.slots, id)
	return b.removeNote(id)
}

// Functions reads back which cgroups are functions; one whose cgroup was
// removed is not.
func (b *Backend) Functions() ([]Function, error) {
	var all []Function
	var id uint64
	var v alpsFunction
	it := b.maps.Functions.Iterate()
	for it.Next(&id, &v) {
		var s alpsSource
		if err := b.maps.Sources.Lookup(v.Slot, &s); err != nil {
			return nil, fmt.Errorf("read the source of cgroup %d: %w", id, err)
		}
		f := Function{ID: CgroupID(id), UID: text(v.Uid[:]), Name: text(v.Name[:]), Cgroup: text(v.Cgroup[:]),
			Source: Source(s.Kind), Idle: time.Duration(s.IdleNs), slot: v.Slot}
		if err := b.readNote(&f); err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("read the map of functions: %w", err)
	}
	return all, nil
}

// text reads a string that C ends with 0.
func text(c []int8) string {
	var s []byte
	for _, b := range c {
		if b == 0 {
			break
		}
		s = append(s, byte(b))
	}
	return string(s)
}
