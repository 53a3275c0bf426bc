// Package runner plans and runs experiments. For those in a guest it builds what
// is missing, boots, calibrates the functions, replays the trace under every
// scheduler in interleaved rounds, and writes each run as a result of its own;
// those in virtual time it hands to package simulate.
//
// A run that several experiments show takes place once. A plan can be shared out
// among machines and the shares' results merged. What is compared stays
// together: the schedulers given the same work run on one machine.
//
// A run is named by the digest of everything that makes it. One that is there
// already is kept, so a job that was interrupted goes on by being run again.
package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/ds2-lab/alps/experiments/simulate"
	"github.com/ds2-lab/alps/experiments/spec"
	"github.com/ds2-lab/alps/kernel"
	"github.com/ds2-lab/alps/vm"
)

// Options say what to run. Rig.Root is required.
type Options struct {
	Rig     RigOptions
	Dir     string // of experiments, workloads and profiles; "" is Rig.Root/experiments
	Engine  string // vm or sim; "": vm, or sim where nothing runs in a guest
	Profile string // in profiles.yaml; "" is smoke
	Results string // directory; "" is Rig.Root/results
	Shard   Shard  // which share of the plan; the zero Shard is all of it
	Jobs    int    // guests side by side; 0: one, or one per CPU where a guest is one thread
	Parts   *Parts // built before; nil: Run builds them
}

func (o Options) dir() string { return cmp.Or(o.Dir, filepath.Join(o.Rig.Root, "experiments")) }

func (o Options) results() string {
	return cmp.Or(o.Results, filepath.Join(o.Rig.Root, "results"))
}

// jobs is how many guests work side by side.
func (o Options) jobs(a vm.Accel) int {
	switch {
	case o.Jobs > 0:
		return o.Jobs
	case a == vm.VTime:
		return runtime.NumCPU()
	}
	return 1
}

// work is experiments by what runs them.
type work struct {
	profile   spec.Profile
	measured  []spec.Experiment
	simulated []spec.Experiment
}

// newWork validates everything before anything is built.
func newWork(name string, o Options) (w work, err error) {
	if w.profile, err = spec.LoadProfile(o.dir(), cmp.Or(o.Profile, "smoke")); err != nil {
		return w, err
	}
	measured, simulated, err := spec.ByEngine(o.dir(), name, o.Engine)
	if err != nil {
		return w, err
	}
	if name == spec.All {
		if err := w.profile.Check(o.dir(), measured); err != nil {
			return w, err
		}
	}
	w.simulated = simulated
	for _, e := range measured {
		switch {
		case name != spec.All || w.profile.Includes(e.Name):
			w.measured = append(w.measured, e)
		case o.Engine == "" && len(e.Engines()) > 1:
			w.simulated = append(w.simulated, e)
		}
	}
	return w, w.checkKernels(filepath.Join(o.Rig.Root, "kernel"))
}

// checkKernels says which kernels nobody declares.
func (w work) checkKernels(dir string) error {
	kernels, err := kernel.List(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range w.measured {
		for _, s := range e.VM.Series {
			name := s.Kernel
			if !name.IsZero() && !slices.ContainsFunc(kernels, func(k kernel.Kernel) bool { return k.Name.V == name.V }) {
				errs = append(errs, fmt.Errorf("%s:%d:%d: kernel %q: kernel/kernels.yaml has none of that name", e.Path, name.Line, name.Col, name.V))
			}
		}
	}
	return errors.Join(errs...)
}

// Run runs the experiment called name, or spec.All, and returns when every run
// of the share is there. What there is already is kept; a run that goes wrong
// does not keep the others from taking place, and is said at the end.
func Run(ctx context.Context, name string, o Options) error {
	w, err := newWork(name, o)
	if err != nil {
		return err
	}
	accel, cpus := o.machine()
	b, err := newBatch(w.measured, w.profile, functionCPUs(cpus))
	if err != nil {
		return err
	}
	unlock, err := lock(o.results())
	if err != nil {
		return err
	}
	defer unlock()
	past := openHistory()
	var errs []error
	if o.Shard.hasOne(0, len(b.units)) { // a machine that only simulates needs no kernel
		if o.Parts == nil {
			p, err := Prepare(ctx, o.Rig)
			if err != nil {
				return err
			}
			o.Parts = &p
		}
		if o.Parts.Accel != accel || o.Parts.CPUs != cpus {
			if b, err = newBatch(w.measured, w.profile, o.Parts.FunctionCPUs()); err != nil {
				return err
			}
		}
		errs = append(errs, newBench(b, o, past).run(ctx))
		if ctx.Err() != nil {
			return errors.Join(errs...)
		}
	}
	if len(w.simulated) > 0 {
		errs = append(errs, simulate.Experiments(ctx, w.simulated, simulate.Options{Root: o.Rig.Root, Results: o.results(), Progress: o.Rig.Progress,
			Mine: func(i int) bool { return o.Shard.has(len(b.units) + i) },
			Took: func(invocations int, d time.Duration) { past.put(simKind, d/time.Duration(invocations)) }}))
	}
	return errors.Join(errs...)
}
