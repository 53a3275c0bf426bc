// Package bpf loads ALPS into a patched kernel: the programs that answer the
// hooks in CFS from a policy map, and the observer of invocations.
//
// The hooks are described in package kernel. A cgroup without an entry in the
// map, and every cgroup while nothing is attached, is scheduled by plain CFS.
// The objects are built for little-endian x86-64 and committed; they adapt to
// the running kernel by its type information (CO-RE), so 5.18 and 6.1 load the
// same bytes.
package bpf

import (
	"context"
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
)

// CgroupID is what cgroup_id() is in the kernel: the inode number of the
// cgroup's directory.
type CgroupID uint64

// Entry is the policy of one function.
type Entry struct {
	BiasUS  uint32 // microseconds by which it yields to siblings; 0: no opinion
	SliceUS uint32 // microseconds it may keep the CPU in one turn; 0: no opinion
}

// KTime is CLOCK_MONOTONIC of the kernel that ran the invocation, in ns.
type KTime uint64

// Event is one finished invocation: a process forked in a function's cgroup by
// a process that is not itself an invocation, with all its threads. Processes
// it forked are not accounted to it.
type Event struct {
	Cgroup        CgroupID
	PID           uint32
	NSPID         uint32 // in its innermost PID namespace
	Arrive        KTime  // fork
	Exec          KTime  // last exec, 0 if none
	Start         KTime  // first on a CPU
	End           KTime  // last off a CPU
	CPU           time.Duration
	SwitchesVol   uint32
	SwitchesInvol uint32
}

// ErrNoHooks means that the running kernel is not one of ours.
var ErrNoHooks = errors.New("this kernel has no ALPS hooks: boot one built by kernel:build")

// Backend is the programs and maps in the kernel. It must be closed.
type Backend struct {
	objs  alpsObjects
	links []link.Link
}

// Load loads programs and maps; nothing is attached yet. It needs root.
func Load() (*Backend, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("load BPF: root is needed")
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("load BPF: %w", err)
	}
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return nil, fmt.Errorf("load BPF: this kernel has no type information (CONFIG_DEBUG_INFO_BTF): %w", err)
	}
	var hook *btf.Func
	if err := kernel.TypeByName("alps_hook_bias", &hook); err != nil {
		return nil, fmt.Errorf("load BPF: %w (%w)", ErrNoHooks, err)
	}
	spec, err := loadAlps()
	if err != nil {
		return nil, fmt.Errorf("load BPF: %w", err)
	}
	keep, err := switchProgram(kernel)
	if err != nil {
		return nil, err
	}
	// One body serves both orders of the tracepoint's arguments.
	spec.Programs[alpsProgObserveSwitch] = spec.Programs[keep]
	delete(spec.Programs, alpsProgObserveSwitch518)
	b := &Backend{}
	var objs struct {
		alpsMaps
		alpsVariables
		AlpsBias      *ebpf.Program `ebpf:"alps_bias"`
		AlpsSlice     *ebpf.Program `ebpf:"alps_slice"`
		ObserveExec   *ebpf.Program `ebpf:"observe_exec"`
		ObserveFork   *ebpf.Program `ebpf:"observe_fork"`
		ObserveSwitch *ebpf.Program `ebpf:"observe_switch"`
	}
	if err := spec.LoadAndAssign(&objs, nil); err != nil {
		var verifier *ebpf.VerifierError
		if errors.As(err, &verifier) {
			return nil, fmt.Errorf("load BPF: %+v", verifier)
		}
		if errors.Is(err, unix.ENOMEM) {
			err = fmt.Errorf("%w (also what a kernel without CONFIG_BPF_JIT says)", err)
		}
		return nil, fmt.Errorf("load BPF: %w", err)
	}
	b.objs.alpsMaps, b.objs.alpsVariables = objs.alpsMaps, objs.alpsVariables
	b.objs.AlpsBias, b.objs.AlpsSlice = objs.AlpsBias, objs.AlpsSlice
	b.objs.ObserveExec, b.objs.ObserveFork, b.objs.ObserveSwitch = objs.ObserveExec, objs.ObserveFork, objs.ObserveSwitch
	return b, nil
}

// switchProgram picks the observer of sched_switch by the order of the
// tracepoint's arguments: (preempt, prev, next, …), but in 5.18's release
// candidates (preempt, prev_state, prev, next).
func switchProgram(kernel *btf.Spec) (string, error) {
	var td *btf.Typedef
	if err := kernel.TypeByName("btf_trace_sched_switch", &td); err != nil {
		return "", fmt.Errorf("load BPF: tracepoint sched_switch: %w", err)
	}
	ptr, ok := btf.UnderlyingType(td.Type).(*btf.Pointer)
	if !ok {
		return "", fmt.Errorf("load BPF: tracepoint sched_switch: unexpected type %v", td.Type)
	}
	proto, ok := ptr.Target.(*btf.FuncProto)
	// Argument 0 is the tracepoint's private data, 1 is preempt.
	if !ok || len(proto.Params) < 4 {
		return "", fmt.Errorf("load BPF: tracepoint sched_switch: unexpected type %v", ptr.Target)
	}
	if _, ok := btf.UnderlyingType(proto.Params[2].Type).(*btf.Pointer); ok {
		return alpsProgObserveSwitch, nil
	}
	return alpsProgObserveSwitch518, nil
}

// AttachHooks attaches the two hooks. Do it once and change only the map:
// attaching waits for all tasks to pass a quiescent point, which starved ones
// delay by seconds.
func (b *Backend) AttachHooks() error {
	for name, p := range map[string]*ebpf.Program{"alps_hook_bias": b.objs.AlpsBias, "alps_hook_slice": b.objs.AlpsSlice} {
		l, err := link.AttachTracing(link.TracingOptions{Program: p})
		if err != nil {
			return fmt.Errorf("attach to %s: %w", name, err)
		}
		b.links = append(b.links, l)
	}
	return nil
}

// AttachObserver begins to report invocations of the cgroups given to
// SetFunctions.
func (b *Backend) AttachObserver() error {
	for name, p := range map[string]*ebpf.Program{
		"sched_process_fork": b.objs.ObserveFork, "sched_process_exec": b.objs.ObserveExec, "sched_switch": b.objs.ObserveSwitch,
	} {
		l, err := link.AttachTracing(link.TracingOptions{Program: p})
		if err != nil {
			return fmt.Errorf("observe %s: %w", name, err)
		}
		b.links = append(b.links, l)
	}
	return nil
}

// Close detaches everything: from here on CFS decides alone.
func (b *Backend) Close() error {
	var errs []error
	for _, l := range b.links {
		errs = append(errs, l.Close())
	}
	b.links = nil
	return errors.Join(append(errs, b.objs.alpsMaps.Close(),
		b.objs.AlpsBias.Close(), b.objs.AlpsSlice.Close(),
		b.objs.ObserveExec.Close(), b.objs.ObserveFork.Close(), b.objs.ObserveSwitch.Close())...)
}

// SetPolicy makes the map hold exactly entries.
func (b *Backend) SetPolicy(entries map[CgroupID]Entry) error {
	old, err := b.Policy()
	if err != nil {
		return err
	}
	for id := range old {
		if _, ok := entries[id]; !ok {
			if err := b.objs.Policy.Delete(uint64(id)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
				return fmt.Errorf("policy: delete cgroup %d: %w", id, err)
			}
		}
	}
	for id, e := range entries {
		if err := b.objs.Policy.Put(uint64(id), alpsEntry{BiasUs: e.BiasUS, SliceUs: e.SliceUS}); err != nil {
			return fmt.Errorf("policy: cgroup %d: %w", id, err)
		}
	}
	return nil
}

// Policy reads the map back.
func (b *Backend) Policy() (map[CgroupID]Entry, error) {
	entries := map[CgroupID]Entry{}
	var id uint64
	var e alpsEntry
	it := b.objs.Policy.Iterate()
	for it.Next(&id, &e) {
		entries[CgroupID(id)] = Entry{BiasUS: e.BiasUs, SliceUS: e.SliceUs}
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	return entries, nil
}

// KeepAlive lets the policy count for d from now; when it is not called again
// in time the hooks answer as if the map were empty. d = 0 lifts the limit.
func (b *Backend) KeepAlive(d time.Duration) error {
	var until uint64
	if d > 0 {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
			return fmt.Errorf("heartbeat: %w", err)
		}
		until = uint64(now.Nano()) + uint64(d)
	}
	if err := b.objs.ValidUntil.Put(uint32(0), until); err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	return nil
}

// SetFunctions makes ids the cgroups whose processes are invocations.
func (b *Backend) SetFunctions(ids []CgroupID) error {
	want := map[uint64]bool{}
	for _, id := range ids {
		want[uint64(id)] = true
		if err := b.objs.Functions.Put(uint64(id), uint8(1)); err != nil {
			return fmt.Errorf("function cgroup %d: %w", id, err)
		}
	}
	var stale []uint64
	var id uint64
	var one uint8
	it := b.objs.Functions.Iterate()
	for it.Next(&id, &one) {
		if !want[id] {
			stale = append(stale, id)
		}
	}
	for _, id := range stale {
		if err := b.objs.Functions.Delete(id); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("function cgroup %d: %w", id, err)
		}
	}
	return it.Err()
}

// Lost is the number of invocations that could not be reported.
func (b *Backend) Lost() (uint64, error) {
	var n uint64
	if err := b.objs.Lost.Get(&n); err != nil {
		return 0, fmt.Errorf("lost events: %w", err)
	}
	return n, nil
}

// Events calls f for every finished invocation until ctx ends.
func (b *Backend) Events(ctx context.Context, f func(Event)) error {
	r, err := ringbuf.NewReader(b.objs.Events)
	if err != nil {
		return fmt.Errorf("events: %w", err)
	}
	defer r.Close()
	stop := context.AfterFunc(ctx, func() { r.Close() })
	defer stop()
	var rec ringbuf.Record
	for {
		if err := r.ReadInto(&rec); errors.Is(err, ringbuf.ErrClosed) {
			return ctx.Err()
		} else if err != nil {
			return fmt.Errorf("events: %w", err)
		}
		e, err := decode(rec.RawSample)
		if err != nil {
			return err
		}
		f(e)
	}
}

func decode(raw []byte) (Event, error) {
	var e alpsEvent
	if _, err := binary.Decode(raw, binary.LittleEndian, &e); err != nil {
		return Event{}, fmt.Errorf("event of %d bytes: %w", len(raw), err)
	}
	return Event{
		Cgroup: CgroupID(e.CgroupId), PID: e.Pid, NSPID: e.Nspid,
		Arrive: KTime(e.ArriveNs), Exec: KTime(e.ExecNs), Start: KTime(e.StartNs), End: KTime(e.EndNs),
		CPU: time.Duration(e.CpuNs), SwitchesVol: e.SwitchesVol, SwitchesInvol: e.SwitchesInvol,
	}, nil
}

// CgroupOf returns the id of the cgroup whose directory is path.
func CgroupOf(path string) (CgroupID, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, fmt.Errorf("cgroup %s: %w", path, err)
	}
	return CgroupID(st.Ino), nil
}
