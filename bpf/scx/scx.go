// SPDX-License-Identifier: Apache-2.0

// Package scx loads ALPS as a sched_ext scheduler, for kernels without hooks: any
// from 6.12 on with CONFIG_SCHED_CLASS_EXT.
//
// Every invocation is ranked by itself: it is queued at the time it wants a CPU
// plus a bias, which a Rule of its function gives for the CPU time that it has
// used. All other tasks are scheduled too, by weight, unless Options.Partial is
// set. docs/sched_ext.md says what each may rely on.
//
// Nothing is pinned: when the process ends, however, the kernel takes the
// scheduler out and schedules everybody by itself.
package scx

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/bpf/internal/schedext"
)

// Options say how to schedule. The zero value works.
type Options struct {
	// Partial schedules only tasks of the policy SCHED_EXT (see Take), for CPUs
	// that nobody else uses: where others do, those go first and the functions starve.
	Partial bool

	GuardWait  time.Duration // the age from which an invocation is guarded; 0: 500 ms
	GuardEvery time.Duration // how often at least the oldest waiting one goes first; 0: 500 ms
	GuardSlice time.Duration // for how long; 0: 25 ms
	Rescue     time.Duration // a task that has waited so long gets the CPU for a tick; 0: 10 s
	Watchdog   time.Duration // the kernel's, after which it ends the scheduler; 0: 30 s, the most it takes

	// An invocation that has lived for ServerAge, and all of whose threads have slept
	// at once ServerSleeps times, not counting waits for a disk or a lock in the kernel,
	// is a server from then on: each busy period has a new account.
	ServerAge    time.Duration // 0: bpf.WorkerAge
	ServerSleeps uint32        // 0: bpf.WorkerSleeps

	Queues []uint32 // of each CPU, by number; nil: one for all up to 32 CPUs, else one for each last-level cache
}

// Name is the scheduler's to the kernel: in /sys/kernel/sched_ext/root/ops.
const Name = "alps"

// Limits of the objects.
const (
	MaxFunctions = 1024
	MaxSteps     = 16
	MaxSlice     = 10 * time.Second

	maxCPUs   = 1024
	maxQueues = 32
	maxRoots  = 256
	oneQueue  = 32 // CPUs
)

// MaxBias bounds every bias, well below the kernel's watchdog.
const MaxBias = 18 * time.Second

// Scheduler is in charge until it is closed, or the kernel ends it: see Ended.
type Scheduler struct {
	API string // whose names the object uses that was loaded: scx612, scx613, scx701

	coll  *ebpf.Collection
	link  link.Link
	rules *ebpf.Memory
	slots map[bpf.CgroupID]uint32 // of functions
	pools map[bpf.CgroupID]bool   // that are in the programs' map of functions, with slot 0
	set   uint64                  // generation of the rules
	epoch uint64                  // of the functions
	own   bool                    // the kernel tells of cpu.max itself
	lims  map[bpf.CgroupID]Limit
}

// Supported says why the running kernel cannot load the scheduler; nil if it can.
func Supported() error {
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return fmt.Errorf("this kernel has no type information (CONFIG_DEBUG_INFO_BTF): %w", err)
	}
	_, err = schedext.Choose(kernel, objects)
	return err
}

// objects are those committed, the newest names first.
var objects = []schedext.Object{
	{Name: "scx701", Has: "scx_bpf_dsq_move_to_local___v2", Load: loadRenamed},
	{Name: "scx613", Has: "scx_bpf_dsq_move_to_local", Load: loadScx613},
	{Name: "scx612", Has: "scx_bpf_consume", Load: loadScx612},
}

// loadRenamed gives a kernel function its name, which clang 14 cannot write.
func loadRenamed() (*ebpf.CollectionSpec, error) {
	spec, err := loadScx701()
	if err != nil {
		return nil, err
	}
	var f *btf.Func
	if err := spec.Types.TypeByName("scx_bpf_dsq_insert_vtime", &f); err != nil {
		return nil, err
	}
	f.Name = "__scx_bpf_dsq_insert_vtime"
	return spec, nil
}

// prepare makes of the kernel's types the object to load.
func prepare(kernel *btf.Spec, o Options) (*ebpf.CollectionSpec, string, error) {
	object, err := schedext.Choose(kernel, objects)
	if err != nil {
		return nil, "", err
	}
	spec, err := object.Load()
	if err != nil {
		return nil, "", err
	}
	var ops *btf.Struct
	if err := kernel.TypeByName("sched_ext_ops", &ops); err != nil {
		return nil, "", err
	}
	known := map[string]bool{}
	for _, m := range ops.Members {
		known[m.Name] = true
	}
	// A program for a member that the kernel lacks cannot be loaded.
	for name, p := range spec.Programs {
		if member, ok := strings.CutPrefix(p.AttachTo, "sched_ext_ops:"); ok && !known[member] {
			delete(spec.Programs, name)
		}
	}
	return spec, object.Name, configure(spec, kernel, o)
}

const (
	opsEnqueueLast   = 1 << 1
	opsSwitchPartial = 1 << 3
)

// configure writes the options into the object.
func configure(spec *ebpf.CollectionSpec, kernel *btf.Spec, o Options) error {
	flags := uint64(opsEnqueueLast)
	if o.Partial {
		flags |= opsSwitchPartial
	}
	// 6.12 to 7.2 want to be told that weights are kept; 7.3 refuses to hear it.
	var enum *btf.Enum
	if err := kernel.TypeByName("scx_ops_flags", &enum); err == nil {
		for _, v := range enum.Values {
			if v.Name == "SCX_OPS_HAS_CGROUP_WEIGHT" {
				flags |= v.Value
			}
		}
	}
	n, err := ebpf.PossibleCPU()
	if err != nil {
		return err
	}
	queues, count, err := queuesOf(o.Queues, n)
	if err != nil {
		return err
	}
	watchdog := cmp.Or(o.Watchdog, 30*time.Second)
	if err := setOps(spec, "flags", flags); err != nil {
		return err
	}
	if err := setOps(spec, "timeout_ms", uint32(watchdog/time.Millisecond)); err != nil {
		return err
	}
	for name, v := range map[string]any{
		"nr_cpus": uint32(min(n, maxCPUs)), "nr_queues": count, "queue_of_cpu": queues,
		"guard_wait_ns":  uint64(cmp.Or(o.GuardWait, 500*time.Millisecond)),
		"guard_every_ns": uint64(cmp.Or(o.GuardEvery, 500*time.Millisecond)),
		"guard_slice_ns": uint64(cmp.Or(o.GuardSlice, 25*time.Millisecond)),
		"rescue_wait_ns": uint64(cmp.Or(o.Rescue, 10*time.Second)),
		"server_age_ns":  uint64(cmp.Or(o.ServerAge, bpf.WorkerAge)),
		"server_sleeps":  cmp.Or(o.ServerSleeps, bpf.WorkerSleeps),
	} {
		if err := spec.Variables[name].Set(v); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// setOps sets a number in the struct that registers the scheduler.
func setOps(spec *ebpf.CollectionSpec, member string, v any) error {
	var st *btf.Struct
	if err := spec.Types.TypeByName("sched_ext_ops", &st); err != nil {
		return err
	}
	ops := spec.Maps[Name].Contents[0].Value.([]byte)
	for _, m := range st.Members {
		if m.Name == member {
			_, err := binary.Encode(ops[m.Offset.Bytes():], binary.LittleEndian, v)
			return err
		}
	}
	return fmt.Errorf("sched_ext_ops has no member %s", member)
}

// Load puts the scheduler into the kernel, in charge of nobody's functions yet.
// It needs root. Where another sched_ext scheduler is in charge the error says which.
func Load(o Options) (*Scheduler, error) {
	s, err := load(o)
	if err != nil {
		return nil, fmt.Errorf("load the sched_ext scheduler: %w", err)
	}
	return s, nil
}

// Check says why the running kernel does not take the scheduler, as far as that can
// be told without putting it in charge: it loads the programs and drops them again.
func Check(o Options) error {
	s, err := prepared(o)
	if err != nil {
		return fmt.Errorf("load the sched_ext scheduler: %w", err)
	}
	s.coll.Close()
	return nil
}

func load(o Options) (*Scheduler, error) {
	s, err := prepared(o)
	if err != nil {
		return nil, err
	}
	if s.rules, err = s.coll.Maps["rules"].Memory(); err == nil {
		err = errors.Join(s.word("functions_epoch", uint64(1)), s.SetOrder(Order{}))
	}
	if err == nil {
		s.epoch = 1
		s.link, err = link.AttachStructOps(link.StructOpsOptions{Map: s.coll.Maps[Name]})
	}
	if err != nil {
		if other := InCharge(); errors.Is(err, unix.EBUSY) && other != "" {
			err = fmt.Errorf("the sched_ext scheduler %s is in charge: end it first (%w)", other, err)
		}
		s.coll.Close()
		return nil, err
	}
	return s, nil
}

// prepared is the scheduler with its programs in the kernel, in charge of nothing.
func prepared(o Options) (*Scheduler, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("root is needed")
	}
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return nil, fmt.Errorf("this kernel has no type information (CONFIG_DEBUG_INFO_BTF): %w", err)
	}
	spec, name, err := prepare(kernel, o)
	if err != nil {
		return nil, err
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, err
	}
	s := &Scheduler{API: name, slots: map[bpf.CgroupID]uint32{}, pools: map[bpf.CgroupID]bool{}, lims: map[bpf.CgroupID]Limit{}, own: spec.Programs["scx_cgroup_set_bandwidth"] != nil}
	if s.coll, err = ebpf.NewCollection(spec); err != nil {
		var verifier *ebpf.VerifierError
		if errors.As(err, &verifier) {
			return nil, fmt.Errorf("%s: the kernel's verifier refuses it: %-40v", name, verifier)
		}
		if errors.Is(err, unix.EPERM) {
			return nil, fmt.Errorf("%s: root without its capabilities, as in a container, or a kernel that is locked down, may not load BPF: %w", name, err)
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// InCharge is the name of the sched_ext scheduler that is loaded; "" if there is none.
func InCharge() string {
	const dir = "/sys/kernel/sched_ext"
	state, err := os.ReadFile(filepath.Join(dir, "state"))
	if err != nil || strings.TrimSpace(string(state)) == "disabled" {
		return ""
	}
	name, err := os.ReadFile(filepath.Join(dir, "root", "ops"))
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(name))
}

// word sets a variable of the programs.
func (s *Scheduler) word(name string, v any) error {
	if err := s.coll.Variables[name].Set(v); err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	return nil
}

// Close gives all tasks back to the kernel's own scheduler.
func (s *Scheduler) Close() error {
	var err error
	if s.link != nil {
		err = s.link.Close()
		s.link = nil
	}
	s.coll.Close()
	return err
}

// schedExt is the policy SCHED_EXT.
const schedExt = 7

// Take gives a thread, and what it forks from now on, to a partial scheduler.
func Take(thread int) error {
	if err := unix.SchedSetAttr(thread, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: schedExt}, 0); errors.Is(err, unix.ESRCH) {
		return nil // it has ended
	} else if err != nil {
		return fmt.Errorf("thread %d: policy SCHED_EXT: %w", thread, err)
	}
	return nil
}
