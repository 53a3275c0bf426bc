// SPDX-License-Identifier: Apache-2.0

// Package execute runs experiments. It builds what guests need, replays each run
// in a guest, several side by side, and writes every run as a result of its own;
// simulated experiments it hands to package simulate.
//
// A run is named by the digest of everything that makes it. A valid result that
// is there is kept, so an interrupted job goes on when it is started again.
package execute

import (
	"context"
	"errors"
	"time"

	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/experiments/plan"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/experiments/simulate"
)

// Run runs the experiment called name, or config.All, and returns when every run
// of the shard is there. A run that fails does not keep the others from taking
// place; the error names all that failed.
func Run(ctx context.Context, name string, o plan.Options) error {
	selected, err := plan.Select(name, o)
	if err != nil {
		return err
	}
	accel, cpus := o.Machine()
	set, err := plan.NewRunSet(selected.Measured, selected.Profile, guest.FunctionCPUs(cpus))
	if err != nil {
		return err
	}
	unlock, err := results.Lock(o.ResultsDir())
	if err != nil {
		return err
	}
	defer unlock()
	past := plan.OpenHistory()
	var errs []error
	if o.Shard.HasOne(0, set.Units) { // a host that only simulates needs no kernel
		if o.Artifacts == nil {
			a, err := guest.Prepare(ctx, o.Guest)
			if err != nil {
				return err
			}
			o.Artifacts = &a
		}
		if o.Artifacts.Accel != accel || o.Artifacts.CPUs != cpus {
			if set, err = plan.NewRunSet(selected.Measured, selected.Profile, o.Artifacts.FunctionCPUs()); err != nil {
				return err
			}
		}
		errs = append(errs, newExecutor(set, o, past).run(ctx))
		if ctx.Err() != nil {
			return errors.Join(errs...)
		}
	}
	if len(selected.Simulated) > 0 {
		errs = append(errs, simulate.Experiments(ctx, selected.Simulated, simulate.Options{Root: o.Guest.Root, Results: o.ResultsDir(), Progress: o.Guest.Progress,
			Mine: func(i int) bool { return o.Shard.Has(set.Units + i) },
			Took: func(invocations int, d time.Duration) {
				past.Put(plan.SimulatedKind, d/time.Duration(invocations))
			}}))
	}
	return errors.Join(errs...)
}
