// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/loadgen"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/openlambda/artifact"
	"github.com/ds2-lab/alps/vm"
)

// Guest is a virtual machine with daemon, worker and functions.
type Guest struct {
	VM        *vm.Guest // nil where each run has its own
	Info      vm.Info
	Artifacts Artifacts
	Costs     Costs // of the functions, if Acquire made the guest

	SetUpCPU time.Duration // CPU time of the host that the snapshot took; 0: there is none

	snapshot *vm.Snapshot // that the runs start from
	hostCPU  atomic.Int64 // ns; of the last Do
}

// HostCPU is the CPU time of the host that the last Do took. ok is false for a guest
// without a snapshot, whose QEMU serves several.
func (g *Guest) HostCPU() (used time.Duration, ok bool) {
	return time.Duration(g.hostCPU.Load()), g.snapshot != nil
}

// bootTries is how many emulated guests are booted if each freezes. QEMU's emulation
// with a thread per CPU was seen to freeze, with all CPUs spinning, when the kernel
// patches the hooks' calls (about one attachment in thirty); under KVM or with one CPU
// it never was.
const bootTries = 3

// setUpLimit is how long setUp may take: several times as long as an emulated guest
// needs.
const setUpLimit = 4 * time.Minute

// Boot starts a guest, the daemon (observing, plain CFS) and the functions of ports;
// without ports all functions.
func (a Artifacts) Boot(ctx context.Context, ports []string) (*Guest, error) {
	step := a.opts.Progress.Step("guest: boot, daemon, functions", 0, 0)
	for try := 1; ; try++ {
		m, err := vm.Start(ctx, a.VMConfig())
		if err != nil {
			return nil, err
		}
		g := &Guest{VM: m, Artifacts: a}
		most := m.Config.Patience(setUpLimit)
		limit, cancel := context.WithTimeoutCause(ctx, most, fmt.Errorf("not set up within %s", most))
		err = g.setUp(limit, ports, step)
		cancel()
		if err == nil {
			step.Done("")
			return g, nil
		}
		froze := ctx.Err() == nil && m.Froze(ctx)
		m.Close()
		if !froze || a.Accel != vm.TCG || try == bootTries {
			return nil, err
		}
		a.opts.Progress.Printf("the guest froze (console: %s); booting another", m.Console())
	}
}

func (g *Guest) setUp(ctx context.Context, ports []string, step *progress.Step) error {
	if err := g.VM.WaitDocker(ctx, 3*time.Minute); err != nil {
		return err
	}
	var err error
	if g.Info, err = g.VM.Info(ctx); err != nil {
		return err
	}
	step.Detail("daemon")
	if err := g.VM.Run(ctx, vm.Cmd{Line: g.Artifacts.daemonLine()}); err != nil {
		return err
	}
	step.Detail("functions")
	if err := g.VM.Run(ctx, vm.Cmd{Line: g.Artifacts.functionsLine(ports)}); err != nil {
		return err
	}
	if g.Artifacts.variant.Worker != "" {
		if err := g.registerWorkers(ctx, ports); err != nil {
			return err
		}
	}
	want := len(ports)
	if want == 0 {
		want = len(artifact.Functions)
	}
	if err := g.awaitFunctions(ctx, want); err != nil || !g.Artifacts.variant.Agent {
		return err
	}
	step.Detail("agent")
	return g.startAgent(ctx)
}

// daemonLine is the shell line that confines the guest's services to their CPUs and
// starts the daemon.
func (a Artifacts) daemonLine() string {
	return strings.Join(append(a.confine(), "systemd-run --quiet --collect --unit=alps "+a.onSystemCPU()+
		"-p Restart=no alps run -policy cfs "+a.hooksFlag()+" -cpus "+a.functionCPUs()), " && ")
}

// functionsLine is the shell line that starts the functions of ports, without ports all.
func (a Artifacts) functionsLine(ports []string) string {
	cpus := a.functionCPUs()
	line := "systemd-run --quiet --wait --pipe --collect --unit=" + loadgen.WorkerUnit + " -p KillMode=process "
	if a.variant.Deployment == config.AsPaper {
		line += fmt.Sprintf("-p AllowedCPUs=%s ol functions init -platform-us %d -cpus %s", cpus, a.PlatformModelled.Microseconds(), cpus)
	} else {
		line += "ol functions init -cpus " + cpus
	}
	if len(ports) > 0 {
		line += " -ports " + strings.Join(ports, ",")
	}
	if a.variant.Worker != "" {
		line += " -binary " + otherWorker
	}
	return line
}

// SetUp is all that this host's code says of a guest, for keys: QEMU's command line, with
// placeholders for files, and the commands before the first run. Neither the guest's
// programs nor its disk have it.
func (a Artifacts) SetUp() (string, error) {
	c := a.VMConfig()
	c.Kernel, c.Disk, c.Tools, c.QEMU = "KERNEL", "DISK", "TOOLS", "QEMU"
	if c.Initrd != "" {
		c.Initrd = "INITRD"
	}
	machine, err := vm.Plan(c)
	if err != nil {
		return "", err
	}
	lines := []string{strings.Join(machine, " "), a.daemonLine(), a.functionsLine(nil)}
	if a.variant.Worker != "" {
		for _, f := range artifact.Functions {
			lines = append(lines, registerLine(f.Port, f.UID, f.Name))
		}
	}
	if a.variant.Agent {
		lines = append(lines, a.agentLine())
	}
	return strings.Join(lines, "\n"), nil
}

// platformTime is the CPU time that our platform was measured to need per request
// in a guest in virtual time.
const platformTime = 1250 * time.Microsecond

// platformShare is the CPU time by which the paper's platform exceeds ours per
// request: 14.7 ms, fitted to its plots (docs/fidelity.md), less platformTime. The
// artifact starts an interpreter per request. In a guest in virtual time that takes
// 33 ms, and 301 ms with the library that most of its functions import, because the
// guest's CPU does one instruction per ns. So an invocation is forked here, and its
// container uses platformShare before.
const platformShare = 14700*time.Microsecond - platformTime

// confine lists the commands that say on which CPUs everything but the functions runs:
// on CPU 0. In the paper's deployment the platform runs on the functions' CPUs instead.
// A guest with one CPU needs no such commands.
func (a Artifacts) confine() []string {
	allow := func(cpus string, units ...string) (lines []string) {
		for _, u := range units {
			lines = append(lines, "systemctl set-property --runtime "+u+" AllowedCPUs="+cpus)
		}
		return lines
	}
	switch {
	case a.CPUs == 1:
		return nil
	case a.variant.Deployment == config.AsPaper:
		return append(allow("0", "init.scope"), allow(a.functionCPUs(), "docker.service", "containerd.service")...)
	}
	return allow("0", "system.slice", "init.scope")
}

// onSystemCPU is the option of systemd-run that confines a unit to CPU 0; "" where
// system.slice, in which the unit is, does so.
func (a Artifacts) onSystemCPU() string {
	if a.variant.Deployment == config.AsPaper && a.CPUs > 1 {
		return "-p AllowedCPUs=0 "
	}
	return ""
}

// awaitFunctions waits until the daemon has found n functions.
func (g *Guest) awaitFunctions(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, g.VM.Config.Patience(2*time.Minute))
	defer cancel()
	for {
		out, err := g.VM.Output(ctx, "alps status | grep '^[0-9]* functions'")
		if err == nil && out == strconv.Itoa(n)+" functions" {
			return nil
		}
		select {
		case <-ctx.Done():
			log, _ := g.VM.LastWords(ctx, "journalctl -u alps -n 20 --no-pager -o cat")
			return fmt.Errorf("the daemon has not found %d functions (last answer %q, %v):\n%s", n, out, err, log)
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// Close ends the guest.
func (g *Guest) Close() error {
	if g.VM == nil {
		return nil
	}
	return g.VM.Close()
}
