// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// Source is what an invocation of a function is.
type Source uint32

// The numbers are the BPF program's.
const (
	// SourceProcess: a process forked in its cgroup, with threads and descendants.
	SourceProcess Source = iota
	// SourceBusy: a busy period of its cgroup, from the first thread that wakes
	// after all slept until all sleep. It is for functions that serve one request
	// after another in a process that lives on.
	SourceBusy
	// SourceThreads: a busy period of one of its threads, for functions that serve
	// several requests at a time, each in a thread.
	SourceThreads
)

// String is the name of the source.
func (s Source) String() string {
	switch s {
	case SourceProcess:
		return "process"
	case SourceBusy:
		return "busy"
	case SourceThreads:
		return "threads"
	}
	return fmt.Sprintf("Source(%d)", uint32(s))
}

// DefaultIdle is how long a sleep lasts that ends a busy period.
const DefaultIdle = time.Millisecond

// Keys in the map running that are no pid; the BPF program's.
const (
	keyFunction = 1 << 31 // | slot
	keyThread   = 1 << 30 // | pid
	keyBusy     = keyFunction | keyThread
)

// setSource makes the invocations of the function in a slot what f says.
func (b *Backend) setSource(slot uint32, f Function) error {
	idle := f.Idle
	if idle == 0 {
		idle = DefaultIdle
	}
	var have alpsSource
	if err := b.maps.Sources.Lookup(slot, &have); err != nil {
		return fmt.Errorf("function cgroup %d: source: %w", f.ID, err)
	}
	want := alpsSource{Kind: uint32(f.Source), Forks: have.Forks, IdleNs: uint64(idle)}
	if want == have || f.Source == SourceProcess && have.Kind == want.Kind {
		return nil
	}
	if err := b.leaveBusy(f.ID, slot); err != nil {
		return err
	}
	if f.Source == SourceBusy {
		key := keyFunction | slot
		if err := b.maps.Periods.Put(key, alpsPeriod{IdleNs: uint64(idle)}); err != nil {
			return fmt.Errorf("function cgroup %d: busy periods: %w", f.ID, err)
		}
		if err := b.maps.Running.Put(key, alpsEvent{CgroupId: uint64(f.ID)}); err != nil {
			return fmt.Errorf("function cgroup %d: busy periods: %w", f.ID, err)
		}
	}
	if err := b.maps.Sources.Put(slot, want); err != nil {
		return fmt.Errorf("function cgroup %d: source: %w", f.ID, err)
	}
	b.adoptDue = b.adoptDue || f.Source != SourceProcess
	return nil
}

// leaveBusy closes the accounts of busy periods of the function in a slot, if it has
// any: from here on its invocations are processes. A period of the cgroup that is under
// way is not reported; one of a thread is, as if it ended now.
func (b *Backend) leaveBusy(id CgroupID, slot uint32) error {
	var have alpsSource
	if err := b.maps.Sources.Lookup(slot, &have); err != nil {
		return fmt.Errorf("function cgroup %d: source: %w", id, err)
	}
	if Source(have.Kind) == SourceProcess {
		return nil
	}
	if err := b.maps.Sources.Put(slot, alpsSource{}); err != nil {
		return fmt.Errorf("function cgroup %d: source: %w", id, err)
	}
	own := map[uint32]bool{keyFunction | slot: true}
	_, err := each(b.maps.Running, func(key uint32, e alpsEvent) {
		if key&keyThread != 0 && CgroupID(e.CgroupId) == id {
			own[key] = true
		}
	})
	var gone []uint32
	if err == nil {
		_, err = each(b.maps.Tasks, func(pid uint32, t alpsTask) {
			if own[t.Root] {
				gone = append(gone, pid)
			}
		})
	}
	for _, mark := range append(gone, keyFunction|slot) {
		if err == nil {
			err = b.settle(mark)
		}
	}
	if err != nil {
		return fmt.Errorf("function cgroup %d: busy periods: %w", id, err)
	}
	return nil
}

// settle runs the program of that name: 0 reports the busy periods that are
// over, a pid retires a thread, a key closes a function's account.
func (b *Backend) settle(mark uint32) error {
	skb := make([]byte, 12) // struct __sk_buff as far as mark
	binary.LittleEndian.PutUint32(skb[8:], mark)
	if _, err := b.progs.Settle.Run(&ebpf.RunOptions{Data: make([]byte, 14), Context: skb}); err != nil {
		return fmt.Errorf("busy periods: %w", err)
	}
	return nil
}

// followBusy attaches the program that sees threads wake while some function has busy
// periods, and only then: it costs some instructions whenever any thread on the host
// wakes.
func (b *Backend) followBusy() error {
	functions, err := b.Functions()
	if err != nil {
		return err
	}
	busy := false
	for _, f := range functions {
		busy = busy || f.Source != SourceProcess
	}
	b.busy.Store(busy)
	if !busy {
		return b.detach("wakeup")
	}
	if !b.isAttached("switch") {
		return nil // AttachObserver comes later
	}
	if !b.isAttached("wakeup") {
		b.adoptDue = true
		if err := b.attach("wakeup", b.progs.ObserveWakeup); err != nil {
			return err
		}
	}
	if !b.adoptDue {
		return nil
	}
	b.adoptDue = false
	return b.adopt()
}

// adopt enlists the threads that were there before their function was served by
// a long-lived process, or came into its cgroup since, and sets right which of
// them sleep. Processes that were invocations before, such as the workers that a
// server has forked, do not count as invocations from then on.
func (b *Backend) adopt() error {
	it, err := link.AttachIter(link.IterOptions{Program: b.progs.Adopt})
	if err != nil {
		return fmt.Errorf("look at all threads: %w", err)
	}
	defer it.Close()
	r, err := it.Open()
	if err != nil {
		return fmt.Errorf("look at all threads: %w", err)
	}
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); err != nil {
		return fmt.Errorf("look at all threads: %w", err)
	}
	if err := b.endFormer(); err != nil {
		return fmt.Errorf("processes that were invocations: %w", err)
	}
	return nil
}

// endFormer removes invocations that are processes of functions whose invocations
// are busy periods by now.
func (b *Backend) endFormer() error {
	functions, err := b.Functions()
	if err != nil {
		return err
	}
	busy := map[CgroupID]bool{}
	for _, f := range functions {
		busy[f.ID] = f.Source != SourceProcess
	}
	var former []stale
	if _, err := each(b.maps.Running, func(pid uint32, e alpsEvent) {
		if pid&keyBusy == 0 && busy[CgroupID(e.CgroupId)] {
			former = append(former, stale{e.ArriveNs, pid, sweepFormer})
		}
	}); err != nil {
		return err
	}
	for _, x := range former {
		if _, err := b.progs.Sweep.Run(&ebpf.RunOptions{Context: x}); err != nil {
			return err
		}
	}
	return nil
}

// Forks counts, for each function whose invocations are busy periods, the processes that
// were forked in it while they were. Only the difference of two calls means something.
func (b *Backend) Forks() (map[CgroupID]uint32, error) {
	functions, err := b.Functions()
	if err != nil {
		return nil, err
	}
	forks := map[CgroupID]uint32{}
	for _, f := range functions {
		if f.Source == SourceProcess {
			continue
		}
		var s alpsSource
		if err := b.maps.Sources.Lookup(f.slot, &s); err != nil {
			return nil, fmt.Errorf("function cgroup %d: source: %w", f.ID, err)
		}
		forks[f.ID] = s.Forks
	}
	return forks, nil
}
