// SPDX-License-Identifier: Apache-2.0

// Package bpf loads ALPS into a patched kernel: the programs that answer the
// hooks in CFS from a policy map, and the observer of invocations.
//
// The hooks are described in package kernel. A cgroup without an entry in the
// map, and every cgroup while nothing is attached, is scheduled by plain CFS.
// The objects are built for little-endian x86-64 and committed; they adapt to
// the running kernel by its type information (CO-RE), so 5.18 and 6.1 load the
// same bytes. A kernel without the hooks, such as 6.12, loads the observer alone.
//
// A policy is published by generations: SetPolicy fills the half of the map
// that does not count and then switches one word, so no scheduling decision
// sees two policies.
package bpf

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/internal/clock"
)

// CgroupID is what cgroup_id() is in the kernel: the inode number of the
// cgroup's directory.
type CgroupID uint64

// Options say how to load. The zero value works.
type Options struct {
	// Pin is a directory on a BPF file system. With it, maps and attachments
	// outlive the process: invocations that end while no process reads wait in the
	// kernel, and the next Load goes on with them. Until Close it is this process's
	// alone: another's Load is refused. "" pins nothing.
	Pin string
	// RingBytes is how many bytes of ended invocations, and as many of on-CPU
	// segments, may wait to be read; a power of two, at least a page. 0: 4 MiB, about 10,000 invocations.
	RingBytes int
	// Running and Tasks are how many invocations, and threads and descendants of
	// them, can be followed at a time. 0: 8192 and 16384.
	Running, Tasks int

	checkMemos bool // compare each answer that was remembered with what the rules say, for tests
}

// Backend is the programs and maps in the kernel. It must be closed.
type Backend struct {
	Resumed bool // maps of a process before were found, with what is in them

	progs   programs
	hooks   hookPrograms // zero on a kernel without hooks
	noHooks error        // why it has none
	maps    alpsMaps
	notes   *ebpf.Map
	control *control
	pin     string     // directory of these very objects; "" for none
	linksMu sync.Mutex // of the map links, and of what is asked of a link in it: Rivals comes at any moment
	links   map[string]link.Link
	lock    *os.File // Options.Pin, locked; nil for none
	slots   map[CgroupID]uint32
	cpus    uint32 // that there can be
	pending pending

	busy     atomic.Bool // some function's invocations are no processes
	adoptDue bool        // threads of such functions may be unknown

	sweeping sync.Mutex            // one sweep at a time
	suspects map[stale]clock.KTime // entries whose thread was gone at the last sweep, and when it was first found to be
}

// programs observe; any kernel from 5.18 on takes them.
type programs struct {
	Adopt         *ebpf.Program `ebpf:"adopt"`
	Forget        *ebpf.Program `ebpf:"forget"`
	ObserveExec   *ebpf.Program `ebpf:"observe_exec"`
	ObserveExit   *ebpf.Program `ebpf:"observe_exit"`
	ObserveFork   *ebpf.Program `ebpf:"observe_fork"`
	ObserveSignal *ebpf.Program `ebpf:"observe_signal"`
	ObserveSwitch *ebpf.Program `ebpf:"observe_switch"`
	ObserveWakeup *ebpf.Program `ebpf:"observe_wakeup"`
	Settle        *ebpf.Program `ebpf:"settle"`
	Sweep         *ebpf.Program `ebpf:"sweep"`
}

// all are the programs, loaded or not.
func (p programs) all() []*ebpf.Program {
	return []*ebpf.Program{p.Adopt, p.Forget, p.ObserveExec, p.ObserveExit, p.ObserveFork, p.ObserveSignal, p.ObserveSwitch,
		p.ObserveWakeup, p.Settle, p.Sweep}
}

// hookPrograms answer the hooks.
type hookPrograms struct {
	AlpsBias  *ebpf.Program `ebpf:"alps_bias"`
	AlpsSlice *ebpf.Program `ebpf:"alps_slice"`

	// What the answers need to know of invocations that never ran.
	ObserveWakeupNew *ebpf.Program `ebpf:"observe_wakeup_new"`
	ObserveMigrate   *ebpf.Program `ebpf:"observe_migrate"`
}

// all are the programs, loaded or not.
func (p hookPrograms) all() []*ebpf.Program {
	return []*ebpf.Program{p.AlpsBias, p.AlpsSlice, p.ObserveWakeupNew, p.ObserveMigrate}
}

// control is what the programs read at every call; the kernel's struct.
type control struct {
	generation     atomic.Uint64
	validUntil     atomic.Uint64
	fullSlices     atomic.Uint64
	checkedJiffies atomic.Uint64 // when the programs looked at the clock
	_              uint64

	// The programs' own: processes that must end, until when others yield to
	// them, and how often some began to.
	ending      atomic.Int64
	endingUntil atomic.Uint64
	epoch       atomic.Uint64

	functions atomic.Uint64 // how often the functions were changed
	steady    atomic.Uint64 // 1: the policy has entries of steady
}

// Load loads programs and maps; nothing is attached yet, but what was attached
// under Options.Pin still is. It needs root. A kernel without hooks can be
// observed; there AttachHooks says why no more can be done.
func Load(o Options) (*Backend, error) {
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
	spec, err := loadAlps()
	if err != nil {
		return nil, fmt.Errorf("load BPF: %w", err)
	}
	keep, err := switchProgram(kernel)
	if err != nil {
		return nil, err
	}
	renameParent(spec.Types, kernel)
	// One body serves both orders of the tracepoint's arguments.
	spec.Programs[alpsProgObserveSwitch] = spec.Programs[keep]
	delete(spec.Programs, alpsProgObserveSwitch518)
	if o.RingBytes > 0 {
		spec.Maps[alpsMapEvents].MaxEntries = uint32(o.RingBytes)
		spec.Maps[alpsMapSlices].MaxEntries = uint32(o.RingBytes)
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("load BPF: %w", err)
	}
	if err := perCPU(spec, cpus); err != nil {
		return nil, err
	}
	if o.checkMemos {
		if err := spec.Variables[alpsVarCheckMemos].Set(uint32(1)); err != nil {
			return nil, fmt.Errorf("load BPF: %w", err)
		}
	}
	for name, n := range map[string]int{alpsMapRunning: o.Running, alpsMapTasks: o.Tasks} {
		if n > 0 {
			spec.Maps[name].MaxEntries = uint32(n)
		}
	}
	b := &Backend{noHooks: checkKernel(kernel), links: map[string]link.Link{}, slots: map[CgroupID]uint32{}, cpus: uint32(cpus)}
	if o.Pin != "" {
		if b.lock, err = lockPin(o.Pin); err != nil {
			return nil, err
		}
	}
	spec.Maps[mapNotes] = specOfNotes()
	opts, err := b.pinned(o, spec)
	if err == nil {
		if err = b.load(spec, opts); err != nil {
			err = explain(err)
		}
	}
	if err != nil {
		b.free()
		return nil, err
	}
	if err := errors.Join(b.mapControl(), b.resume()); err != nil {
		b.free()
		return nil, err
	}
	return b, nil
}

// perCPU makes room for n CPUs in what is kept of each.
func perCPU(spec *ebpf.CollectionSpec, n int) error {
	spec.Maps[alpsMapFunctionCpus].MaxEntries = uint32(MaxFunctions * n)
	spec.Maps[alpsMapMemos].MaxEntries *= uint32(n)
	spec.Maps[alpsMapGuards].MaxEntries = uint32(n)
	if err := spec.Variables[alpsVarCpus].Set(uint32(n)); err != nil {
		return fmt.Errorf("load BPF: %w", err)
	}
	return nil
}

// load gives the kernel the programs it can take.
func (b *Backend) load(spec *ebpf.CollectionSpec, opts *ebpf.CollectionOptions) error {
	var objs struct {
		alpsMaps
		noteMaps
		programs
	}
	if b.noHooks != nil {
		err := spec.LoadAndAssign(&objs, opts)
		b.maps, b.notes, b.progs = objs.alpsMaps, objs.Notes, objs.programs
		return err
	}
	var all struct {
		alpsMaps
		noteMaps
		programs
		hookPrograms
	}
	err := spec.LoadAndAssign(&all, opts)
	b.maps, b.notes, b.progs, b.hooks = all.alpsMaps, all.Notes, all.programs, all.hookPrograms
	return err
}

// explain makes an error of the kernel's one that a person can act on.
func explain(err error) error {
	var verifier *ebpf.VerifierError
	if errors.As(err, &verifier) {
		return fmt.Errorf("load BPF: %+v", verifier)
	}
	if errors.Is(err, unix.ENOMEM) {
		err = fmt.Errorf("%w (also what a kernel without CONFIG_BPF_JIT says)", err)
	}
	return fmt.Errorf("load BPF: %w", err)
}

// mapControl makes the words of control ours to write, each at once.
func (b *Backend) mapControl() error {
	mem, err := unix.Mmap(b.maps.Control.FD(), 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("load BPF: map control: %w", err)
	}
	b.control = (*control)(unsafe.Pointer(unsafe.SliceData(mem)))
	return nil
}

// sysctl is the kernel's own switch of the hooks.
const sysctl = "/proc/sys/kernel/sched_alps"

func setSysctl(value string) error {
	if err := os.WriteFile(sysctl, []byte(value), 0o644); err != nil {
		return fmt.Errorf("switch the hooks: %w", err)
	}
	return nil
}

// CheckHooks says why this kernel has no hooks; nil if it has.
func (b *Backend) CheckHooks() error { return b.noHooks }

// AttachHooks attaches the two hooks, if they are not, and makes the kernel ask
// them. Do it once and change only the policy: attaching waits for all tasks to
// pass a quiescent point, which starved ones delay by seconds.
func (b *Backend) AttachHooks() error {
	if err := b.CheckHooks(); err != nil {
		return err
	}
	if err := b.attach("hook_bias", b.hooks.AlpsBias); err != nil {
		return err
	}
	if err := b.attach("hook_slice", b.hooks.AlpsSlice); err != nil {
		return err
	}
	return b.SetHooksEnabled(true)
}

// Attached says whether the hooks are attached, by this process or one before.
func (b *Backend) Attached() bool { return b.isAttached("hook_bias") }

// SetHooksEnabled turns the attached hooks on or off (the sysctl
// kernel.sched_alps). While they are off, CFS decides alone.
func (b *Backend) SetHooksEnabled(on bool) error {
	if on {
		return setSysctl("1")
	}
	return setSysctl("0")
}

// DetachHooks leaves CFS alone, at once; what observes goes on.
func (b *Backend) DetachHooks() error {
	errs := []error{b.SetHooksEnabled(false)}
	for _, name := range []string{"hook_bias", "hook_slice"} {
		errs = append(errs, b.detach(name))
	}
	return errors.Join(errs...)
}

// AttachObserver begins to report invocations of the cgroups given to
// SetFunctions.
func (b *Backend) AttachObserver() error {
	for name, p := range map[string]*ebpf.Program{
		"fork": b.progs.ObserveFork, "exec": b.progs.ObserveExec, "switch": b.progs.ObserveSwitch, "rmdir": b.progs.Forget,
		"signal": b.progs.ObserveSignal, "exit": b.progs.ObserveExit, "wakeup_new": b.hooks.ObserveWakeupNew, "migrate": b.hooks.ObserveMigrate,
	} {
		if p == nil {
			continue // only for the hooks, which this kernel does not have
		}
		if err := b.attach(name, p); err != nil {
			return err
		}
	}
	return b.followBusy()
}

// Close detaches everything and forgets what was pinned: from here on CFS
// decides alone.
func (b *Backend) Close() error {
	var errs []error
	if b.Attached() {
		errs = append(errs, b.SetHooksEnabled(false))
	}
	errs = append(errs, b.unpin())
	return errors.Join(append(errs, b.free())...)
}

// free lets go of everything in this process.
func (b *Backend) free() error {
	var errs []error
	b.linksMu.Lock()
	for name, l := range b.links {
		errs = append(errs, l.Close())
		delete(b.links, name)
	}
	b.linksMu.Unlock()
	if b.control != nil {
		mem := unsafe.Slice((*byte)(unsafe.Pointer(b.control)), os.Getpagesize())
		errs = append(errs, unix.Munmap(mem))
		b.control = nil
	}
	for _, p := range slices.Concat(b.progs.all(), b.hooks.all()) {
		errs = append(errs, p.Close())
	}
	errs = append(errs, b.maps.Close(), b.notes.Close())
	if b.lock != nil {
		errs = append(errs, b.lock.Close())
		b.lock = nil
	}
	return errors.Join(errs...)
}

// CgroupOf returns the id of the cgroup whose directory is path.
func CgroupOf(path string) (CgroupID, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, fmt.Errorf("cgroup %s: %w", path, err)
	}
	return CgroupID(st.Ino), nil
}
