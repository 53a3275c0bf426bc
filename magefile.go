// SPDX-License-Identifier: Apache-2.0

//go:build mage

// Targets of the ALPS repository. Without mage installed: go run mage.go TARGET.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/magefile/mage/mg"

	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/execute"
	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/experiments/plan"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/fidelity"
	"github.com/ds2-lab/alps/figures/report"
	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/internal/deps"
	"github.com/ds2-lab/alps/internal/ours"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/internal/tree"
	"github.com/ds2-lab/alps/kernel"
	"github.com/ds2-lab/alps/openlambda/image"
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
	Test        mg.Namespace
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
func rig(ctx context.Context, kernelName string) (guest.Options, error) {
	root, err := tree.Root()
	if err != nil {
		return guest.Options{}, err
	}
	makes, err := kernelDeps(root, kernelName)
	if err != nil {
		return guest.Options{}, err
	}
	err = ensureRig(ctx, makes)
	return guest.Options{Root: root, Kernel: kernelName, Progress: console}, err
}

// Deps installs the Debian packages that the other targets need.
func Deps(ctx context.Context) error {
	if err := deps.Ensure(ctx, console, deps.All()...); err != nil {
		return err
	}
	console.Printf("all packages are there")
	return nil
}

// ensureRig installs what targets with a guest need, and what makes its kernel.
func ensureRig(ctx context.Context, makes ...deps.Group) error {
	return deps.Ensure(ctx, console, append(makes, deps.Image(), deps.QEMU(), deps.QEMUBuild())...)
}

// kernelDeps makes the kernel of that name.
func kernelDeps(root, name string) (deps.Group, error) {
	kernels, err := kernel.List(filepath.Join(root, "kernel"))
	if err != nil {
		return deps.Group{}, err
	}
	k, err := kernel.Find(kernels, name)
	if k.Prebuilt() {
		return deps.Prebuilt(), err
	}
	return deps.Kernel(), err
}

// List lists the kernels that kernel/kernels.yaml declares.
func (Kernel) List() error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	kernels, err := kernel.List(filepath.Join(root, "kernel"))
	for _, k := range kernels {
		how := "built, no patches"
		switch {
		case k.Prebuilt():
			how = "installed: " + k.Sources[0].Binary.V + " of " + k.Sources[0].Suite.V
		case k.Patches.V != "":
			how = "built, patches in kernel/" + k.Patches.V
		}
		if k.Default {
			how += "  (default)"
		}
		fmt.Printf("%-14s %d source(s), %s\n", k.Name.V, len(k.Sources), how)
	}
	return err
}

// Build builds or installs a kernel of kernel/kernels.yaml; without a name the default one.
func (Kernel) Build(ctx context.Context,
	name *string, // in kernels.yaml
	src *string, // build from this tree; it is copied, not changed
	debug *bool, // with kernel/config/debug.config
	config *string, // one more configuration fragment; it wins
	force *bool, // build even if it is cached
) error {
	o, err := rig(ctx, value(name))
	if err != nil {
		return err
	}
	ko := kernel.Options{Dir: filepath.Join(o.Root, "kernel"), Src: value(src), Debug: value(debug), Force: value(force), Progress: console}
	if value(config) != "" {
		ko.Extra = []string{*config}
	}
	b, err := kernel.Build(ctx, o.Kernel, ko)
	if err != nil {
		return err
	}
	fmt.Printf("%s (%s)\n%s\n", b.Release, b.Source, b.BzImage)
	return nil
}

// Diff shows what a kernel's series changes: the files and lines, then the patches.
func (Kernel) Diff(
	name *string, // in kernels.yaml; without it the default one
	stat *bool, // only the files and lines
) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	return kernel.Diff(filepath.Join(root, "kernel"), value(name), !value(stat), os.Stdout)
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
	return guestTests(ctx, o, []string{"ALPS_SOAK=" + cmp.Or(value(length), 10*time.Minute).String()}, "-timeout=5h", "-run=TestSoak", "./experiments/guest")
}

// Cost measures what the hooks cost, against a kernel without them and against
// the paper's Table 3; figures:draw shows it.
func (Kernel) Cost(ctx context.Context,
	results *string, // directory; results/ without it
) error {
	o, err := rig(ctx, "6.1")
	if err != nil {
		return err
	}
	return execute.HookCosts(ctx, "6.1-stock", o, cmp.Or(value(results), filepath.Join(o.Root, "results")), os.Stdout)
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
	return command.Run(ctx, command.Cmd{Args: []string{"go", "generate", "./bpf/..."}, Dir: root, Stdout: os.Stdout, Stderr: os.Stderr})
}

// Build makes the functions' container image, without a Docker daemon.
func (Openlambda) Build(ctx context.Context) error {
	if err := deps.Ensure(ctx, console, deps.Image()); err != nil {
		return err
	}
	i, err := image.Build(ctx, image.Options{Progress: console})
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
	for _, f := range [][2]string{{"FuzzRequest", "./openlambda/api"}, {"FuzzParse", "./openlambda/config"}, {"FuzzArchive", "./openlambda/registry"}} {
		if err := goTest(ctx, nil, "-run=^$", "-fuzz=^"+f[0]+"$", "-fuzztime="+each, f[1]); err != nil {
			return err
		}
	}
	return nil
}

// Soak sends a million requests through the worker: rate, and growth of memory.
func (Openlambda) Soak(ctx context.Context) error {
	return goTest(ctx, nil, "-run=^$", "-bench=^BenchmarkWorker$", "-benchtime=1000000x", "./openlambda/api")
}

// Build makes the guest's disk, with Docker and the functions' image in it.
func (Image) Build(ctx context.Context,
	kernel *string, // to provision with
) error {
	o, err := rig(ctx, value(kernel))
	if err != nil {
		return err
	}
	p, err := guest.Prepare(ctx, o)
	if err != nil {
		return err
	}
	fmt.Println(p.Image.Path)
	return nil
}

// inRunning runs a line in a guest that vm:up or a vm:shell elsewhere has started.
func inRunning(ctx context.Context, id, line string) error {
	m, err := vm.Open(ctx, id)
	if err != nil {
		return err
	}
	defer m.Detach()
	console.Printf("in guest %s", m.ID)
	return exitCode(m.Run(ctx, vm.Cmd{Line: line, Stdout: os.Stdout, Stderr: os.Stderr}))
}

// Init starts the artifact's fifteen functions in the running guest.
func (Functions) Init(ctx context.Context,
	like *string, // one worker for all (one, default), or one each (artifact)
	id *string, // of vm:list; without it this checkout's
) error {
	return inRunning(ctx, value(id), "systemd-run --quiet --wait --pipe --collect -p KillMode=process ol functions init -like "+
		cmp.Or(value(like), "one"))
}

// Delete stops the functions in the running guest and removes their containers.
func (Functions) Delete(ctx context.Context,
	id *string, // of vm:list; without it this checkout's
) error {
	return inRunning(ctx, value(id), "ol functions delete")
}

// Draw draws the figures and the report from results/ or another directory.
func (Figures) Draw(
	results *string, // directory; results/ without it
) error {
	o, err := reportOptions(value(results), "report")
	if err != nil {
		return err
	}
	return shown(report.Draw(o))
}

// Publish draws the report as it is committed, into docs/report, from results/ or another directory.
func (Figures) Publish(ctx context.Context,
	results *string, // directory; results/ without it
) error {
	o, err := reportOptions(value(results), filepath.Join("docs", "report"))
	if err != nil {
		return err
	}
	return shown(report.Publish(ctx, o))
}

// reportOptions are those of a report into out, below the root.
func reportOptions(results, out string) (report.Options, error) {
	root, err := tree.Root()
	return report.Options{Results: cmp.Or(results, filepath.Join(root, "results")), Experiments: filepath.Join(root, "experiments"),
		Code: root, Out: filepath.Join(root, out), Progress: console}, err
}

// shown prints where a page is, also where some of it is missing.
func shown(page string, err error) error {
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
	return fidelity.Write(filepath.Join(root, "results"), filepath.Join(root, "docs"))
}

// Reproduce simulates everything, builds the rig, measures in a guest and draws the report.
func Reproduce(ctx context.Context,
	profile *string, // smoke, brief, quick, paper or headline; by the machine without it
	figure *string, // only this one, as fig06
	kernel *string, // in kernels.yaml
	accel *string, // kvm, tcg or vtime; without it KVM where it works, else vtime: virtual time
	jobs *int, // guests side by side; as of experiments:run
) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	what := cmp.Or(value(figure), config.All)
	exps, err := config.LoadAll(filepath.Join(root, "experiments"), what)
	if err != nil {
		return err
	}
	a, err := vm.ParseAccel(value(accel))
	if err != nil {
		return err
	}
	needs := func(engine string) bool {
		return slices.ContainsFunc(exps, func(e config.Experiment) bool { return slices.Contains(e.Engines(), engine) })
	}
	size := value(profile)
	if size != "" {
		if _, err := config.LoadProfile(filepath.Join(root, "experiments"), size); err != nil {
			return err
		}
		console.Printf("profile %s: as asked", size)
	}
	// Seconds, before anything is built. A run that is not good is said in the report.
	var errs []error
	if needs(results.EngineSim) {
		errs = append(errs, execute.Run(ctx, what, plan.Options{Guest: guest.Options{Root: root, Progress: console}, Engine: results.EngineSim}))
	}
	if ctx.Err() != nil {
		return errors.Join(errs...)
	}
	hooks := func() error { // Table 3; its kernels are others
		if size == "smoke" || ctx.Err() != nil || !slices.ContainsFunc(exps, func(e config.Experiment) bool { return e.Target == "kernel:cost" }) {
			return nil
		}
		return Kernel{}.Cost(ctx, nil)
	}
	if !needs(results.EngineVM) {
		return errors.Join(append(errs, hooks(), Figures{}.Draw(nil))...)
	}
	o, err := rig(ctx, value(kernel))
	if err != nil {
		return err
	}
	o.Accel, o.Virtual = a, true
	p, err := guest.Prepare(ctx, o)
	if err != nil {
		return err
	}
	if size == "" {
		size = "brief"
		why := fmt.Sprintf("%d CPUs, accelerator %s; paper needs 16 CPUs and KVM", runtime.NumCPU(), p.Accel)
		if p.Accel == vm.KVM && runtime.NumCPU() >= 16 {
			size, why = "paper", fmt.Sprintf("KVM works and there are %d CPUs", runtime.NumCPU())
		}
		console.Printf("profile %s: %s", size, why)
	}
	ro := plan.Options{Guest: o, Engine: results.EngineVM, Profile: size, Artifacts: &p, Jobs: value(jobs)}
	steps, err := plan.New(ctx, what, ro)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	console.Printf("%s", steps.Summary())
	errs = append(errs, execute.Run(ctx, what, ro), hooks())
	if ctx.Err() != nil {
		return errors.Join(errs...)
	}
	// What was measured is drawn even if a run was not good.
	return errors.Join(append(errs, Figures{}.Draw(nil))...)
}

// Clean removes results and report, and with -cacheToo the cache but for disks kept by -keep. What is not of ours stays.
func Clean(
	cacheToo *bool, // kernels, images and compiler cache as well
) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	removed := func(dir string, left []string) {
		console.Printf("removed: %s", dir)
		for _, path := range left {
			console.Printf("left: %s", path)
		}
	}
	for dir, forms := range map[string][]string{"results": results.Forms(), "report": report.Forms()} {
		dir := filepath.Join(root, dir)
		left, err := ours.Prune(dir, forms...)
		if err != nil {
			return err
		}
		for i := range left {
			left[i] = filepath.Join(dir, left[i])
		}
		removed(dir, left)
	}
	if !value(cacheToo) {
		return nil
	}
	guests, err := vm.List()
	if err != nil {
		return err
	}
	if len(guests) > 0 {
		return fmt.Errorf("%d guests run from the cache: end them first (vm:list, vm:down)", len(guests))
	}
	dir, err := cache.Root()
	if err != nil {
		return err
	}
	left, err := cache.Clean()
	if err != nil {
		return err
	}
	removed(dir, left) // what was kept by -keep, or is not of ours
	return nil
}
