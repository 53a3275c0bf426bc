//go:build mage

// Targets of the ALPS repository. Without mage installed: go run mage.go TARGET.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/magefile/mage/mg"

	"github.com/ds2-lab/alps/experiments/runner"
	"github.com/ds2-lab/alps/experiments/simulate"
	"github.com/ds2-lab/alps/experiments/spec"
	"github.com/ds2-lab/alps/figures"
	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/internal/deps"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/internal/tree"
	"github.com/ds2-lab/alps/kernel"
	"github.com/ds2-lab/alps/openlambda"
	"github.com/ds2-lab/alps/vm"
)

type (
	Kernel      mg.Namespace
	Bpf         mg.Namespace
	Openlambda  mg.Namespace
	Image       mg.Namespace
	Vm          mg.Namespace
	Functions   mg.Namespace
	Experiments mg.Namespace
	Figures     mg.Namespace
)

// console is where progress goes.
var console = progress.New(os.Stderr)

// value reads an optional flag.
func value[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}

// rig are the options every target with a guest begins with.
func rig(ctx context.Context, kernelName string) (runner.RigOptions, error) {
	root, err := tree.Root()
	if err != nil {
		return runner.RigOptions{}, err
	}
	err = deps.Ensure(ctx, console, deps.Kernel(), deps.Image(), deps.QEMU())
	return runner.RigOptions{Root: root, Kernel: kernelName, Progress: console}, err
}

// Deps installs the Debian packages that the other targets need.
func Deps(ctx context.Context) error {
	if err := deps.Ensure(ctx, console, deps.All()...); err != nil {
		return err
	}
	console.Printf("all packages are there")
	return nil
}

// List lists the kernels that kernel/kernels.yaml declares.
func (Kernel) List() error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	kernels, err := kernel.List(filepath.Join(root, "kernel"))
	for _, k := range kernels {
		note := ""
		if k.Default {
			note = "  (default)"
		}
		fmt.Printf("%-10s %d source(s), patches in kernel/%s%s\n", k.Name.V, len(k.Sources), k.Patches.V, note)
	}
	return err
}

// Build builds a kernel of kernel/kernels.yaml; without a name the default one.
func (Kernel) Build(ctx context.Context,
	name *string, // in kernels.yaml
	src *string, // build from this tree; it is copied, not changed
	force *bool, // build even if it is cached
) error {
	o, err := rig(ctx, value(name))
	if err != nil {
		return err
	}
	b, err := kernel.Build(ctx, o.Kernel, kernel.Options{Dir: filepath.Join(o.Root, "kernel"), Src: value(src), Force: value(force), Progress: console})
	if err != nil {
		return err
	}
	fmt.Printf("%s (%s)\n%s\n", b.Release, b.Source, b.BzImage)
	return nil
}

// Soak runs everything at once in a debug kernel: load, policy updates, attach
// and detach, CPUs and cgroups that come and go; then it reads the kernel's log.
func (Kernel) Soak(ctx context.Context,
	name *string, // in kernels.yaml; 6.1-debug without it
	src *string, // build it from this tree
	length *time.Duration, // 10m without it
) error {
	o, err := rig(ctx, cmp.Or(value(name), "6.1-debug"))
	if err != nil {
		return err
	}
	o.Src = value(src)
	return guestTests(ctx, o, []string{"ALPS_SOAK=" + cmp.Or(value(length), 10*time.Minute).String()}, "-timeout=5h", "-run=TestSoak", "./experiments/runner")
}

// Cost measures what the hooks cost, against a kernel without them and against
// the paper's Table 3.
func (Kernel) Cost(ctx context.Context) error {
	o, err := rig(ctx, "6.1")
	if err != nil {
		return err
	}
	return runner.Cost(ctx, "6.1-stock", o, os.Stdout)
}

// Build compiles the BPF programs and their Go side anew.
func (Bpf) Build(ctx context.Context) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	if err := deps.Ensure(ctx, console, deps.BPF()); err != nil {
		return err
	}
	return command.Run(ctx, command.Cmd{Args: []string{"go", "generate", "./bpf"}, Dir: root, Stdout: os.Stdout, Stderr: os.Stderr})
}

// Build makes the functions' container image, without a Docker daemon.
func (Openlambda) Build(ctx context.Context) error {
	if err := deps.Ensure(ctx, console, deps.Image()); err != nil {
		return err
	}
	i, err := openlambda.BuildImage(ctx, openlambda.ImageOptions{Progress: console})
	if err != nil {
		return err
	}
	fmt.Println(i.Path)
	return nil
}

// Fuzz throws requests, configurations and archives at the worker.
func (Openlambda) Fuzz(ctx context.Context,
	time *string, // each, as 60s (default)
) error {
	each := cmp.Or(value(time), "60s")
	for _, f := range [][2]string{{"FuzzRequest", "./openlambda"}, {"FuzzParse", "./openlambda/config"}, {"FuzzArchive", "./openlambda/registry"}} {
		if err := goTest(ctx, nil, "-run=^$", "-fuzz=^"+f[0]+"$", "-fuzztime="+each, f[1]); err != nil {
			return err
		}
	}
	return nil
}

// Soak sends a million requests through the worker: rate, and growth of memory.
func (Openlambda) Soak(ctx context.Context) error {
	return goTest(ctx, nil, "-run=^$", "-bench=^BenchmarkWorker$", "-benchtime=1000000x", "./openlambda")
}

// Build makes the guest's disk, with Docker and the functions' image in it.
func (Image) Build(ctx context.Context,
	kernel *string, // to provision with
) error {
	o, err := rig(ctx, value(kernel))
	if err != nil {
		return err
	}
	p, err := runner.Prepare(ctx, o)
	if err != nil {
		return err
	}
	fmt.Println(p.Image.Path)
	return nil
}

// guest starts a guest as the flags say.
func guest(ctx context.Context, kernelName, accel string, cpus, mem int) (runner.Parts, *vm.Machine, error) {
	p, err := parts(ctx, kernelName, accel, cpus, mem)
	if err != nil {
		return p, nil, err
	}
	step := console.Step("guest: boot", 0, 0)
	m, err := vm.Start(ctx, p.VMConfig())
	if err == nil {
		step.Done("")
	}
	return p, m, err
}

func parts(ctx context.Context, kernelName, accel string, cpus, mem int) (runner.Parts, error) {
	a, err := vm.ParseAccel(accel)
	if err != nil {
		return runner.Parts{}, err
	}
	o, err := rig(ctx, kernelName)
	if err != nil {
		return runner.Parts{}, err
	}
	o.Accel, o.CPUs, o.MemMiB = a, cpus, mem
	return runner.Prepare(ctx, o)
}

// Shell boots a guest and gives you a root shell in it; the guest ends with it.
func (Vm) Shell(ctx context.Context,
	kernel *string, // in kernels.yaml
	accel *string, // auto, kvm, tcg or icount
	cpus *int, // 0: by the accelerator
	mem *int, // MiB
	bare *bool, // without daemon, worker and functions
) error {
	p, err := parts(ctx, value(kernel), value(accel), value(cpus), value(mem))
	if err != nil {
		return err
	}
	p.Shared = true
	if value(bare) {
		m, err := vm.Start(ctx, p.VMConfig())
		if err != nil {
			return err
		}
		defer m.Close()
		return exitCode(m.Shell(ctx))
	}
	r, err := p.Boot(ctx, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	console.Printf("fifteen functions are up on ports 5001 to 5021, the daemon observes (alps status; alps mode -policy alps).\nHello world: curl -X POST localhost:5002/run/fib -d '{\"n\":\"20\",\"id\":\"20\",\"job\":\"fib\"}'")
	return exitCode(r.Machine.Shell(ctx))
}

// Run boots a guest and runs a command line in it; the exit code is the command's.
func (Vm) Run(ctx context.Context, line string,
	kernel *string, // in kernels.yaml
	accel *string, // auto, kvm, tcg or icount
	cpus *int, // 0: by the accelerator
	mem *int, // MiB
) error {
	_, m, err := guest(ctx, value(kernel), value(accel), value(cpus), value(mem))
	if err != nil {
		return err
	}
	defer m.Close()
	return exitCode(m.Run(ctx, vm.Cmd{Line: line, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}))
}

// exitCode passes a guest command's code on.
func exitCode(err error) error {
	var exit *vm.ExitError
	if errors.As(err, &exit) {
		return mg.Fatal(exit.Code, exit.Error())
	}
	return err
}

// Plan prints the QEMU command line and starts nothing.
func (Vm) Plan(
	accel *string, // kvm, tcg or icount
	cpus *int, // 0: by the accelerator
	mem *int, // MiB
) error {
	a, err := vm.ParseAccel(value(accel))
	if err != nil {
		return err
	}
	if a == vm.Auto {
		a = vm.TCG
	}
	args, err := vm.Plan(vm.Config{Kernel: "BZIMAGE", Disk: "DISK.qcow2", Tools: "TOOLS.raw", Accel: a, CPUs: value(cpus), MemMiB: value(mem)})
	if err != nil {
		return err
	}
	fmt.Println(strings.Join(args, " "))
	return nil
}

// inRunning runs a line in the guest that a vm:shell elsewhere has started.
func inRunning(ctx context.Context, line string) error {
	m, err := vm.Running()
	if err != nil {
		return err
	}
	defer m.Detach()
	return exitCode(m.Run(ctx, vm.Cmd{Line: line, Stdout: os.Stdout, Stderr: os.Stderr}))
}

// Init starts the artifact's fifteen functions in the running guest.
func (Functions) Init(ctx context.Context,
	like *string, // one worker for all (one, default), or one each (artifact)
) error {
	return inRunning(ctx, "systemd-run --quiet --wait --pipe --collect -p KillMode=process ol functions init -like "+
		cmp.Or(value(like), "one"))
}

// Delete stops the functions in the running guest and removes their containers.
func (Functions) Delete(ctx context.Context) error {
	return inRunning(ctx, "ol functions delete")
}

// List lists the experiments, and on which engines they run.
func (Experiments) List() error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	exps, err := spec.LoadAll(filepath.Join(root, "experiments"), spec.All)
	if err != nil {
		return err
	}
	for _, e := range exps {
		fmt.Printf("%-8s %-8s %s\n", e.Name, strings.Join(e.Engines(), ","), e.Title)
	}
	return nil
}

// Plan prints what an experiment would do and starts nothing.
func (Experiments) Plan(
	name *string, // of the experiment; all without it
	profile *string, // smoke, quick or paper
) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	exps, err := spec.LoadAll(filepath.Join(root, "experiments"), cmp.Or(value(name), spec.All))
	if err != nil {
		return err
	}
	for _, e := range exps {
		if e.VM != nil {
			if err := runner.Plan(e.Name, runner.Options{Rig: runner.RigOptions{Root: root}, Profile: value(profile)}, os.Stdout); err != nil {
				return err
			}
		}
		if err := simulate.Plan(e, os.Stdout); err != nil {
			return err
		}
	}
	return nil
}

// Run runs an experiment, or "all", in a guest or in virtual time; what is there already is kept.
func (Experiments) Run(ctx context.Context, name string,
	engine *string, // vm or sim; without it vm, or sim where nothing runs in a guest
	profile *string, // smoke, quick or paper; of vm
	kernel *string, // in kernels.yaml; of vm
	accel *string, // auto, kvm, tcg or icount; of vm
) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	// A misspelt name must not cost a kernel build.
	measured, simulated, err := spec.ByEngine(filepath.Join(root, "experiments"), name, value(engine))
	if err != nil {
		return err
	}
	if err := inVirtualTime(ctx, root, simulated); err != nil {
		return err
	}
	if len(measured) == 0 {
		return nil
	}
	a, err := vm.ParseAccel(value(accel))
	if err != nil {
		return err
	}
	o, err := rig(ctx, value(kernel))
	if err != nil {
		return err
	}
	o.Accel = a
	for _, e := range measured {
		if err := runner.Run(ctx, e.Name, runner.Options{Rig: o, Profile: value(profile)}); err != nil {
			return err
		}
	}
	return nil
}

// inVirtualTime simulates what experiments show.
func inVirtualTime(ctx context.Context, root string, exps []spec.Experiment) error {
	if len(exps) == 0 {
		return nil
	}
	return simulate.Experiments(ctx, exps, simulate.Options{Root: root, Results: filepath.Join(root, "results"), Progress: console})
}

// Draw draws the figures and the report from results/.
func (Figures) Draw() error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	page, err := figures.Draw(figures.Options{Results: filepath.Join(root, "results"), Experiments: filepath.Join(root, "experiments"), Out: filepath.Join(root, "report"), Progress: console})
	if page != "" {
		fmt.Println(page)
	}
	return err
}

// Fidelity compares what was simulated with what the paper plots: docs/fidelity.md and .tsv.
func (Figures) Fidelity() error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	return figures.Fidelity(figures.Options{Results: filepath.Join(root, "results"), Out: filepath.Join(root, "docs")})
}

// Reproduce simulates everything, builds the rig, measures in a guest and draws the report.
func Reproduce(ctx context.Context,
	profile *string, // smoke, quick or paper; by the machine without it
	figure *string, // only this one, as fig06
	kernel *string, // in kernels.yaml
) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	exps, err := spec.LoadAll(filepath.Join(root, "experiments"), cmp.Or(value(figure), spec.All))
	if err != nil {
		return err
	}
	size := value(profile)
	if size != "" {
		if _, err := spec.LoadProfile(filepath.Join(root, "experiments"), size); err != nil {
			return err
		}
		console.Printf("profile %s: as asked", size)
	}
	// Seconds, before anything is built. A run that is not good is said in the report.
	errs := []error{inVirtualTime(ctx, root, exps)}
	if ctx.Err() != nil {
		return errs[0]
	}
	measured := slices.DeleteFunc(exps, func(e spec.Experiment) bool { return e.VM == nil })
	if len(measured) == 0 {
		return errors.Join(append(errs, Figures{}.Draw())...)
	}
	o, err := rig(ctx, value(kernel))
	if err != nil {
		return err
	}
	p, err := runner.Prepare(ctx, o)
	if err != nil {
		return err
	}
	if size == "" {
		size = "quick"
		why := fmt.Sprintf("%d CPUs, accelerator %s; paper needs 16 CPUs and KVM", runtime.NumCPU(), p.Accel)
		if p.Accel == vm.KVM && runtime.NumCPU() >= 16 {
			size, why = "paper", fmt.Sprintf("KVM works and there are %d CPUs", runtime.NumCPU())
		}
		console.Printf("profile %s: %s", size, why)
	}
	for _, e := range measured {
		if err := runner.Run(ctx, e.Name, runner.Options{Rig: o, Profile: size, Parts: &p}); err != nil {
			if ctx.Err() != nil {
				return err
			}
			errs = append(errs, err)
		}
	}
	// What was measured is drawn even if a run was not good.
	errs = append(errs, Figures{}.Draw())
	return errors.Join(errs...)
}

// goTest runs go test with its own output last.
func goTest(ctx context.Context, env []string, args ...string) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"test"}, args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), env...)
	return cmd.Run()
}

// Test runs every test that needs no guest; with CI=true none of them may skip.
func Test(ctx context.Context) error {
	if err := deps.Ensure(ctx, console, deps.BPF(), deps.Functions(), deps.QEMU(), deps.Browser()); err != nil {
		return err
	}
	var env []string
	if os.Getenv("CI") == "true" {
		env = append(env, "MUST_RUN=python,clang,qemu,chromium")
	}
	if err := command.Run(ctx, command.Cmd{Args: []string{"go", "vet", "./..."}, Stdout: os.Stdout, Stderr: os.Stderr}); err != nil {
		return err
	}
	return goTest(ctx, env, "./...")
}

// TestVM runs the guest tests: boot, containers, hooks, orders.
func TestVM(ctx context.Context,
	kernel *string, // in kernels.yaml
	src *string, // build it from this tree
) error {
	o, err := rig(ctx, value(kernel))
	if err != nil {
		return err
	}
	o.Src = value(src)
	return guestTests(ctx, o, nil, "-timeout=40m", "-run=Guest", "./vm", "./experiments/runner")
}

// guestTests runs tests that boot guests, on parts made before.
func guestTests(ctx context.Context, o runner.RigOptions, env []string, args ...string) error {
	p, err := runner.Prepare(ctx, o)
	if err != nil {
		return err
	}
	env = append(env, "MUST_RUN=guest", "ALPS_KERNEL="+p.Kernel.BzImage, "ALPS_KERNEL_NAME="+p.Kernel.Name, "ALPS_KERNEL_SRC="+o.Src, "ALPS_LAMBDA="+p.Lambda.Path)
	return goTest(ctx, env, append([]string{"-count=1", "-p=1", "-v"}, args...)...)
}

// Bench runs the benchmarks, with allocations.
func Bench(ctx context.Context) error {
	return goTest(ctx, nil, "-run=^$", "-bench=.", "-benchmem", "./...")
}

// Clean removes results, report and caches.
func Clean(
	cacheToo *bool, // kernels, images and compiler cache as well
) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	dirs := []string{filepath.Join(root, "results"), filepath.Join(root, "report")}
	if value(cacheToo) {
		dir, err := cache.Root()
		if err != nil {
			return err
		}
		dirs = append(dirs, dir)
	}
	for _, d := range dirs {
		console.Printf("removing %s", d)
		if err := os.RemoveAll(d); err != nil {
			return err
		}
	}
	return nil
}
