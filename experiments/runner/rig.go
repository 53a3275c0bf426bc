package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ds2-lab/alps/experiments/load"
	"github.com/ds2-lab/alps/experiments/spec"
	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/internal/digest"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/kernel"
	"github.com/ds2-lab/alps/openlambda"
	"github.com/ds2-lab/alps/vm"
	"github.com/ds2-lab/alps/vm/qemu"
)

// fallbackKernel is built where the default's source cannot be had.
const fallbackKernel = "6.1"

// RigOptions say what to boot. Root is required.
type RigOptions struct {
	Root     string // of the repository
	Kernel   string // in kernels.yaml; "": the default, or the fallback
	Src      string // kernel tree to build from
	Debug    bool   // with the debug fragment
	Fragment string // one more, by path; "" for none
	Accel    vm.Accel
	Virtual  bool // where KVM does not work: virtual time rather than plain emulation
	CPUs     int  // 0: vm.DefaultCPUs
	MemMiB   int
	Progress *progress.Reporter
}

// Parts is everything a guest is made of, built or found in the cache.
type Parts struct {
	Kernel      kernel.Built
	Fallback    bool // another kernel than asked for
	Image       vm.Image
	Lambda      openlambda.Image
	Tools       string // disk
	ToolsDigest string
	Accel       vm.Accel
	AccelWhy    string
	QEMU        qemu.Built // of guests in virtual time; zero: the distribution's
	CPUs        int
	Revision    string // of the code, when the tools were built

	Shared bool // a guest booted of these can be found by vm.Running

	opts   RigOptions
	worker string // another ol instead of ours
	agent  bool   // decides in user space

	deployment string // of package spec; "": apart
}

// Prepare builds kernel, container image, disk and tools.
func Prepare(ctx context.Context, o RigOptions) (Parts, error) {
	p := Parts{opts: o}
	ko := kernel.Options{Dir: filepath.Join(o.Root, "kernel"), Src: o.Src, Debug: o.Debug, Progress: o.Progress}
	if o.Fragment != "" {
		ko.Extra = []string{o.Fragment}
	}
	var err error
	p.Kernel, err = kernel.Build(ctx, o.Kernel, ko)
	if errors.Is(err, kernel.ErrUnavailable) && o.Kernel == "" {
		o.Progress.Printf("WARNING: the paper's kernel cannot be had here; building %s instead. Results and figures will say so.\n%v", fallbackKernel, err)
		p.Fallback = true
		p.Kernel, err = kernel.Build(ctx, fallbackKernel, ko)
	}
	if err != nil {
		return Parts{}, err
	}
	if p.Accel, p.AccelWhy, err = vm.Resolve(ctx, o.Accel, p.Kernel.BzImage); err != nil {
		return Parts{}, err
	}
	if p.CPUs = o.CPUs; p.CPUs == 0 {
		p.CPUs = vm.DefaultCPUs(p.Accel)
	}
	if auto := o.Accel == "" || o.Accel == vm.Auto; auto && o.Virtual || p.Accel == vm.VTime {
		if p, err = p.inVirtualTime(ctx); err != nil {
			return Parts{}, err
		}
	}
	o.Progress.Printf("accelerator %s: %s", p.Accel, p.AccelWhy)
	if p.Lambda, err = openlambda.BuildImage(ctx, openlambda.ImageOptions{Progress: o.Progress}); err != nil {
		return Parts{}, err
	}
	if p.Image, err = vm.BuildImage(ctx, vm.ImageOptions{Kernel: p.Kernel.BzImage, Initrd: p.Kernel.Initrd, Accel: p.Accel, QEMU: p.QEMU.Path, Lambda: p.Lambda.Path, Progress: o.Progress}); err != nil {
		return Parts{}, err
	}
	p.Revision = revision(ctx, o.Root)
	p.Tools, p.ToolsDigest, err = p.buildTools(ctx)
	return p, err
}

// inVirtualTime is the parts with virtual time instead of plain emulation: there
// the host's speed and load change nothing. Under KVM they stay as they are.
func (p Parts) inVirtualTime(ctx context.Context) (Parts, error) {
	switch p.Accel {
	case vm.VTime:
	case vm.TCG:
		p.Accel, p.AccelWhy = vm.VTime, p.AccelWhy+"; in virtual time the host does not matter"
		p.CPUs = cmp.Or(p.opts.CPUs, vm.DefaultCPUs(vm.VTime))
	default:
		return p, nil
	}
	var err error
	p.QEMU, err = qemu.Build(ctx, qemu.Options{Progress: p.opts.Progress})
	return p, err
}

// guestCommands know no experiment and no simulator, so that a change of those
// leaves the guest, and the results measured in it, as they were.
var guestCommands = []string{"./alps/cmd/alps", "./openlambda/cmd/ol", "./experiments/cmd/alps-load"}

// buildTools compiles our binaries for the guest and puts them with the
// functions' sources on a disk.
func (p Parts) buildTools(ctx context.Context) (disk, sum string, err error) {
	root, commands := p.opts.Root, guestCommands
	if p.agent {
		commands = append(slices.Clip(commands), agentCommand)
	}
	dir, err := os.MkdirTemp("", "alps-tools")
	if err != nil {
		return "", "", err
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", "", err
	}
	// Without paths and revision the same code gives the same bytes.
	err = command.Run(ctx, command.Cmd{Dir: root, Env: []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64"},
		Args: append([]string{"go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", bin + "/"}, commands...)})
	if err != nil {
		return "", "", fmt.Errorf("tools: %w", err)
	}
	if p.worker != "" {
		data, err := os.ReadFile(p.worker)
		if err == nil {
			err = os.WriteFile(filepath.Join(bin, filepath.Base(otherWorker)), data, 0o755)
		}
		if err != nil {
			return "", "", fmt.Errorf("tools: worker: %w", err)
		}
	}
	if err := os.CopyFS(filepath.Join(dir, "registry"), os.DirFS(filepath.Join(root, "openlambda/functions"))); err != nil {
		return "", "", fmt.Errorf("tools: %w", err)
	}
	os.RemoveAll(filepath.Join(dir, "registry", "__pycache__"))
	if sum, err = digest.New("tools/1").Dir("dir", dir).Sum(); err != nil {
		return "", "", err
	}
	disk, err = vm.ToolsDisk(ctx, dir)
	return disk, sum, err
}

// VMConfig is the guest that Boot starts.
func (p Parts) VMConfig() vm.Config {
	return vm.Config{Kernel: p.Kernel.BzImage, Initrd: p.Kernel.Initrd, Disk: p.Image.Path, Tools: p.Tools, Accel: p.Accel, QEMU: p.QEMU.Path, CPUs: p.CPUs, MemMiB: p.opts.MemMiB, Shared: p.Shared}
}

// functionCPUs is the guest's CPUs but 0, which the system keeps; a guest with
// one CPU shares it.
func (p Parts) functionCPUs() string {
	switch p.CPUs {
	case 1:
		return "0"
	case 2:
		return "1"
	}
	return "1-" + strconv.Itoa(p.CPUs-1)
}

// FunctionCPUs is how many CPUs the functions have.
func (p Parts) FunctionCPUs() int { return functionCPUs(p.CPUs) }

func functionCPUs(cpus int) int { return max(1, cpus-1) }

// Rig is a guest with daemon, worker and functions.
type Rig struct {
	Machine *vm.Machine // nil where each run has its own
	Info    vm.Info
	Parts   Parts
	Costs   Costs // if it was got from Ready

	snapshot *vm.Snapshot // that the runs go on from
}

// bootTries is how often an emulated guest may freeze. QEMU's multi-threaded
// emulation was seen to, with all its CPUs spinning, when the kernel patches the
// hooks' calls (about one attachment in thirty); never under KVM or one CPU.
const bootTries = 3

// setUpLimit is several times what an emulated guest needs.
const setUpLimit = 4 * time.Minute

// Boot starts a guest, the daemon (observing, plain CFS) and the functions of
// ports.
func (p Parts) Boot(ctx context.Context, ports []string) (*Rig, error) {
	step := p.opts.Progress.Step("guest: boot, daemon, functions", 0, 0)
	for try := 1; ; try++ {
		m, err := vm.Start(ctx, p.VMConfig())
		if err != nil {
			return nil, err
		}
		r := &Rig{Machine: m, Parts: p}
		limit, cancel := context.WithTimeoutCause(ctx, setUpLimit, errFroze)
		err = r.setUp(limit, ports, step)
		cancel()
		if err == nil {
			step.Done("")
			return r, nil
		}
		froze := ctx.Err() == nil && m.Froze(ctx)
		m.Close()
		if !froze || p.Accel != vm.TCG || try == bootTries {
			return nil, err
		}
		p.opts.Progress.Printf("the guest froze (console: %s); booting another", m.Console())
	}
}

var errFroze = fmt.Errorf("not set up within %s", setUpLimit)

func (r *Rig) setUp(ctx context.Context, ports []string, step *progress.Step) error {
	if err := r.Machine.WaitDocker(ctx, 3*time.Minute); err != nil {
		return err
	}
	var err error
	if r.Info, err = r.Machine.Info(ctx); err != nil {
		return err
	}
	cpus := r.Parts.functionCPUs()
	step.Detail("daemon")
	lines := r.Parts.confine()
	lines = append(lines, "systemd-run --quiet --collect --unit=alps "+r.Parts.onSystemCPU()+"-p Restart=no alps run -policy cfs "+r.Parts.hooksFlag()+" -cpus "+cpus)
	if err := r.Machine.Run(ctx, vm.Cmd{Line: strings.Join(lines, " && ")}); err != nil {
		return err
	}
	step.Detail("functions")
	line := "systemd-run --quiet --wait --pipe --collect --unit=" + load.WorkerUnit + " -p KillMode=process "
	if r.Parts.deployment == spec.AsPaper {
		line += fmt.Sprintf("-p AllowedCPUs=%s ol functions init -platform-us %d -cpus %s", cpus, platformShare.Microseconds(), cpus)
	} else {
		line += "ol functions init -cpus " + cpus
	}
	if len(ports) > 0 {
		line += " -ports " + strings.Join(ports, ",")
	}
	if r.Parts.worker != "" {
		line += " -binary " + otherWorker
	}
	if err := r.Machine.Run(ctx, vm.Cmd{Line: line}); err != nil {
		return err
	}
	if r.Parts.worker != "" {
		if err := r.registerWorkers(ctx, ports); err != nil {
			return err
		}
	}
	want := len(ports)
	if want == 0 {
		want = len(openlambda.Artifact)
	}
	if err := r.awaitFunctions(ctx, want); err != nil || !r.Parts.agent {
		return err
	}
	step.Detail("agent")
	return r.startAgent(ctx)
}

// platformShare is the CPU time by which the paper's platform exceeds ours per
// request: 14.7 ms, fitted to its plots (docs/fidelity.md), less what ours was
// measured to need in a guest in virtual time. The artifact starts an interpreter
// per request; here that takes 33 ms, and 301 ms with the library that most of
// its functions import, because the guest's CPU does one instruction per ns. So
// an invocation is forked, and its container uses that much beforehand.
const platformShare = 14700*time.Microsecond - 1250*time.Microsecond

// confine is what keeps off the functions' CPUs, or on them, all that is no
// function, by the deployment.
func (p Parts) confine() []string {
	allow := func(cpus string, units ...string) (lines []string) {
		for _, u := range units {
			lines = append(lines, "systemctl set-property --runtime "+u+" AllowedCPUs="+cpus)
		}
		return lines
	}
	switch {
	case p.CPUs == 1:
		return nil
	case p.deployment == spec.AsPaper:
		return append(allow("0", "init.scope"), allow(p.functionCPUs(), "docker.service", "containerd.service")...)
	}
	return allow("0", "system.slice", "init.scope")
}

// onSystemCPU confines a unit that systemd-run starts, where system.slice does not.
func (p Parts) onSystemCPU() string {
	if p.deployment == spec.AsPaper && p.CPUs > 1 {
		return "-p AllowedCPUs=0 "
	}
	return ""
}

// awaitFunctions waits until the daemon has found n functions.
func (r *Rig) awaitFunctions(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		out, err := r.Machine.Output(ctx, "alps status | grep '^[0-9]* functions'")
		if err == nil && out == strconv.Itoa(n)+" functions" {
			return nil
		}
		select {
		case <-ctx.Done():
			log, _ := r.Machine.LastWords(ctx, "journalctl -u alps -n 20 --no-pager -o cat")
			return fmt.Errorf("the daemon has not found %d functions (last answer %q, %v):\n%s", n, out, err, log)
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// Close ends the guest.
func (r *Rig) Close() error {
	if r.Machine == nil {
		return nil
	}
	return r.Machine.Close()
}

// revision is the repository's commit, with + if files differ from it.
func revision(ctx context.Context, root string) string {
	out, err := command.Output(ctx, command.Cmd{Args: []string{"git", "-C", root, "rev-parse", "--short=12", "HEAD"}})
	if err != nil {
		return "unknown"
	}
	rev := strings.TrimSpace(string(out))
	if changed, err := command.Output(ctx, command.Cmd{Args: []string{"git", "-C", root, "status", "--porcelain", "--untracked-files=no"}}); err != nil || len(changed) > 0 {
		rev += "+"
	}
	return rev
}

// ports of a list of requests, each once, sorted.
func uniquePorts(ports []string) []string {
	slices.Sort(ports)
	return slices.Compact(ports)
}
