// SPDX-License-Identifier: Apache-2.0

// Code generated from internal/targets (go generate ./internal/targets); DO NOT EDIT.

//go:build mage

// Targets of the ALPS repository. Without mage installed: go run mage.go TARGET.
package main

import (
	"context"
	"os"
	"time"

	"github.com/magefile/mage/mg"

	"github.com/ds2-lab/alps/internal/launch"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/internal/targets"
)

type (
	Bpf         mg.Namespace
	Experiments mg.Namespace
	Figures     mg.Namespace
	Functions   mg.Namespace
	Image       mg.Namespace
	Kernel      mg.Namespace
	Openlambda  mg.Namespace
	Test        mg.Namespace
	Vm          mg.Namespace
)

// Aliases are other names of targets.
var Aliases = map[string]any{"test": Test.All, "testVM": Test.Guest}

// mage TARGET -h, a flag's value without its name and so on mean the same as they
// do with go run mage.go.
func init() { os.Args = launch.MageArgs(os.Args, required, flagless) }

// required are the targets with an argument that must be given.
var required = []string{"experiments:compare", "experiments:merge", "experiments:repeat", "experiments:run", "vm:run"}

// flagless are the targets without flags.
var flagless = []string{"bench", "bpf:build", "deps", "experiments:list", "figures:architecture", "figures:fidelity", "figures:findings", "kernel:list", "openlambda:soak", "test:all", "test:figures", "test:root", "test:unit", "vm:doctor", "vm:list"}

func host() targets.Host {
	return targets.Host{Out: os.Stdout, Console: progress.New(os.Stderr)}
}

// value reads an optional flag.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// Build compiles the BPF programs and their Go side anew.
func (Bpf) Build(ctx context.Context) error {
	return targets.Bpf{Host: host()}.Build(ctx)
}

// Build makes the functions' container image, without a Docker daemon.
func (Openlambda) Build(ctx context.Context,
	packages *string, // of Debian, beside what it always has: python3-flask,python3-numpy
	wheels *string, // a folder of *.whl to unpack into it
) error {
	return targets.Openlambda{Host: host()}.Build(ctx, targets.OpenlambdaBuildFlags{Packages: value(packages), Wheels: value(wheels)})
}

// Fuzz throws requests, configurations, archives and handlers at the worker.
func (Openlambda) Fuzz(ctx context.Context,
	time *string, // each, as 60s (default)
) error {
	return targets.Openlambda{Host: host()}.Fuzz(ctx, targets.OpenlambdaFuzzFlags{Time: value(time)})
}

// Soak sends a million requests through the worker: rate, and growth of memory.
func (Openlambda) Soak(ctx context.Context) error {
	return targets.Openlambda{Host: host()}.Soak(ctx)
}

// Build makes the guest's disk, with Docker and the functions' image in it.
func (Image) Build(ctx context.Context,
	kernel *string, // to provision with
) error {
	return targets.Image{Host: host()}.Build(ctx, targets.ImageBuildFlags{Kernel: value(kernel)})
}

// Init starts the artifact's fifteen functions in the running guest.
func (Functions) Init(ctx context.Context,
	like *string, // one worker for all (one, default), or one each (artifact)
	id *string, // of vm:list; without it this checkout's
) error {
	return targets.Functions{Host: host()}.Init(ctx, targets.FunctionsInitFlags{Like: value(like), ID: value(id)})
}

// Delete stops the functions in the running guest and removes their containers.
func (Functions) Delete(ctx context.Context,
	id *string, // of vm:list; without it this checkout's
) error {
	return targets.Functions{Host: host()}.Delete(ctx, targets.FunctionsDeleteFlags{ID: value(id)})
}

// Check looks at the code without running it: gofmt, vet and staticcheck under every build tag, go mod tidy.
func Check(ctx context.Context,
	vulnerabilities *bool, // also govulncheck, which asks a database in the network
) error {
	return host().Check(ctx, targets.CheckFlags{Vulnerabilities: value(vulnerabilities)})
}

// Demo shows what the scheduler does: one burst of requests on Debian's kernel, under EEVDF and under steady.
func Demo(ctx context.Context,
	accel *string, // kvm, tcg or vtime; without it KVM where it works, else vtime
) error {
	return host().Demo(ctx, targets.DemoFlags{Accel: value(accel)})
}

// List lists the experiments, and on which engines they run.
func (Experiments) List(ctx context.Context) error {
	return targets.Experiments{Host: host()}.List(ctx)
}

// Plan prints what an experiment would do, how long and how large; or, for engines that run shards, their manifest.
func (Experiments) Plan(ctx context.Context,
	name *string, // of the experiment; all without it
	engine *string, // vm or sim; as of experiments:run
	profile *string, // smoke, brief, quick, paper, headline or cells; of vm
	accel *string, // kvm, tcg or vtime: whose times; without it that which experiments:run will likely take
	cpus *int, // of the guest
	jobs *int, // guests side by side; as of experiments:run
	kernel *string, // in kernels.yaml
	format *string, // text, github, k8s or slurm
	shards *int, // of a manifest: how many shards
	image *string, // of k8s: a container image with Go and a checkout in /alps
	kvm *string, // of k8s: plugin or hostpath
) error {
	return targets.Experiments{Host: host()}.Plan(ctx, targets.ExperimentsPlanFlags{Name: value(name), Engine: value(engine), Profile: value(profile), Accel: value(accel), CPUs: value(cpus), Jobs: value(jobs), Kernel: value(kernel), Format: value(format), Shards: value(shards), Image: value(image), KVM: value(kvm)})
}

// Run runs an experiment, or "all", in guests or by the simulator; what is there already is kept.
func (Experiments) Run(ctx context.Context, name string,
	engine *string, // vm or sim; without it vm, or sim where nothing runs in a guest
	profile *string, // smoke (without it), brief, quick, paper, headline or cells; of vm
	kernel *string, // in kernels.yaml; of vm
	accel *string, // kvm, tcg or vtime; without it KVM where it works, else vtime: virtual time; of vm
	cpus *int, // of the guest; 0: by the accelerator
	jobs *int, // guests side by side; without it one, or under vtime one per CPU of this host
	shard *string, // i/n: the i-th of n shards; /n under Kubernetes and Slurm
	results *string, // directory; results/ without it
	json *bool, // events for tools, one per line, on standard output
) error {
	return targets.Experiments{Host: host()}.Run(ctx, name, targets.ExperimentsRunFlags{Engine: value(engine), Profile: value(profile), Kernel: value(kernel), Accel: value(accel), CPUs: value(cpus), Jobs: value(jobs), Shard: value(shard), Results: value(results), JSON: value(json)})
}

// Merge joins the results of shards, directories with commas between them, into results/.
func (Experiments) Merge(ctx context.Context, dirs string,
	results *string, // directory; results/ without it
) error {
	return targets.Experiments{Host: host()}.Merge(ctx, dirs, targets.ExperimentsMergeFlags{Results: value(results)})
}

// Restore brings the measured runs that were published with the report into results/, checked by their digests, so that a long job goes on where another host stopped.
func (Experiments) Restore(ctx context.Context,
	from *string, // directory with published runs; docs/runs/ without it
	results *string, // directory; results/ without it
) error {
	return targets.Experiments{Host: host()}.Restore(ctx, targets.ExperimentsRestoreFlags{From: value(from), Results: value(results)})
}

// Compare prints an experiment's series beside each other: a table for every workload, load and guest, and who is ahead in how many.
func (Experiments) Compare(ctx context.Context, name string,
	base *string, // the series that the others are held against; without it the first
	engine *string, // vm or sim; vm without it
	results *string, // directory; results/ without it
) error {
	return targets.Experiments{Host: host()}.Compare(ctx, name, targets.ExperimentsCompareFlags{Base: value(base), Engine: value(engine), Results: value(results)})
}

// Repeat runs an experiment twice under vtime and compares: group means within 2 %, the same invocations.
func (Experiments) Repeat(ctx context.Context, name string,
	profile *string, // smoke, brief, quick, paper, headline or cells
	kernel *string, // in kernels.yaml
	accel *string, // vtime without it; others show what they are worth
	jobs *int, // guests side by side; as of experiments:run
) error {
	return targets.Experiments{Host: host()}.Repeat(ctx, name, targets.ExperimentsRepeatFlags{Profile: value(profile), Kernel: value(kernel), Accel: value(accel), Jobs: value(jobs)})
}

// Deps installs the Debian packages that the other targets need.
func Deps(ctx context.Context) error {
	return host().Deps(ctx)
}

// List lists the kernels that kernel/kernels.yaml declares.
func (Kernel) List(ctx context.Context) error {
	return targets.Kernel{Host: host()}.List(ctx)
}

// Build builds or installs a kernel of kernel/kernels.yaml; without a name the default one.
func (Kernel) Build(ctx context.Context,
	name *string, // in kernels.yaml
	src *string, // build from this tree; it is copied, not changed
	debug *bool, // with kernel/config/debug.config
	config *string, // one more configuration fragment; it wins
	force *bool, // build even if it is cached
) error {
	return targets.Kernel{Host: host()}.Build(ctx, targets.KernelBuildFlags{Name: value(name), Src: value(src), Debug: value(debug), Config: value(config), Force: value(force)})
}

// Diff shows what a kernel's series changes: the files and lines, then the patches.
func (Kernel) Diff(ctx context.Context,
	name *string, // in kernels.yaml; without it the default one
	stat *bool, // only the files and lines
) error {
	return targets.Kernel{Host: host()}.Diff(ctx, targets.KernelDiffFlags{Name: value(name), Stat: value(stat)})
}

// Peers builds schedulers of the kernel's own tools/sched_ext, to compare with, and prints their folder.
func (Kernel) Peers(ctx context.Context,
	force *bool, // build even if they are cached
) error {
	return targets.Kernel{Host: host()}.Peers(ctx, targets.KernelPeersFlags{Force: value(force)})
}

// Soak runs everything at once in a debug kernel, or on a kernel without hooks by sched_ext: load, policy updates, attach
// and detach, a daemon that is killed, CPUs and cgroups that come and go; then it reads the kernel's log.
func (Kernel) Soak(ctx context.Context,
	name *string, // in kernels.yaml, as 6.12-debug, or 7.3, which is not a debug kernel; 6.1-debug without it
	src *string, // build it from this tree
	length *time.Duration, // 10m without it
) error {
	return targets.Kernel{Host: host()}.Soak(ctx, targets.KernelSoakFlags{Name: value(name), Src: value(src), Length: value(length)})
}

// Cost measures what the hooks cost, against a kernel without them and against
// the paper's Table 3; figures:draw shows it.
func (Kernel) Cost(ctx context.Context,
	results *string, // directory; results/ without it
) error {
	return targets.Kernel{Host: host()}.Cost(ctx, targets.KernelCostFlags{Results: value(results)})
}

// Draw draws the figures and the report from results/ or another directory.
func (Figures) Draw(ctx context.Context,
	results *string, // directory; results/ without it
) error {
	return targets.Figures{Host: host()}.Draw(ctx, targets.FiguresDrawFlags{Results: value(results)})
}

// Publish draws the report as it is committed, into docs/report, from results/ or another directory, and puts the measured runs into docs/runs, from which experiments:restore takes them.
func (Figures) Publish(ctx context.Context,
	results *string, // directory; results/ without it
) error {
	return targets.Figures{Host: host()}.Publish(ctx, targets.FiguresPublishFlags{Results: value(results)})
}

// Fidelity compares what was simulated with what the paper plots, and writes docs/: fidelity, never and attack; then it does what figures:findings and figures:architecture do.
func (Figures) Fidelity(ctx context.Context) error {
	return targets.Figures{Host: host()}.Fidelity(ctx)
}

// Architecture draws docs/architecture.svg, ARCHITECTURE.md's picture, from the code: packages, BPF programs, hooks.
func (Figures) Architecture(ctx context.Context) error {
	return targets.Figures{Host: host()}.Architecture(ctx)
}

// Findings writes docs/findings.md and README.md's summary of it, from the tables in docs/.
func (Figures) Findings(ctx context.Context) error {
	return targets.Figures{Host: host()}.Findings(ctx)
}

// Reproduce simulates everything, builds the rig, measures in a guest and draws the report.
func Reproduce(ctx context.Context,
	profile *string, // smoke, brief, quick, paper, headline or cells; by the host without it
	figure *string, // only this one, as fig06
	kernel *string, // in kernels.yaml
	accel *string, // kvm, tcg or vtime; without it KVM where it works, else vtime: virtual time
	jobs *int, // guests side by side; as of experiments:run
) error {
	return host().Reproduce(ctx, targets.ReproduceFlags{Profile: value(profile), Figure: value(figure), Kernel: value(kernel), Accel: value(accel), Jobs: value(jobs)})
}

// Clean removes results and report, and with -cacheToo the cache but for disks kept by -keep. Files that ALPS did not make stay, and all of it while an experiment runs in results/.
func Clean(ctx context.Context,
	cacheToo *bool, // kernels, images and compiler cache as well
) error {
	return host().Clean(ctx, targets.CleanFlags{CacheToo: value(cacheToo)})
}

// All runs every test that needs no guest: unit, root and figures.
func (Test) All(ctx context.Context) error {
	return targets.Test{Host: host()}.All(ctx)
}

// Unit runs the tests that need neither root nor guest, with the race detector where anything runs beside anything.
func (Test) Unit(ctx context.Context) error {
	return targets.Test{Host: host()}.Unit(ctx)
}

// Root runs the packages with tests that mount, set real-time policies or load BPF, as root; by sudo where this is another user.
func (Test) Root(ctx context.Context) error {
	return targets.Test{Host: host()}.Root(ctx)
}

// Figures runs the tests of figures and report, also in a browser.
func (Test) Figures(ctx context.Context) error {
	return targets.Test{Host: host()}.Figures(ctx)
}

// Guest runs the tests in guests: boot, containers, hooks, orders.
func (Test) Guest(ctx context.Context,
	kernel *string, // in kernels.yaml
	src *string, // build it from this tree
	run *string, // only the tests that match, as go test -run takes it
	inside *string, // of those that run inside a guest only these, such as TestGuestStarvationIsBounded
	record *bool, // put what they measure into docs/measured.tsv, if all pass
) error {
	return targets.Test{Host: host()}.Guest(ctx, targets.TestGuestFlags{Kernel: value(kernel), Src: value(src), Run: value(run), Inside: value(inside), Record: value(record)})
}

// Weekly runs what takes long (ring.Long, but for kernel:soak): ten minutes of handlers made at random, a guest with 24 CPUs, an attack on steady with four CPUs, web frameworks in a guest, runs that are killed, runs in shards, guests with kernel 6.12.
func (Test) Weekly(ctx context.Context,
	kills *int, // 5 without it
	src *string, // of Linux 6.12, where the distribution has no package of it
) error {
	return targets.Test{Host: host()}.Weekly(ctx, targets.TestWeeklyFlags{Kills: value(kills), Src: value(src)})
}

// TestKill kills an experiment in virtual time at random moments, about a minute each, and compares what comes of it.
func TestKill(ctx context.Context,
	kills *int, // 20 without it
	kernel *string, // in kernels.yaml
) error {
	return host().TestKill(ctx, targets.TestKillFlags{Kills: value(kills), Kernel: value(kernel)})
}

// Bench runs the benchmarks, with allocations.
func Bench(ctx context.Context) error {
	return host().Bench(ctx)
}

// Shell gives you a root shell in the running guest, or in a fresh one that ends with it.
func (Vm) Shell(ctx context.Context,
	id *string, // of vm:list; without it this checkout's, where one is running
	kernel *string, // in kernels.yaml
	accel *string, // auto, kvm, tcg or vtime
	cpus *int, // of the guest; 0: by the accelerator
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
	return targets.Vm{Host: host()}.Shell(ctx, targets.VmShellFlags{ID: value(id), GuestFlags: targets.GuestFlags{Kernel: value(kernel), Accel: value(accel), CPUs: value(cpus), Mem: value(mem), Keep: value(keep), Share: value(share), GDB: value(gdb), Pin: value(pin), Debug: value(debug), Config: value(config), Snapshot: value(snapshot)}, Bare: value(bare)})
}

// Run runs a command line in the running guest, or in a fresh one; the exit code is the command's.
func (Vm) Run(ctx context.Context, line string,
	id *string, // of vm:list; without it this checkout's, where one is running
	kernel *string, // in kernels.yaml
	accel *string, // auto, kvm, tcg or vtime
	cpus *int, // of the guest; 0: by the accelerator
	mem *int, // MiB
	keep *string, // keep the disk's changes under this name, for the next time
	share *string, // directory of this host: /mnt/share
	gdb *int, // port of this host on which QEMU waits for gdb
	pin *string, // host CPUs for the guest's, as 2-5,8
	debug *bool, // the kernel with kernel/config/debug.config
	config *string, // the kernel with one more configuration fragment
	snapshot *bool, // do not boot: go on from a snapshot in which Docker is ready
) error {
	return targets.Vm{Host: host()}.Run(ctx, line, targets.VmRunFlags{ID: value(id), GuestFlags: targets.GuestFlags{Kernel: value(kernel), Accel: value(accel), CPUs: value(cpus), Mem: value(mem), Keep: value(keep), Share: value(share), GDB: value(gdb), Pin: value(pin), Debug: value(debug), Config: value(config), Snapshot: value(snapshot)}})
}

// Up boots a guest that stays until vm:down.
func (Vm) Up(ctx context.Context,
	kernel *string, // in kernels.yaml
	accel *string, // auto, kvm, tcg or vtime
	cpus *int, // of the guest; 0: by the accelerator
	mem *int, // MiB
	keep *string, // keep the disk's changes under this name, for the next time
	share *string, // directory of this host: /mnt/share
	gdb *int, // port of this host on which QEMU waits for gdb
	pin *string, // host CPUs for the guest's, as 2-5,8
	debug *bool, // the kernel with kernel/config/debug.config
	config *string, // the kernel with one more configuration fragment
	snapshot *bool, // do not boot: go on from a snapshot in which Docker is ready
) error {
	return targets.Vm{Host: host()}.Up(ctx, targets.VmUpFlags{GuestFlags: targets.GuestFlags{Kernel: value(kernel), Accel: value(accel), CPUs: value(cpus), Mem: value(mem), Keep: value(keep), Share: value(share), GDB: value(gdb), Pin: value(pin), Debug: value(debug), Config: value(config), Snapshot: value(snapshot)}})
}

// Down shuts a running guest down: by its power button, then by QEMU, then by SIGKILL.
func (Vm) Down(ctx context.Context,
	id *string, // of vm:list; without it this checkout's
) error {
	return targets.Vm{Host: host()}.Down(ctx, targets.VmDownFlags{ID: value(id)})
}

// List lists the running guests.
func (Vm) List(ctx context.Context) error {
	return targets.Vm{Host: host()}.List(ctx)
}

// Log prints what a running guest has written to its console.
func (Vm) Log(ctx context.Context,
	id *string, // of vm:list; without it this checkout's
) error {
	return targets.Vm{Host: host()}.Log(ctx, targets.VmLogFlags{ID: value(id)})
}

// Dump writes a running guest's memory to a file, for crash and gdb.
func (Vm) Dump(ctx context.Context,
	id *string, // of vm:list; without it this checkout's
	out *string, // file; ID.core without it
) error {
	return targets.Vm{Host: host()}.Dump(ctx, targets.VmDumpFlags{ID: value(id), Out: value(out)})
}

// Doctor prints what this host can do for guests, and what is missing.
func (Vm) Doctor(ctx context.Context) error {
	return targets.Vm{Host: host()}.Doctor(ctx)
}

// Qemu builds the QEMU for guests in virtual time, and prints its path.
func (Vm) Qemu(ctx context.Context,
	src *string, // build from this tree of QEMU 10.0 instead of Debian's source package
	force *bool, // build even if it is cached
) error {
	return targets.Vm{Host: host()}.Qemu(ctx, targets.VmQemuFlags{Src: value(src), Force: value(force)})
}

// Plan prints the QEMU command line and starts nothing.
func (Vm) Plan(ctx context.Context,
	accel *string, // kvm, tcg or vtime
	cpus *int, // 0: by the accelerator
	mem *int, // MiB
	share *string, // directory of this host
	gdb *int, // port of this host on which QEMU waits for gdb
) error {
	return targets.Vm{Host: host()}.Plan(ctx, targets.VmPlanFlags{Accel: value(accel), CPUs: value(cpus), Mem: value(mem), Share: value(share), GDB: value(gdb)})
}
