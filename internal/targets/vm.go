// SPDX-License-Identifier: Apache-2.0

package targets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/magefile/mage/mg"

	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/internal/cpulist"
	"github.com/ds2-lab/alps/internal/deps"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/kernel"
	"github.com/ds2-lab/alps/vm"
	"github.com/ds2-lab/alps/vm/qemu"
)

// GuestFlags are the flags of targets that may boot a guest.
type GuestFlags struct {
	Kernel   string // in kernels.yaml
	Accel    string // auto, kvm, tcg or vtime
	CPUs     int    // of the guest; 0: by the accelerator
	Mem      int    // MiB
	Keep     string // keep the disk's changes under this name, for the next time
	Share    string // directory of this host: /mnt/share
	GDB      int    // port of this host on which QEMU waits for gdb
	Pin      string // host CPUs for the guest's, as 2-5,8
	Debug    bool   // the kernel with kernel/config/debug.config
	Config   string // the kernel with one more configuration fragment
	Snapshot bool   // do not boot: go on from a snapshot in which Docker is ready
}

// given reports whether any flag is set: it asks for a guest of its own.
func (f GuestFlags) given() bool { return f != GuestFlags{} }

// running reports whether a running guest is asked for: there is no flag that asks for a fresh one. With such a
// flag and an id it is an error.
func running(id string, fresh bool) (bool, error) {
	if fresh && id != "" {
		return false, fmt.Errorf("-id=%s is a guest that is running, and the other flags make a fresh one: leave out -id, or the others", id)
	}
	return !fresh, nil
}

// prepare builds what the guest is made of, and its configuration.
func (h Host) prepare(ctx context.Context, f GuestFlags) (guest.Artifacts, vm.Config, error) {
	a, err := vm.ParseAccel(f.Accel)
	if err != nil {
		return guest.Artifacts{}, vm.Config{}, err
	}
	pin, err := cpulist.Parse(f.Pin)
	if err != nil {
		return guest.Artifacts{}, vm.Config{}, err
	}
	o, err := h.rig(ctx, f.Kernel)
	if err != nil {
		return guest.Artifacts{}, vm.Config{}, err
	}
	o.Accel, o.CPUs, o.MemMiB, o.Debug, o.Fragment = a, f.CPUs, f.Mem, f.Debug, f.Config
	p, err := guest.Prepare(ctx, o)
	c := p.VMConfig()
	c.Keep, c.Share, c.GDBPort, c.Pin, c.Shared = f.Keep, f.Share, f.GDB, pin, true
	return p, c, err
}

// fromSnapshot starts a guest in which Docker is ready.
func (h Host) fromSnapshot(ctx context.Context, c vm.Config) (*vm.Guest, error) {
	s, err := vm.TakeSnapshot(ctx, c, vm.Provision{}, h.Console)
	if err != nil {
		return nil, err
	}
	return s.Start(ctx)
}

// boot starts a guest as the flags say.
func (h Host) boot(ctx context.Context, f GuestFlags, detached bool) (*vm.Guest, error) {
	p, c, err := h.prepare(ctx, f)
	if err != nil {
		return nil, err
	}
	c.Detached = detached
	start := vm.Start
	if f.Snapshot {
		start = h.fromSnapshot
	}
	step := h.Console.Step("guest: start", 0, 0)
	m, err := start(ctx, c)
	if err != nil {
		return nil, err
	}
	step.Done("")
	if f.GDB > 0 {
		vmlinux, err := kernel.Symbols(p.Kernel.BzImage)
		if err != nil {
			h.Console.Printf("%v", err)
			vmlinux = "VMLINUX"
		}
		h.Console.Printf("%s", m.DebugLine(vmlinux))
	}
	return m, nil
}

// VmShellFlags are the flags of vm:shell.
type VmShellFlags struct {
	ID string // of vm:list; without it this checkout's, where one is running
	GuestFlags
	Bare bool // a fresh guest without daemon, worker and functions
}

// Shell gives you a root shell in the running guest, or in a fresh one that ends with it.
func (h Vm) Shell(ctx context.Context, f VmShellFlags) error {
	old, err := running(f.ID, f.given() || f.Bare)
	if err != nil {
		return err
	}
	if old {
		m, err := vm.Open(ctx, f.ID)
		if err == nil {
			defer m.Detach()
			h.Console.Printf("in the running guest %s; vm:down ends it", m.ID)
			h.hintFunctions(ctx, m)
			return h.shell(ctx, m)
		}
		if f.ID != "" || !errors.Is(err, vm.ErrNoneRunning) {
			return err
		}
	}
	if f.Bare || f.Keep != "" || f.GDB > 0 || f.Share != "" || f.Pin != "" || f.Snapshot {
		m, err := h.boot(ctx, f.GuestFlags, false)
		if err != nil {
			return err
		}
		return errors.Join(h.shell(ctx, m), m.Close())
	}
	p, _, err := h.prepare(ctx, f.GuestFlags)
	if err != nil {
		return err
	}
	p.Shared = true
	r, err := p.Boot(ctx, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	h.Console.Printf("fifteen functions are up on ports 5001 to 5021, the daemon observes (alps status; alps mode -policy alps).\nHello world: curl -X POST localhost:5002/run/fib -d '{\"n\":\"20\",\"id\":\"20\",\"job\":\"fib\"}'")
	return h.shell(ctx, r.VM)
}

// hintFunctions says how to have functions in a guest in which none are served.
func (h Host) hintFunctions(ctx context.Context, m *vm.Guest) {
	if _, err := m.LastWords(ctx, "ss -Hltn 'sport = :5002' | grep -q ."); err != nil {
		h.Console.Printf("no functions are served in it: go run mage.go functions:init -id=%s starts them", m.ID)
	}
}

func (h Host) shell(ctx context.Context, m *vm.Guest) error {
	return exitCode(m.Shell(ctx, os.Stdin, os.Stdout, os.Stderr))
}

// VmRunFlags are the flags of vm:run.
type VmRunFlags struct {
	ID string // of vm:list; without it this checkout's, where one is running
	GuestFlags
}

// Run runs a command line in the running guest, or in a fresh one; the exit code is the command's.
func (h Vm) Run(ctx context.Context, line string, f VmRunFlags) error {
	old, err := running(f.ID, f.given())
	if err != nil {
		return err
	}
	command := vm.Cmd{Line: line, Stdin: os.Stdin, Stdout: h.Out, Stderr: os.Stderr}
	if old {
		m, err := vm.Open(ctx, f.ID)
		if err == nil {
			defer m.Detach()
			h.Console.Printf("in the running guest %s", m.ID)
			return exitCode(m.Run(ctx, command))
		}
		if f.ID != "" || !errors.Is(err, vm.ErrNoneRunning) {
			return err
		}
	}
	m, err := h.boot(ctx, f.GuestFlags, false)
	if err != nil {
		return err
	}
	return errors.Join(exitCode(m.Run(ctx, command)), m.Close())
}

// exitCode passes a guest command's code on.
func exitCode(err error) error {
	var exit *vm.ExitError
	if errors.As(err, &exit) {
		return mg.Fatal(exit.Code, exit.Error())
	}
	return err
}

// VmUpFlags are the flags of vm:up.
type VmUpFlags struct {
	GuestFlags
}

// Up boots a guest that stays until vm:down.
func (h Vm) Up(ctx context.Context, f VmUpFlags) error {
	m, err := h.boot(ctx, f.GuestFlags, true)
	if err != nil {
		return err
	}
	defer m.Detach()
	fmt.Fprintln(h.Out, m.ID)
	h.hintFunctions(ctx, m)
	return nil
}

// VmDownFlags are the flags of vm:down.
type VmDownFlags struct {
	ID string // of vm:list; without it this checkout's
}

// Down shuts a running guest down: by its power button, then by QEMU, then by SIGKILL.
func (h Vm) Down(ctx context.Context, f VmDownFlags) error {
	st, err := vm.Find(f.ID)
	if err != nil {
		return err
	}
	step := h.Console.Step(st.ID+": down", 0, 0)
	how, err := st.Stop(ctx)
	if err == nil {
		step.Done(how)
	}
	return err
}

// List lists the running guests.
func (h Vm) List(ctx context.Context) error {
	list, err := vm.List()
	if err != nil {
		return err
	}
	if len(list) == 0 {
		fmt.Fprintln(h.Out, "no guest is running")
		return nil
	}
	tw := tabwriter.NewWriter(h.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "ID\tFOR\tACCEL\tCPUS\tMIB\tSSH\tGDB\tDISK\tQEMU\tENDS WITH\tCHECKOUT")
	for _, s := range list {
		disk, owner, gdb := "thrown away", "vm:down", "-"
		if s.Keep != "" {
			disk = "kept: " + s.Keep
		}
		if s.Owner > 0 {
			owner = "process " + strconv.Itoa(s.Owner)
		}
		if s.Measures {
			owner += ", measures"
		}
		if s.GDBPort > 0 {
			gdb = strconv.Itoa(s.GDBPort)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\t%d\t%s\t%s\n", s.ID, progress.Round(time.Since(s.Since)), s.Accel, s.CPUs, s.MemMiB, s.SSHPort, gdb, disk, s.PID, owner, cmp.Or(s.Checkout, "-"))
	}
	return tw.Flush()
}

// VmLogFlags are the flags of vm:log.
type VmLogFlags struct {
	ID string // of vm:list; without it this checkout's
}

// Log prints what a running guest has written to its console.
func (h Vm) Log(ctx context.Context, f VmLogFlags) error {
	st, err := vm.Find(f.ID)
	if err != nil {
		return err
	}
	console, err := os.Open(st.Console)
	if err != nil {
		return err
	}
	defer console.Close()
	_, err = io.Copy(h.Out, console)
	return err
}

// VmDumpFlags are the flags of vm:dump.
type VmDumpFlags struct {
	ID  string // of vm:list; without it this checkout's
	Out string // file; ID.core without it
}

// Dump writes a running guest's memory to a file, for crash and gdb.
func (h Vm) Dump(ctx context.Context, f VmDumpFlags) error {
	st, err := vm.Find(f.ID)
	if err != nil {
		return err
	}
	path := f.Out
	if path == "" {
		path = st.ID + ".core"
	}
	step := h.Console.Step(st.ID+": dump", 0, 0)
	if err := st.Dump(ctx, path); err != nil {
		return err
	}
	step.Done("")
	vmlinux, err := kernel.Symbols(st.Kernel)
	if err != nil {
		return fmt.Errorf("%s is written; %w", path, err)
	}
	fmt.Fprintf(h.Out, "crash %s %s\n", vmlinux, path)
	return nil
}

// Doctor prints what this host can do for guests, and what is missing.
func (h Vm) Doctor(ctx context.Context) error {
	kernels, err := kernel.Cached()
	if err != nil {
		return err
	}
	var images []string
	for _, k := range kernels {
		images = append(images, k.BzImage)
	}
	findings := vm.Examine(ctx, images)
	if missing := deps.Missing(deps.All()...); len(missing) > 0 {
		findings = append(findings, vm.Finding{Name: "packages", Mark: vm.Bad, Says: "missing: " + strings.Join(missing, " ") + " (go run mage.go deps)"})
	}
	tw := tabwriter.NewWriter(h.Out, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", f.Mark, f.Name, f.Says)
	}
	return tw.Flush()
}

// VmQemuFlags are the flags of vm:qemu.
type VmQemuFlags struct {
	Src   string // build from this tree of QEMU 10.0 instead of Debian's source package
	Force bool   // build even if it is cached
}

// Qemu builds the QEMU for guests in virtual time, and prints its path.
func (h Vm) Qemu(ctx context.Context, f VmQemuFlags) error {
	if err := deps.Ensure(ctx, h.Console, deps.QEMU(), deps.QEMUBuild()); err != nil {
		return err
	}
	built, err := qemu.Build(ctx, qemu.Options{Src: f.Src, Force: f.Force, Progress: h.Console})
	if err != nil {
		return err
	}
	h.Console.Printf("%s, %s", built.Version, built.Source)
	fmt.Fprintln(h.Out, built.Path)
	return nil
}

// VmPlanFlags are the flags of vm:plan.
type VmPlanFlags struct {
	Accel string // kvm, tcg or vtime
	CPUs  int    // 0: by the accelerator
	Mem   int    // MiB
	Share string // directory of this host
	GDB   int    // port of this host on which QEMU waits for gdb
}

// Plan prints the QEMU command line and starts nothing.
func (h Vm) Plan(ctx context.Context, f VmPlanFlags) error {
	a, err := vm.ParseAccel(f.Accel)
	if err != nil {
		return err
	}
	if a == vm.Auto {
		a = vm.TCG
	}
	var program string
	if a == vm.VTime {
		program = "QEMU"
	}
	args, err := vm.Plan(vm.Config{Kernel: "BZIMAGE", Disk: "DISK.qcow2", Tools: "TOOLS.raw", Accel: a, QEMU: program, CPUs: f.CPUs,
		MemMiB: f.Mem, Share: f.Share, GDBPort: f.GDB})
	if err != nil {
		return err
	}
	fmt.Fprintln(h.Out, strings.Join(args, " "))
	return nil
}
