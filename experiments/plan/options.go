// SPDX-License-Identifier: Apache-2.0

// Package plan says what experiments come to: which runs there are (RunSet), which of
// them are for this host (Shard), and how long they take (History, Plan). It writes files
// by which GitHub Actions, Kubernetes or Slurm run them (WriteManifest), joins the results
// of shards (Merge), and passes results from host to host (Publish, Restore).
//
// A run that several experiments show takes place once. Runs that are compared stay
// together: the schedulers that are given the same workload, load and round are in one
// shard.
package plan

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/kernel"
	"github.com/ds2-lab/alps/vm"
)

// Options say what to run. Guest.Root is required.
type Options struct {
	Guest     guest.Options
	Dir       string           // of experiments, workloads and profiles; "" is Guest.Root/experiments
	Engine    string           // vm or sim; "": vm, or sim where nothing runs in a guest
	Profile   string           // in profiles.yaml; "" is smoke
	Results   string           // directory; "" is Guest.Root/results
	Shard     Shard            // of the plan; the zero Shard is all of it
	Jobs      int              // guests side by side; 0: one, or in virtual time, where a guest is one thread, one per CPU of the host
	Artifacts *guest.Artifacts // built before; nil: execute.Run builds them
}

func (o Options) dir() string { return cmp.Or(o.Dir, filepath.Join(o.Guest.Root, "experiments")) }

// ResultsDir is the results directory.
func (o Options) ResultsDir() string {
	return cmp.Or(o.Results, filepath.Join(o.Guest.Root, "results"))
}

// Guests is how many guests run side by side under an accelerator.
func (o Options) Guests(a vm.Accel) int {
	switch {
	case o.Jobs > 0:
		return o.Jobs
	case a == vm.VTime:
		return runtime.NumCPU()
	}
	return 1
}

// Machine is the accelerator and the number of CPUs of the guests. Without Artifacts
// they are those that guests most likely will have: whether KVM works is not known
// before a guest has booted.
func (o Options) Machine() (vm.Accel, int) {
	if o.Artifacts != nil {
		return o.Artifacts.Accel, o.Artifacts.CPUs
	}
	accel := o.Guest.Accel
	if accel == "" || accel == vm.Auto {
		if accel = likelyAccel(); accel == vm.TCG && o.Guest.Virtual {
			accel = vm.VTime
		}
	}
	return accel, cmp.Or(o.Guest.CPUs, vm.DefaultCPUs(accel))
}

// likelyAccel is the accelerator that auto will most likely choose.
func likelyAccel() vm.Accel {
	kernels, err := kernel.Cached()
	if err != nil {
		return vm.TCG
	}
	for _, k := range kernels {
		if a := vm.Remembered(k.BzImage); a != vm.Auto {
			return a
		}
	}
	return vm.TCG
}

// Selection is experiments, by the engine that runs them.
type Selection struct {
	Profile   config.Profile
	Measured  []config.Experiment // in guests
	Simulated []config.Experiment
}

// Select reads and validates the experiment called name, or config.All, and the
// profile, before anything is built. Of All, experiments that the profile does not run
// in guests are simulated if they can be and o.Engine is "".
func Select(name string, o Options) (s Selection, err error) {
	if s.Profile, err = config.LoadProfile(o.dir(), cmp.Or(o.Profile, "smoke")); err != nil {
		return s, err
	}
	measured, simulated, err := config.ByEngine(o.dir(), name, o.Engine)
	if err != nil {
		return s, err
	}
	if name == config.All {
		if err := s.Profile.Check(o.dir(), measured); err != nil {
			return s, err
		}
	}
	s.Simulated = simulated
	for _, e := range measured {
		switch {
		case name != config.All || s.Profile.Includes(e.Name):
			s.Measured = append(s.Measured, e)
		case o.Engine == "" && len(e.Engines()) > 1:
			s.Simulated = append(s.Simulated, e)
		}
	}
	return s, errors.Join(s.checkKernels(filepath.Join(o.Guest.Root, "kernel")), s.checkFunctions())
}

// checkFunctions complains about workloads that call a function that guests do not have.
func (s Selection) checkFunctions() error {
	var errs []error
	for _, e := range s.Measured {
		for i, mix := range e.VM.Mixes {
			for k, c := range mix.TraceClasses() {
				if !guest.Serves(c.Function, c.UID, c.Port) {
					at := e.VM.MixNames[i]
					errs = append(errs, fmt.Errorf("%s:%d:%d: workload %q: classes[%d]: no guest has a function %s with uid %s at port %s: take functions of experiments/workloads/huawei.yaml",
						e.Path, at.Line, at.Col, at.V, k, c.Function, c.UID, c.Port))
					break
				}
			}
		}
	}
	return errors.Join(errs...)
}

// checkKernels complains about kernels that kernels.yaml does not have, and about
// commands that are neither a path nor a peer.
func (s Selection) checkKernels(dir string) error {
	kernels, err := kernel.List(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range s.Measured {
		for _, x := range e.VM.Series {
			name := x.KernelName()
			if !name.IsZero() && !slices.ContainsFunc(kernels, func(k kernel.Kernel) bool { return k.Name.V == name.V }) {
				errs = append(errs, fmt.Errorf("%s:%d:%d: kernel %q: kernel/kernels.yaml has none of that name", e.Path, name.Line, name.Col, name.V))
			}
			at := x.Scheduler.Command
			if program, _, _ := strings.Cut(at.V, " "); !at.IsZero() && !strings.Contains(program, "/") && !slices.Contains(guest.Peers(), program) {
				errs = append(errs, fmt.Errorf("%s:%d:%d: command %q: allowed: the path of a program (./%s), or one of %s", e.Path, at.Line, at.Col, program, program, strings.Join(guest.Peers(), ", ")))
			}
		}
	}
	return errors.Join(errs...)
}
