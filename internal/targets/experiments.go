// SPDX-License-Identifier: Apache-2.0

package targets

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ds2-lab/alps/experiments/compare"
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
func (h Experiments) List(ctx context.Context) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	exps, err := config.LoadAll(filepath.Join(root, "experiments"), config.All)
	if err != nil {
		return err
	}
	for _, e := range exps {
		fmt.Fprintf(h.Out, "%-10s %-12s %s\n", e.Name, cmp.Or(strings.Join(e.Engines(), ","), e.Target), e.Title)
	}
	return nil
}

// ExperimentsPlanFlags are the flags of experiments:plan.
type ExperimentsPlanFlags struct {
	Name    string // of the experiment; all without it
	Engine  string // vm or sim; as of experiments:run
	Profile string // smoke, brief, quick, paper, headline or cells; of vm
	Accel   string // kvm, tcg or vtime: whose times; without it that which experiments:run will likely take
	CPUs    int    // of the guest
	Jobs    int    // guests side by side; as of experiments:run
	Kernel  string // in kernels.yaml
	Format  string // text, github, k8s or slurm
	Shards  int    // of a manifest: how many shards
	Image   string // of k8s: a container image with Go and a checkout in /alps
	KVM     string // of k8s: plugin or hostpath
}

// Plan prints what an experiment would do, how long and how large; or, for engines that run shards, their manifest.
func (h Experiments) Plan(ctx context.Context, f ExperimentsPlanFlags) error {
	o, err := h.runOptions(f.Engine, f.Profile, f.Accel, f.CPUs)
	if err != nil {
		return err
	}
	o.Jobs = f.Jobs
	p, err := plan.New(ctx, cmp.Or(f.Name, config.All), o)
	if err != nil {
		return err
	}
	if f.Format != "" && f.Format != "text" {
		return p.WriteManifest(h.Out, f.Format, p.RunArgs(f.Kernel), plan.ManifestOptions{Shards: f.Shards, Image: f.Image, KVM: f.KVM})
	}
	return p.Write(h.Out)
}

// ExperimentsRunFlags are the flags of experiments:run.
type ExperimentsRunFlags struct {
	Engine  string // vm or sim; without it vm, or sim where nothing runs in a guest
	Profile string // smoke (without it), brief, quick, paper, headline or cells; of vm
	Kernel  string // in kernels.yaml; of vm
	Accel   string // kvm, tcg or vtime; without it KVM where it works, else vtime: virtual time; of vm
	CPUs    int    // of the guest; 0: by the accelerator
	Jobs    int    // guests side by side; without it one, or under vtime one per CPU of this host
	Shard   string // i/n: the i-th of n shards; /n under Kubernetes and Slurm
	Results string // directory; results/ without it
	JSON    bool   // events for tools, one per line, on standard output
}

// Run runs an experiment, or "all", in guests or by the simulator; what is there already is kept.
func (h Experiments) Run(ctx context.Context, name string, f ExperimentsRunFlags) error {
	if f.JSON {
		h.Console = progress.NewJSON(h.Out)
	}
	o, err := h.runOptions(f.Engine, f.Profile, f.Accel, f.CPUs)
	if err != nil {
		return err
	}
	if o.Shard, err = plan.ParseShard(f.Shard, os.Getenv); err != nil {
		return err
	}
	o.Results, o.Jobs = f.Results, f.Jobs
	// A misspelt name must not cost a kernel build.
	steps, err := plan.New(ctx, name, o)
	if err != nil {
		return err
	}
	if steps.Guests() {
		if err := h.ensureRig(ctx, deps.Kernel(), deps.Prebuilt()); err != nil {
			return err
		}
	}
	o.Guest.Kernel = f.Kernel
	h.Console.Printf("%s", steps.Summary())
	return execute.Run(ctx, name, o)
}

func (h Host) runOptions(engine, profile, accel string, cpus int) (plan.Options, error) {
	root, err := tree.Root()
	if err != nil {
		return plan.Options{}, err
	}
	a, err := vm.ParseAccel(accel)
	return plan.Options{Engine: engine, Profile: profile,
		Guest: guest.Options{Root: root, Accel: a, Virtual: true, CPUs: cpus, Progress: h.Console}}, err
}

// ExperimentsMergeFlags are the flags of experiments:merge.
type ExperimentsMergeFlags struct {
	Results string // directory; results/ without it
}

// Merge joins the results of shards, directories with commas between them, into results/.
func (h Experiments) Merge(ctx context.Context, dirs string, f ExperimentsMergeFlags) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	return plan.Merge(cmp.Or(f.Results, filepath.Join(root, "results")), strings.Split(dirs, ","), h.Console)
}

// ExperimentsRestoreFlags are the flags of experiments:restore.
type ExperimentsRestoreFlags struct {
	From    string // directory with published runs; docs/runs/ without it
	Results string // directory; results/ without it
}

// Restore brings the measured runs that were published with the report into results/, checked by their digests, so that a long job goes on where another host stopped.
func (h Experiments) Restore(ctx context.Context, f ExperimentsRestoreFlags) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	return plan.Restore(cmp.Or(f.From, filepath.Join(root, publishedRuns)), cmp.Or(f.Results, filepath.Join(root, "results")), h.Console)
}

// ExperimentsCompareFlags are the flags of experiments:compare.
type ExperimentsCompareFlags struct {
	Base    string // the series that the others are held against; without it the first
	Engine  string // vm or sim; vm without it
	Results string // directory; results/ without it
}

// Compare prints an experiment's series beside each other: a table for every workload, load and guest, and who is ahead in how many.
func (h Experiments) Compare(ctx context.Context, name string, f ExperimentsCompareFlags) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	rows, problems, err := compare.Read(cmp.Or(f.Results, filepath.Join(root, "results")), cmp.Or(f.Engine, results.EngineVM), name)
	if err != nil {
		return err
	}
	for _, p := range problems {
		h.Console.Printf("left out: %v", p)
	}
	return compare.Write(h.Out, rows, f.Base)
}

// ExperimentsRepeatFlags are the flags of experiments:repeat.
type ExperimentsRepeatFlags struct {
	Profile string // smoke, brief, quick, paper, headline or cells
	Kernel  string // in kernels.yaml
	Accel   string // vtime without it; others show what they are worth
	Jobs    int    // guests side by side; as of experiments:run
}

// Repeat runs an experiment twice under vtime and compares: group means within 2 %, the same invocations.
func (h Experiments) Repeat(ctx context.Context, name string, f ExperimentsRepeatFlags) error {
	o, err := h.runOptions(results.EngineVM, f.Profile, cmp.Or(f.Accel, string(vm.VTime)), 0)
	if err != nil {
		return err
	}
	if err := h.ensureRig(ctx, deps.Kernel(), deps.Prebuilt()); err != nil {
		return err
	}
	o.Guest.Kernel, o.Jobs = f.Kernel, f.Jobs
	return execute.Repeat(ctx, name, o, h.Out)
}
