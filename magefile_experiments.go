// SPDX-License-Identifier: Apache-2.0

//go:build mage

package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/execute"
	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/experiments/plan"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/deps"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/internal/tree"
	"github.com/ds2-lab/alps/vm"
)

// List lists the experiments, and on which engines they run.
func (Experiments) List() error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	exps, err := config.LoadAll(filepath.Join(root, "experiments"), config.All)
	if err != nil {
		return err
	}
	for _, e := range exps {
		fmt.Printf("%-10s %-12s %s\n", e.Name, cmp.Or(strings.Join(e.Engines(), ","), e.Target), e.Title)
	}
	return nil
}

// Plan prints what an experiment would do, how long and how large; or, for engines that run shards, their manifest.
func (Experiments) Plan(ctx context.Context,
	name *string, // of the experiment; all without it
	engine *string, // vm or sim; as of experiments:run
	profile *string, // smoke, brief, quick, paper or headline; of vm
	accel *string, // kvm, tcg or vtime: whose times; without it what auto will likely be
	cpus *int, // of the guest
	jobs *int, // guests side by side; as of experiments:run
	kernel *string, // in kernels.yaml
	format *string, // text, github, k8s or slurm
	shards *int, // of a manifest: how many shards
	image *string, // of k8s: a container image with Go and a checkout in /alps
	kvm *string, // of k8s: plugin or hostpath
) error {
	o, err := runOptions(value(engine), value(profile), value(accel), value(cpus))
	if err != nil {
		return err
	}
	o.Jobs = value(jobs)
	p, err := plan.New(ctx, cmp.Or(value(name), config.All), o)
	if err != nil {
		return err
	}
	if f := value(format); f != "" && f != "text" {
		return p.WriteManifest(os.Stdout, f, p.RunArgs(value(kernel)), plan.ManifestOptions{Shards: value(shards), Image: value(image), KVM: value(kvm)})
	}
	return p.Write(os.Stdout)
}

// Run runs an experiment, or "all", in a guest or in virtual time; what is there already is kept.
func (Experiments) Run(ctx context.Context, name string,
	engine *string, // vm or sim; without it vm, or sim where nothing runs in a guest
	profile *string, // smoke, brief, quick, paper or headline; of vm
	kernel *string, // in kernels.yaml; of vm
	accel *string, // auto, kvm, tcg or vtime; of vm
	cpus *int, // of the guest; 0: by the accelerator
	jobs *int, // guests side by side; without it one, or under vtime one per CPU of this machine
	shard *string, // i/n: the i-th of n shards; /n under Kubernetes and Slurm
	results *string, // directory; results/ without it
	json *bool, // events for tools, one per line, on standard output
) error {
	if value(json) {
		console = progress.NewJSON(os.Stdout)
	}
	o, err := runOptions(value(engine), value(profile), value(accel), value(cpus))
	if err != nil {
		return err
	}
	if o.Shard, err = plan.ParseShard(value(shard), os.Getenv); err != nil {
		return err
	}
	o.Results, o.Jobs = value(results), value(jobs)
	// A misspelt name must not cost a kernel build.
	steps, err := plan.New(ctx, name, o)
	if err != nil {
		return err
	}
	if steps.Guests() {
		if err := ensureRig(ctx, deps.Kernel(), deps.Prebuilt()); err != nil {
			return err
		}
	}
	o.Guest.Kernel = value(kernel)
	console.Printf("%s", steps.Summary())
	return execute.Run(ctx, name, o)
}

func runOptions(engine, profile, accel string, cpus int) (plan.Options, error) {
	root, err := tree.Root()
	if err != nil {
		return plan.Options{}, err
	}
	a, err := vm.ParseAccel(accel)
	return plan.Options{Engine: engine, Profile: profile,
		Guest: guest.Options{Root: root, Accel: a, CPUs: cpus, Progress: console}}, err
}

// Merge joins the results of shards, directories with commas between them, into results/.
func (Experiments) Merge(dirs string,
	results *string, // directory; results/ without it
) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	return plan.Merge(cmp.Or(value(results), filepath.Join(root, "results")), strings.Split(dirs, ","), console)
}

// Repeat runs an experiment twice under vtime and compares: group means within 2 %, the same invocations.
func (Experiments) Repeat(ctx context.Context, name string,
	profile *string, // smoke, brief, quick, paper or headline
	kernel *string, // in kernels.yaml
	accel *string, // vtime without it; others show what they are worth
	jobs *int, // guests side by side; as of experiments:run
) error {
	o, err := runOptions(results.EngineVM, value(profile), cmp.Or(value(accel), string(vm.VTime)), 0)
	if err != nil {
		return err
	}
	if err := ensureRig(ctx, deps.Kernel(), deps.Prebuilt()); err != nil {
		return err
	}
	o.Guest.Kernel, o.Jobs = value(kernel), value(jobs)
	return execute.Repeat(ctx, name, o, os.Stdout)
}
