// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/ds2-lab/alps/internal/clock"
)

// Event is one finished invocation: a process forked in a function's cgroup by
// a process that is not itself an invocation, or a busy period (see Source). CPU
// time and what follows it count for all its threads and descendants; one that
// outlives the process is counted until the process ends.
type Event struct {
	Cgroup        CgroupID    // the function's, which may be above the process's
	Busy          bool        // a busy period, no process
	PID           uint32      // of a busy period: of the process whose thread woke first
	NSPID         uint32      // in its innermost PID namespace
	Arrive        clock.KTime // fork, or waking
	Exec          clock.KTime // last exec, 0 if none
	Start         clock.KTime // first on a CPU
	End           clock.KTime // last off a CPU; of a busy period: since when all slept
	CPU           time.Duration
	Wait          time.Duration // runnable, but not on a CPU
	SwitchesVol   uint32
	SwitchesInvol uint32               // to another invocation, or another CPU; a thread of no function that runs in between does not count
	Tasks         uint32               // threads and descendants, itself included
	Slices        [SliceBuckets]uint32 // on-CPU segments by length, without what interrupted them
	FullSlices    []uint32             // µs; only after SetFullSlices(true)
}

// SliceBuckets is how many lengths of on-CPU segments are told apart.
const SliceBuckets = 74

// SliceRange is how long the on-CPU segments in bucket i are: at least from, and less
// than to; the last bucket has no upper end (0).
func SliceRange(i int) (from, to time.Duration) {
	if i+1 < SliceBuckets {
		to = bucketStart(i + 1)
	}
	return bucketStart(i), to
}

func bucketStart(i int) time.Duration {
	if i == 0 {
		return 0
	}
	log, quarter := 6+(i-1)/4, (i-1)%4
	return time.Duration((4+quarter)<<(log-2)) * time.Microsecond
}

// Lost is what the observer could not report.
type Lost struct {
	Invocations uint64 `json:"invocations"` // never reported
	Tasks       uint64 `json:"tasks"`       // threads and descendants not accounted
	Slices      uint64 `json:"slices"`      // on-CPU segments, of those wanted one by one
	Orphans     uint64 `json:"orphans"`     // tasks that outlived their invocation
}

// Lost is what was lost since the maps were made.
func (b *Backend) Lost() (Lost, error) {
	var n [4]uint64
	for i := range n {
		if err := b.maps.Counts.Lookup(uint32(i), &n[i]); err != nil {
			return Lost{}, fmt.Errorf("lost events: %w", err)
		}
	}
	return Lost{Invocations: n[0], Tasks: n[1], Slices: n[2] + b.pending.dropped.Load(), Orphans: n[3]}, nil
}

// SetFullSlices has every on-CPU segment reported, beside the histogram, or stops that.
func (b *Backend) SetFullSlices(on bool) {
	b.control.fullSlices.Store(0)
	if on {
		b.control.fullSlices.Store(1)
	}
}

// drainEvery is how often full slices are read while no invocation ends, and how
// late a busy period is reported that no other follows.
const drainEvery = 50 * time.Millisecond

// Events calls f for every finished invocation until ctx ends. Those that
// ended while nobody called it come first.
func (b *Backend) Events(ctx context.Context, f func(Event)) error {
	events, err := ringbuf.NewReader(b.maps.Events)
	if err != nil {
		return fmt.Errorf("open the stream of ended invocations: %w", err)
	}
	defer events.Close()
	slices, err := ringbuf.NewReader(b.maps.Slices)
	if err != nil {
		return fmt.Errorf("open the stream of on-CPU segments: %w", err)
	}
	defer slices.Close()
	slices.SetDeadline(time.Unix(1, 0)) // what is there, without waiting
	stop := context.AfterFunc(ctx, func() { events.Close() })
	defer stop()
	var rec ringbuf.Record
	var settled time.Time
	for {
		if b.busy.Load() && time.Since(settled) >= drainEvery {
			settled = time.Now()
			if err := b.settle(0); err != nil {
				return err
			}
		}
		events.SetDeadline(time.Now().Add(drainEvery))
		err := events.ReadInto(&rec)
		if errors.Is(err, ringbuf.ErrClosed) {
			return ctx.Err()
		} else if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("read ended invocations: %w", err)
		}
		// A slice is written before the event of the invocation that ends with it.
		if err := b.drain(slices); err != nil {
			return err
		}
		if err != nil {
			continue
		}
		e, err := decode(rec.RawSample)
		if err != nil {
			return err
		}
		e.FullSlices = b.pending.take(invocation{e.Arrive, e.PID})
		f(e)
	}
}

// drain reads the full slices there are.
func (b *Backend) drain(r *ringbuf.Reader) error {
	var rec ringbuf.Record
	for {
		if err := r.ReadInto(&rec); errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read on-CPU segments: %w", err)
		}
		// The kernel's struct slice.
		var s struct {
			Cgroup, Arrive uint64
			PID, US        uint32
		}
		if _, err := binary.Decode(rec.RawSample, binary.LittleEndian, &s); err != nil {
			return fmt.Errorf("slice of %d bytes: %w", len(rec.RawSample), err)
		}
		b.pending.add(invocation{clock.KTime(s.Arrive), s.PID}, s.US)
	}
}

func decode(raw []byte) (Event, error) {
	var e alpsEvent
	if _, err := binary.Decode(raw, binary.LittleEndian, &e); err != nil {
		return Event{}, fmt.Errorf("event of %d bytes: %w", len(raw), err)
	}
	return Event{
		Cgroup: CgroupID(e.CgroupId), Busy: e.Busy != 0, PID: e.Pid, NSPID: e.Nspid,
		Arrive: clock.KTime(e.ArriveNs), Exec: clock.KTime(e.ExecNs), Start: clock.KTime(e.StartNs), End: clock.KTime(e.EndNs),
		CPU: time.Duration(e.CpuNs), Wait: time.Duration(e.WaitNs), SwitchesVol: e.SwitchesVol, SwitchesInvol: e.SwitchesInvol,
		Tasks: e.Tasks, Slices: e.Slices,
	}, nil
}
