// SPDX-License-Identifier: Apache-2.0

// Package ghost loads a sched_ext scheduler that hands every decision to its
// caller: the nearest thing to a ghOSt enclave that an unpatched kernel has.
//
// Tasks with the policy SCHED_EXT (see Take) are reported when they want a CPU
// and run when Commit says so; all others are left to the kernel, and go first.
// When the process ends, or a task waits longer than the kernel's watchdog
// allows (30 s), the kernel takes the scheduler out and runs everybody itself.
//
// It needs Linux 6.12 or later with CONFIG_SCHED_CLASS_EXT: kernel:build -name=6.12
// builds one, kernel:build -name=7.3 gets Debian's.
package ghost

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/bpf/internal/schedext"
)

// What a message tells; the numbers are the BPF program's.
type What uint32

const (
	Runnable What = iota // wants a CPU: woken up, new, or its slice is used
	Blocked              // wants none any more
	ended
)

// Message is one from the kernel; they come in order.
type Message struct {
	Seq    uint64        // of the wish for a CPU: CLOCK_MONOTONIC, ns
	Cgroup uint64        // the task's
	CPU    time.Duration // time of the task so far
	Left   time.Duration // of a time slice that a task of another class interrupted
	PID    uint32        // the thread's
	What   What
}

// Decision is what shall run next on a CPU.
type Decision struct {
	Seq     uint64 // of the wish that is granted; another wish since makes it void
	Slice   time.Duration
	PID     uint32
	CPU     uint32
	Preempt bool // what runs there
}

// objects are what all generations have in common, and what some have.
type objects struct {
	common
	ghostSwitch *ebpf.Program // since 6.19; else nil
}

type common struct {
	AlpsGhost   *ebpf.Map     `ebpf:"alps_ghost"`
	Bypassed    *ebpf.Map     `ebpf:"bypassed"`
	Ended       *ebpf.Map     `ebpf:"ended"`
	Messages    *ebpf.Map     `ebpf:"messages"`
	GhostCommit *ebpf.Program `ebpf:"ghost_commit"`
}

// generations of the object, the newest first.
var generations = []schedext.Object{
	{Name: "ghost619", Has: "scx_bpf_dsq_insert___v2", Load: loadGhost619},
	{Name: "ghost613", Has: "scx_bpf_dsq_insert", Load: loadGhost613},
	{Name: "ghost612", Has: "scx_bpf_dispatch", Load: loadGhost612},
}

// load gives the kernel the programs and maps of spec.
func (o *objects) load(spec *ebpf.CollectionSpec) error {
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return err
	}
	defer coll.Close() // of what is not assigned
	if err := coll.Assign(&o.common); err != nil {
		return err
	}
	o.ghostSwitch = coll.DetachProgram("ghost_switch")
	return nil
}

// close lets go of all of them.
func (o *objects) close() error {
	var errs []error
	for _, m := range []*ebpf.Map{o.AlpsGhost, o.Bypassed, o.Ended, o.Messages} {
		errs = append(errs, m.Close())
	}
	return errors.Join(append(errs, o.GhostCommit.Close(), o.ghostSwitch.Close())...)
}

// Scheduler is in charge until it is closed.
type Scheduler struct {
	objs   objects
	link   link.Link
	agent  link.Link // tells where the agent takes a CPU; nil before 6.19
	reader *ringbuf.Reader
	record ringbuf.Record
}

// Load puts the scheduler into the kernel. The calling thread is the one that
// decides; its goroutine must be locked to it. It needs root.
func Load() (*Scheduler, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("load scheduler: root is needed")
	}
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return nil, fmt.Errorf("load scheduler: %w", err)
	}
	generation, err := schedext.Choose(kernel, generations)
	if err != nil {
		return nil, fmt.Errorf("load scheduler: %w", err)
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("load scheduler: %w", err)
	}
	spec, err := generation.Load()
	if err == nil {
		err = spec.Variables["agent"].Set(int32(unix.Gettid()))
	}
	if err != nil {
		return nil, fmt.Errorf("load scheduler: %w", err)
	}
	s := &Scheduler{}
	if err := s.objs.load(spec); err != nil {
		var verifier *ebpf.VerifierError
		if errors.As(err, &verifier) {
			return nil, fmt.Errorf("load scheduler %s: %+v", generation.Name, verifier)
		}
		return nil, fmt.Errorf("load scheduler %s: %w", generation.Name, err)
	}
	if s.reader, err = ringbuf.NewReader(s.objs.Messages); err == nil {
		s.link, err = link.AttachStructOps(link.StructOpsOptions{Map: s.objs.AlpsGhost})
	}
	if err == nil && s.objs.ghostSwitch != nil {
		s.agent, err = link.AttachTracing(link.TracingOptions{Program: s.objs.ghostSwitch})
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("load scheduler: %w", err)
	}
	return s, nil
}

// Next waits until deadline for a message. The error is os.ErrDeadlineExceeded if none
// came, or says why the kernel took the scheduler out.
func (s *Scheduler) Next(deadline time.Time) (Message, error) {
	s.reader.SetDeadline(deadline)
	if err := s.reader.ReadInto(&s.record); err != nil {
		return Message{}, err
	}
	m, err := decode(s.record.RawSample)
	if err == nil && m.What == ended {
		err = s.why()
	}
	return m, err
}

// More says whether Next has a message at once.
func (s *Scheduler) More() bool { return s.reader.AvailableBytes() > 0 }

func decode(raw []byte) (Message, error) {
	var m struct {
		Seq, Cgroup, Exec, Left uint64
		PID, What               uint32
	}
	if _, err := binary.Decode(raw, binary.LittleEndian, &m); err != nil {
		return Message{}, fmt.Errorf("message of %d bytes: %w", len(raw), err)
	}
	return Message{Seq: m.Seq, Cgroup: m.Cgroup, CPU: time.Duration(m.Exec), Left: time.Duration(m.Left), PID: m.PID, What: What(m.What)}, nil
}

// why is the reason for which the kernel took the scheduler out.
func (s *Scheduler) why() error {
	var r struct{ Text, Detail [128]byte }
	if err := s.objs.Ended.Lookup(uint32(0), &r); err != nil {
		return fmt.Errorf("the kernel ended the scheduler: %w", err)
	}
	return fmt.Errorf("the kernel ended the scheduler: %s: %s", unix.ByteSliceToString(r.Text[:]), unix.ByteSliceToString(r.Detail[:]))
}

// Commit leaves a decision for its CPU and makes that look. If the CPU had not
// fetched the one before, that is void: instead is its task, else 0.
func (s *Scheduler) Commit(d Decision) (instead uint32, err error) {
	arg := commit{Seq: d.Seq, Slice: uint64(d.Slice), PID: d.PID, CPU: d.CPU}
	if d.Preempt {
		arg.Preempt = 1
	}
	code, err := s.objs.GhostCommit.Run(&ebpf.RunOptions{Context: arg, ContextOut: &arg})
	if err == nil && code != 0 {
		err = unix.EINVAL
	}
	if err != nil {
		return 0, fmt.Errorf("commit task %d to CPU %d: %w", d.PID, d.CPU, err)
	}
	return arg.Instead, nil
}

// commit is the program's argument.
type commit struct {
	Seq, Slice                 uint64
	PID, CPU, Preempt, Instead uint32
}

// Bypassed counts tasks that ran without a decision, because messages were not
// read in time or the task may not use the CPU it was given.
func (s *Scheduler) Bypassed() (uint64, error) {
	var n uint64
	return n, s.objs.Bypassed.Lookup(uint32(0), &n)
}

// Close gives all tasks back to the kernel.
func (s *Scheduler) Close() error {
	var errs []error
	for _, l := range []link.Link{s.link, s.agent} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	if s.reader != nil {
		errs = append(errs, s.reader.Close())
	}
	return errors.Join(append(errs, s.objs.close())...)
}

// schedExt is the policy SCHED_EXT.
const schedExt = 7

// Take gives a thread, and what it forks from now on, to the scheduler.
func Take(thread int) error {
	if err := unix.SchedSetAttr(thread, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: schedExt}, 0); err != nil {
		return fmt.Errorf("thread %d: policy SCHED_EXT: %w", thread, err)
	}
	return nil
}
