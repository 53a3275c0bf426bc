// SPDX-License-Identifier: Apache-2.0

//go:build mage

package main

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

// guestFlags are those of targets that may boot a guest.
type guestFlags struct {
	kernel, config, accel, keep, share, pin string
	cpus, mem, gdb                          int
	debug, snapshot                         bool
}

func newFlags(kernel, config, accel, keep, share, pin *string, cpus, mem, gdb *int, debug, snapshot *bool) guestFlags {
	return guestFlags{kernel: value(kernel), config: value(config), accel: value(accel), keep: value(keep), share: value(share), pin: value(pin),
		cpus: value(cpus), mem: value(mem), gdb: value(gdb), debug: value(debug), snapshot: value(snapshot)}
}

// given reports whether any of them asks for a guest of its own.
func (f guestFlags) given() bool { return f != guestFlags{} }

// prepare builds what the guest is made of, and its configuration.
func (f guestFlags) prepare(ctx context.Context) (guest.Artifacts, vm.Config, error) {
	a, err := vm.ParseAccel(f.accel)
	if err != nil {
		return guest.Artifacts{}, vm.Config{}, err
	}
	pin, err := cpulist.Parse(f.pin)
	if err != nil {
		return guest.Artifacts{}, vm.Config{}, err
	}
	o, err := rig(ctx, f.kernel)
	if err != nil {
		return guest.Artifacts{}, vm.Config{}, err
	}
	o.Accel, o.CPUs, o.MemMiB, o.Debug, o.Fragment = a, f.cpus, f.mem, f.debug, f.config
	p, err := guest.Prepare(ctx, o)
	c := p.VMConfig()
	c.Keep, c.Share, c.GDBPort, c.Pin, c.Shared = f.keep, f.share, f.gdb, pin, true
	return p, c, err
}

// fromSnapshot starts a guest in which Docker is ready.
func fromSnapshot(ctx context.Context, c vm.Config) (*vm.Machine, error) {
	s, err := vm.TakeSnapshot(ctx, c, vm.Provision{}, console)
	if err != nil {
		return nil, err
	}
	return s.Start(ctx)
}

// boot starts a guest as the flags say.
func (f guestFlags) boot(ctx context.Context, detached bool) (*vm.Machine, error) {
	p, c, err := f.prepare(ctx)
	if err != nil {
		return nil, err
	}
	c.Detached = detached
	start := vm.Start
	if f.snapshot {
		start = fromSnapshot
	}
	step := console.Step("guest: start", 0, 0)
	m, err := start(ctx, c)
	if err != nil {
		return nil, err
	}
	step.Done("")
	if f.gdb > 0 {
		vmlinux, err := kernel.Symbols(p.Kernel.BzImage)
		if err != nil {
			console.Printf("%v", err)
			vmlinux = "VMLINUX"
		}
		console.Printf("%s", m.DebugLine(vmlinux))
	}
	return m, nil
}

// Shell gives you a root shell in the running guest, or in a fresh one that ends with it.
func (Vm) Shell(ctx context.Context,
	id *string, // of vm:list; without it this checkout's, where one is running
	kernel *string, // in kernels.yaml; this and the following ask for a fresh guest
	accel *string, // auto, kvm, tcg or vtime
	cpus *int, // 0: by the accelerator
	mem *int, // MiB
	keep *string, // keep the disk's changes under this name, for the next time
	share *string, // directory of this host: /mnt/share
	gdb *int, // port of this host on which QEMU waits for gdb
	pin *string, // host CPUs for the guest's, as 2-5,8
	debug *bool, // the kernel with kernel/config/debug.config
	config *string, // the kernel with one more configuration fragment
	snapshot *bool, // do not boot: go on from a snapshot in which Docker is ready
	bare *bool, // a fresh guest without daemon, worker and functions
) error {
	f := newFlags(kernel, config, accel, keep, share, pin, cpus, mem, gdb, debug, snapshot)
	if !f.given() && !value(bare) {
		m, err := vm.Open(ctx, value(id))
		if err == nil {
			defer m.Detach()
			console.Printf("in the running guest %s; vm:down ends it", m.ID)
			hintFunctions(ctx, m)
			return shell(ctx, m)
		}
		if value(id) != "" || !errors.Is(err, vm.ErrNoneRunning) {
			return err
		}
	}
	if value(bare) || f.keep != "" || f.gdb > 0 || f.share != "" || f.pin != "" || f.snapshot {
		m, err := f.boot(ctx, false)
		if err != nil {
			return err
		}
		return errors.Join(shell(ctx, m), m.Close())
	}
	p, _, err := f.prepare(ctx)
	if err != nil {
		return err
	}
	p.Shared = true
	r, err := p.Boot(ctx, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	console.Printf("fifteen functions are up on ports 5001 to 5021, the daemon observes (alps status; alps mode -policy alps).\nHello world: curl -X POST localhost:5002/run/fib -d '{\"n\":\"20\",\"id\":\"20\",\"job\":\"fib\"}'")
	return shell(ctx, r.Machine)
}

// hintFunctions says how to have functions in a guest in which none are served.
func hintFunctions(ctx context.Context, m *vm.Machine) {
	if _, err := m.LastWords(ctx, "ss -Hltn 'sport = :5002' | grep -q ."); err != nil {
		console.Printf("no functions are served in it: go run mage.go functions:init -id=%s starts them", m.ID)
	}
}

func shell(ctx context.Context, m *vm.Machine) error {
	return exitCode(m.Shell(ctx, os.Stdin, os.Stdout, os.Stderr))
}

// Run runs a command line in the running guest, or in a fresh one; the exit code is the command's.
func (Vm) Run(ctx context.Context, line string,
	id *string, // of vm:list; without it this checkout's, where one is running
	kernel *string, // in kernels.yaml; this and the following ask for a fresh guest
	accel *string, // auto, kvm, tcg or vtime
	cpus *int, // 0: by the accelerator
	mem *int, // MiB
	keep *string, // keep the disk's changes under this name, for the next time
	share *string, // directory of this host: /mnt/share
	debug *bool, // the kernel with kernel/config/debug.config
	config *string, // the kernel with one more configuration fragment
	snapshot *bool, // do not boot: go on from a snapshot in which Docker is ready
) error {
	f := newFlags(kernel, config, accel, keep, share, nil, cpus, mem, nil, debug, snapshot)
	command := vm.Cmd{Line: line, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	if !f.given() {
		m, err := vm.Open(ctx, value(id))
		if err == nil {
			defer m.Detach()
			console.Printf("in the running guest %s", m.ID)
			return exitCode(m.Run(ctx, command))
		}
		if value(id) != "" || !errors.Is(err, vm.ErrNoneRunning) {
			return err
		}
	}
	m, err := f.boot(ctx, false)
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

// Up boots a guest that stays until vm:down.
func (Vm) Up(ctx context.Context,
	kernel *string, // in kernels.yaml
	accel *string, // auto, kvm, tcg or vtime
	cpus *int, // 0: by the accelerator
	mem *int, // MiB
	keep *string, // keep the disk's changes under this name, for the next time
	share *string, // directory of this host: /mnt/share
	gdb *int, // port of this host on which QEMU waits for gdb
	pin *string, // host CPUs for the guest's, as 2-5,8
	debug *bool, // the kernel with kernel/config/debug.config
	config *string, // the kernel with one more configuration fragment
	snapshot *bool, // do not boot: go on from a snapshot in which Docker is ready
) error {
	f := newFlags(kernel, config, accel, keep, share, pin, cpus, mem, gdb, debug, snapshot)
	m, err := f.boot(ctx, true)
	if err != nil {
		return err
	}
	defer m.Detach()
	fmt.Println(m.ID)
	hintFunctions(ctx, m)
	return nil
}

// Down shuts a running guest down: by its power button, then by QEMU, then by SIGKILL.
func (Vm) Down(ctx context.Context,
	id *string, // of vm:list; without it this checkout's
) error {
	st, err := vm.Find(value(id))
	if err != nil {
		return err
	}
	step := console.Step(st.ID+": down", 0, 0)
	how, err := st.Stop(ctx)
	if err == nil {
		step.Done(how)
	}
	return err
}

// List lists the running guests.
func (Vm) List() error {
	list, err := vm.List()
	if err != nil {
		return err
	}
	if len(list) == 0 {
		fmt.Println("no guest is running")
		return nil
	}
	tw := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
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

// Log prints a running guest's console.
func (Vm) Log(
	id *string, // of vm:list; without it this checkout's
) error {
	st, err := vm.Find(value(id))
	if err != nil {
		return err
	}
	f, err := os.Open(st.Console)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(os.Stdout, f)
	return err
}

// Dump writes a running guest's memory to a file, for crash and gdb.
func (Vm) Dump(ctx context.Context,
	id *string, // of vm:list; without it this checkout's
	out *string, // file; ID.core without it
) error {
	st, err := vm.Find(value(id))
	if err != nil {
		return err
	}
	path := value(out)
	if path == "" {
		path = st.ID + ".core"
	}
	step := console.Step(st.ID+": dump", 0, 0)
	if err := st.Dump(ctx, path); err != nil {
		return err
	}
	step.Done("")
	vmlinux, err := kernel.Symbols(st.Kernel)
	if err != nil {
		return fmt.Errorf("%s is written; %w", path, err)
	}
	fmt.Printf("crash %s %s\n", vmlinux, path)
	return nil
}

// Doctor prints what this host can do for guests, and what is missing.
func (Vm) Doctor(ctx context.Context) error {
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
	tw := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", f.Mark, f.Name, f.Says)
	}
	return tw.Flush()
}

// Qemu builds the QEMU for guests in virtual time, and prints its path.
func (Vm) Qemu(ctx context.Context,
	src *string, // build from this tree of QEMU 10.0 instead of Debian's source package
	force *bool, // build even if it is cached
) error {
	if err := deps.Ensure(ctx, console, deps.QEMU(), deps.QEMUBuild()); err != nil {
		return err
	}
	built, err := qemu.Build(ctx, qemu.Options{Src: value(src), Force: value(force), Progress: console})
	if err != nil {
		return err
	}
	console.Printf("%s, %s", built.Version, built.Source)
	fmt.Println(built.Path)
	return nil
}

// Plan prints the QEMU command line and starts nothing.
func (Vm) Plan(
	accel *string, // kvm, tcg or vtime
	cpus *int, // 0: by the accelerator
	mem *int, // MiB
	share *string, // directory of this host
	gdb *int, // port of this host on which QEMU waits for gdb
) error {
	a, err := vm.ParseAccel(value(accel))
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
	args, err := vm.Plan(vm.Config{Kernel: "BZIMAGE", Disk: "DISK.qcow2", Tools: "TOOLS.raw", Accel: a, QEMU: program, CPUs: value(cpus),
		MemMiB: value(mem), Share: value(share), GDBPort: value(gdb)})
	if err != nil {
		return err
	}
	fmt.Println(strings.Join(args, " "))
	return nil
}
