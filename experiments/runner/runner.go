// Package runner plans and runs experiments. For those in a guest it builds what
// is missing, boots once, calibrates the functions, replays the trace under
// every scheduler in interleaved rounds, and writes each run as a result of its
// own; those in virtual time it hands to package simulate.
//
// A plan can be shared out among machines and the shares' results merged. What
// is compared stays together: the schedulers of one round run on one machine.
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
	"slices"
	"strings"
	"time"

	"github.com/ds2-lab/alps/experiments/load"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/experiments/simulate"
	"github.com/ds2-lab/alps/experiments/spec"
)

// Options say what to run. Rig.Root is required.
type Options struct {
	Rig     RigOptions
	Dir     string // of experiments, workloads and profiles; "" is Rig.Root/experiments
	Engine  string // vm or sim; "": vm, or sim where nothing runs in a guest
	Profile string // in profiles.yaml; "" is smoke
	Results string // directory; "" is Rig.Root/results
	Shard   Shard  // which share of the plan; the zero Shard is all of it
	Parts   *Parts // built before; nil: Run builds them
}

func (o Options) dir() string { return cmp.Or(o.Dir, filepath.Join(o.Rig.Root, "experiments")) }

func (o Options) results() string {
	return cmp.Or(o.Results, filepath.Join(o.Rig.Root, "results"))
}

// work is experiments by what runs them.
type work struct {
	measured  []*job
	simulated []spec.Experiment
}

// newWork validates everything before anything is built.
func newWork(name string, o Options) (w work, err error) {
	profile, err := spec.LoadProfile(o.dir(), cmp.Or(o.Profile, "smoke"))
	if err != nil {
		return w, err
	}
	measured, simulated, err := spec.ByEngine(o.dir(), name, o.Engine)
	if err != nil {
		return w, err
	}
	for _, e := range measured {
		j, err := newJob(e, profile, o)
		if err != nil {
			return w, err
		}
		w.measured = append(w.measured, j)
	}
	w.simulated = simulated
	return w, nil
}

// Run runs the experiment called name, or spec.All, and returns when every run
// of the share is there. What there is already is kept; an experiment that goes
// wrong does not keep the others from running.
func Run(ctx context.Context, name string, o Options) error {
	w, err := newWork(name, o)
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
	unit := 0
	for _, j := range w.measured {
		first := unit
		unit += j.profile.Rounds.V
		if !o.Shard.hasOne(first, unit) {
			continue // a machine that only simulates needs no kernel
		}
		if o.Parts == nil {
			p, err := Prepare(ctx, o.Rig)
			if err != nil {
				return err
			}
			o.Parts = &p
		}
		j.opts = o
		if err := j.measure(ctx, past, first); err != nil {
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			return errors.Join(errs...)
		}
	}
	if len(w.simulated) > 0 {
		errs = append(errs, simulate.Experiments(ctx, w.simulated, simulate.Options{Root: o.Rig.Root, Results: o.results(), Progress: o.Rig.Progress,
			Mine: func(i int) bool { return o.Shard.has(unit + i) },
			Took: func(invocations int, d time.Duration) { past.put(simKind, d/time.Duration(invocations)) }}))
	}
	return errors.Join(errs...)
}

// measure runs a job's share. first is the plan's number of its first round.
func (j *job) measure(ctx context.Context, past history, first int) error {
	o, name := j.opts, j.exp.Name
	parts, err := o.Parts.withWorker(ctx, j.part.WorkerPath)
	if err != nil {
		return err
	}
	if err := j.setKeys(parts); err != nil {
		return err
	}
	var shown []results.Series
	for _, r := range j.runs {
		shown = append(shown, results.Series{Name: r.scheduler.Name.V, Workload: j.part.Mix.Name.V, Load: j.part.Load.V, Round: r.round, Key: r.key})
	}
	if err := results.WritePlan(o.results(), results.EngineVM, name, shown); err != nil {
		return err
	}
	runs := slices.DeleteFunc(slices.Clone(j.runs), func(r run) bool { return !o.Shard.has(first + r.round - 1) })
	kept := make([]bool, len(runs))
	expected := make([]time.Duration, len(runs))
	for i, r := range runs {
		old, err := results.Read(results.Dir(o.results(), results.EngineVM, r.key))
		if kept[i] = err == nil && old.Run.Valid; !kept[i] {
			expected[i], _ = j.span(r, parts.Accel, parts.CPUs, past)
		}
	}
	progress := o.Rig.Progress.Job(expected)
	var rig *Rig
	var costs map[string]load.Cost
	defer func() {
		if rig != nil {
			rig.Close()
		}
	}()
	var bad []error
	for i, r := range runs {
		label := name + " " + r.label()
		if kept[i] {
			progress.Step(i, label).Done("kept")
			continue
		}
		if rig == nil {
			var err error
			begun := time.Now()
			if rig, err = parts.Boot(ctx, j.ports); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if costs, err = j.calibrate(ctx, rig); err != nil {
				return fmt.Errorf("%s: %w\n(console: %s)", name, err, rig.Machine.Console())
			}
			past.put(setUpKind(parts.Accel), time.Since(begun))
		}
		step := progress.Step(i, label)
		begun := time.Now()
		result, err := j.replay(ctx, rig, costs, r, step)
		if err != nil {
			return fmt.Errorf("%s: %w\n(console: %s)", label, err, rig.Machine.Console())
		}
		if err := results.Write(results.Dir(o.results(), results.EngineVM, r.key), result); err != nil {
			return err
		}
		past.put(j.kind(r, parts.Accel, parts.CPUs), time.Since(begun))
		step.Done(fmt.Sprintf("load %.2f", result.Run.LoadAchieved))
		if !result.Run.Valid {
			bad = append(bad, fmt.Errorf("%s is not valid: %s", label, strings.Join(result.Run.Invalid, "; ")))
		}
	}
	return errors.Join(bad...)
}
