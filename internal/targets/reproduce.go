// SPDX-License-Identifier: Apache-2.0

package targets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/execute"
	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/experiments/plan"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/report"
	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/internal/ours"
	"github.com/ds2-lab/alps/internal/tree"
	"github.com/ds2-lab/alps/vm"
)

// ReproduceFlags are the flags of reproduce.
type ReproduceFlags struct {
	Profile string // smoke, brief, quick, paper, headline or cells; by the host without it
	Figure  string // only this one, as fig06
	Kernel  string // in kernels.yaml
	Accel   string // kvm, tcg or vtime; without it KVM where it works, else vtime: virtual time
	Jobs    int    // guests side by side; as of experiments:run
}

// paperCPUs is how many CPUs a host needs, beside KVM, for reproduce to take the profile paper
// without being asked.
const paperCPUs = 16

// Reproduce simulates everything, builds the rig, measures in a guest and draws the report.
func (h Host) Reproduce(ctx context.Context, f ReproduceFlags) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	what := cmp.Or(f.Figure, config.All)
	exps, err := config.LoadAll(filepath.Join(root, "experiments"), what)
	if err != nil {
		return err
	}
	a, err := vm.ParseAccel(f.Accel)
	if err != nil {
		return err
	}
	needs := func(engine string) bool {
		return slices.ContainsFunc(exps, func(e config.Experiment) bool { return slices.Contains(e.Engines(), engine) })
	}
	size := f.Profile
	if size != "" {
		if _, err := config.LoadProfile(filepath.Join(root, "experiments"), size); err != nil {
			return err
		}
		h.Console.Printf("profile %s: as asked", size)
	}
	// The simulation needs nothing that is built, so it comes first. The report names runs that are not valid.
	var errs []error
	if needs(results.EngineSim) {
		errs = append(errs, execute.Run(ctx, what, plan.Options{Guest: guest.Options{Root: root, Progress: h.Console}, Engine: results.EngineSim}))
	}
	if ctx.Err() != nil {
		return errors.Join(errs...)
	}
	hooks := func() error { // Table 3, which is measured in kernels of its own
		if size == "smoke" || ctx.Err() != nil || !slices.ContainsFunc(exps, func(e config.Experiment) bool { return e.Target == "kernel:cost" }) {
			return nil
		}
		return Kernel{h}.Cost(ctx, KernelCostFlags{})
	}
	if !needs(results.EngineVM) {
		return errors.Join(append(errs, hooks(), Figures{h}.Draw(ctx, FiguresDrawFlags{}))...)
	}
	o, err := h.rig(ctx, f.Kernel)
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
		why := fmt.Sprintf("%d CPUs, accelerator %s; paper needs %d CPUs and KVM", runtime.NumCPU(), p.Accel, paperCPUs)
		if p.Accel == vm.KVM && runtime.NumCPU() >= paperCPUs {
			size, why = "paper", fmt.Sprintf("KVM works and there are %d CPUs", runtime.NumCPU())
		}
		h.Console.Printf("profile %s: %s", size, why)
	}
	ro := plan.Options{Guest: o, Engine: results.EngineVM, Profile: size, Artifacts: &p, Jobs: f.Jobs}
	steps, err := plan.New(ctx, what, ro)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	h.Console.Printf("%s", steps.Summary())
	errs = append(errs, execute.Run(ctx, what, ro), hooks())
	if ctx.Err() != nil {
		return errors.Join(errs...)
	}
	// The report is drawn even if a run failed or is not valid.
	return errors.Join(append(errs, Figures{h}.Draw(ctx, FiguresDrawFlags{}))...)
}

// CleanFlags are the flags of clean.
type CleanFlags struct {
	CacheToo bool // kernels, images and compiler cache as well
}

// Clean removes results and report, and with -cacheToo the cache but for disks kept by -keep. Files that ALPS did not make stay, and all of it while an experiment runs in results/.
func (h Host) Clean(ctx context.Context, f CleanFlags) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	removed := func(dir string, left []string) {
		h.Console.Printf("removed: %s", dir)
		for _, path := range left {
			h.Console.Printf("left: %s", path)
		}
	}
	prune := func(dir string) ([]string, error) { return ours.Prune(dir, report.Forms()...) }
	for _, c := range []struct {
		dir   string
		clean func(string) ([]string, error)
	}{{"results", results.Clean}, {"report", prune}} { // results first: they may be in use
		dir := filepath.Join(root, c.dir)
		left, err := c.clean(dir)
		if err != nil {
			return err
		}
		for i := range left {
			left[i] = filepath.Join(dir, left[i])
		}
		removed(dir, left)
	}
	if !f.CacheToo {
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
	removed(dir, left) // left: disks kept by -keep, and what ALPS did not make
	return nil
}
