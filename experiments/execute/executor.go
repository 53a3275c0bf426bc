// SPDX-License-Identifier: Apache-2.0

package execute

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/experiments/plan"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/experiments/simulate"
	"github.com/ds2-lab/alps/internal/progress"
)

// executor executes the runs of a shard, in guests side by side.
type executor struct {
	*plan.RunSet
	opts plan.Options
	past *plan.History

	builds     map[guest.Variant]guestBuild
	programs   map[string]loaded // by command
	impossible map[*plan.Run]bool

	preparing sync.Mutex // one slot at a time acquires a guest: in virtual time the others then find the snapshot

	// Tests replace these, for they have no guest.
	build   func(context.Context, guest.Variant) (guest.Artifacts, error)
	load    func(context.Context, *plan.Run) (*guest.Program, error)
	acquire func(context.Context, guest.Artifacts) (*guest.Guest, error)
	replay  func(context.Context, *guest.Guest, *plan.Run, *progress.Step) (results.Result, error)
}

// loaded is the program of a command, or why it could not be had.
type loaded struct {
	program *guest.Program
	err     error
}

// guestBuild is the artifacts of a variant, or why they could not be built.
type guestBuild struct {
	artifacts guest.Artifacts
	err       error
}

func newExecutor(set *plan.RunSet, o plan.Options, past *plan.History) *executor {
	x := &executor{RunSet: set, opts: o, past: past, builds: map[guest.Variant]guestBuild{}, programs: map[string]loaded{}, impossible: map[*plan.Run]bool{}, build: o.Artifacts.Variant}
	x.load = func(ctx context.Context, r *plan.Run) (*guest.Program, error) {
		return guest.LoadProgram(ctx, r.Command, r.Dir, o.Guest.Progress)
	}
	ports := set.Ports()
	x.acquire = func(ctx context.Context, a guest.Artifacts) (*guest.Guest, error) { return a.Acquire(ctx, ports) }
	x.replay = func(ctx context.Context, g *guest.Guest, r *plan.Run, step *progress.Step) (results.Result, error) {
		return replay(ctx, g, r, set.Profile.Name.V, step)
	}
	return x
}

// tries is how many guests a run may fail in.
const tries = 2

// run builds the guests' variants, writes the experiments' plans, and executes the
// shard's runs of which there is no valid result. If it is interrupted while it builds,
// it writes no plan: what was not built is not impossible.
func (x *executor) run(ctx context.Context) error {
	var errs []error
	for _, r := range x.Runs {
		b, ok := x.builds[r.Guest]
		if !ok {
			if b.artifacts, b.err = x.build(ctx, r.Guest); b.err != nil {
				errs = append(errs, fmt.Errorf("%s, and whatever else needs the same, is missing: %w", r.Label(), b.err))
			}
			x.builds[r.Guest] = b
		}
		failed := b.err
		if r.Command != "" && failed == nil {
			p, ok := x.programs[r.Command]
			if !ok {
				if p.program, p.err = x.load(ctx, r); p.err != nil {
					errs = append(errs, fmt.Errorf("%s, and whatever else needs the same, is missing: %w", r.Label(), p.err))
				}
				x.programs[r.Command] = p
			}
			r.Program, failed = p.program, p.err
		}
		if failed != nil && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if failed != nil {
			x.impossible[r] = true
			r.SetImpossible()
		} else if err := r.SetKey(b.artifacts); err != nil {
			return err
		}
	}
	plans, err := x.Plans()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(plans)) {
		if err := results.WritePlan(x.opts.ResultsDir(), results.EngineVM, name, plans[name]); err != nil {
			return err
		}
	}
	return errors.Join(append(errs, x.measure(ctx))...)
}

// kinds are the kinds of guests that the shard's runs need.
func (x *executor) kinds() map[guest.Variant]bool {
	kinds := map[guest.Variant]bool{}
	for _, r := range x.Runs {
		if x.opts.Shard.Has(r.Unit) && !x.impossible[r] {
			kinds[r.Guest] = true
		}
	}
	return kinds
}

// step is a run of the shard, and its error.
type step struct {
	*plan.Run
	index int  // among the shard's steps
	kept  bool // a valid result is there already
	err   error
}

// measure executes the shard's steps in their order, several at a time.
func (x *executor) measure(ctx context.Context) error {
	accel, cpus := x.opts.Artifacts.Accel, x.opts.Artifacts.CPUs
	var steps []*step
	var expected []time.Duration
	for _, r := range x.Runs {
		if !x.opts.Shard.Has(r.Unit) || x.impossible[r] {
			continue
		}
		s := &step{Run: r, index: len(steps)}
		old, err := results.ReadRun(results.Dir(x.opts.ResultsDir(), results.EngineVM, r.Key))
		d := time.Duration(0)
		if s.kept = err == nil && old.Valid; !s.kept {
			d, _ = r.Expected(accel, cpus, x.past)
		}
		steps, expected = append(steps, s), append(expected, d)
	}
	jobs := x.opts.Guests(accel)
	if kept, sum := left(steps, expected); kept > 0 {
		x.opts.Guest.Progress.Printf("%d of %d steps are there already, about %s left", kept, len(steps), progress.Round(sum/time.Duration(jobs)))
	}
	job := x.opts.Guest.Progress.Job(expected, jobs)
	queue := make(chan *step)
	var wg sync.WaitGroup
	for range jobs {
		wg.Go(func() {
			l := slot{executor: x}
			defer l.close()
			for s := range queue {
				if ctx.Err() == nil {
					s.err = l.do(ctx, s, job)
				}
			}
		})
	}
	for _, s := range steps {
		queue <- s
	}
	close(queue)
	wg.Wait()
	var errs []error
	for _, s := range steps {
		errs = append(errs, s.err)
	}
	return errors.Join(append(errs, context.Cause(ctx))...)
}

// left counts the steps that are kept, and sums the time of the others.
func left(steps []*step, expected []time.Duration) (kept int, sum time.Duration) {
	for i, s := range steps {
		if s.kept {
			kept++
		}
		sum += expected[i]
	}
	return kept, sum
}

// slot executes one step after the other, in at most one guest at a time.
type slot struct {
	*executor
	guest   *guest.Guest
	variant guest.Variant // of guest
}

func (l *slot) close() {
	if l.guest != nil {
		l.guest.Close()
	}
	l.guest = nil
}

// do executes a step unless its result is kept, and computes the oracles on it. A step
// that is interrupted is no error: measure returns ctx's cause.
func (l *slot) do(ctx context.Context, s *step, job *progress.Job) error {
	p := job.Step(s.index, s.Label())
	if s.kept {
		p.Done("kept")
		return l.oracles(ctx, s.Run)
	}
	var result results.Result
	var err error
	for try := 1; ; try++ {
		if result, err = l.attempt(ctx, s.Run, p); err == nil {
			break
		}
		l.close()
		if ctx.Err() != nil {
			return nil // interrupted
		}
		err = fmt.Errorf("%s: %w", s.Label(), err)
		if try == tries {
			p.Done("failed")
			return err
		}
		l.opts.Guest.Progress.Printf("%v\nonce more, in a fresh guest", err)
	}
	if err := results.Write(results.Dir(l.opts.ResultsDir(), results.EngineVM, s.Key), result); err != nil {
		return err
	}
	p.Done(loads(result.Run))
	if !result.Run.Valid {
		err = fmt.Errorf("%s is not valid: %s", s.Label(), strings.Join(result.Run.Invalid, "; "))
	}
	return errors.Join(err, l.oracles(ctx, s.Run))
}

// attempt replays a run in the slot's guest, or in a new one if the slot has none
// of the run's variant.
func (l *slot) attempt(ctx context.Context, r *plan.Run, p *progress.Step) (results.Result, error) {
	if l.guest != nil && l.variant != r.Guest {
		l.close()
	}
	if l.guest == nil {
		if err := l.open(ctx, r.Guest); err != nil {
			return results.Result{}, err
		}
	}
	begun := time.Now()
	result, err := l.replay(ctx, l.guest, r, p)
	if err == nil {
		took := time.Since(begun)
		if used, ok := l.guest.HostCPU(); ok { // does not depend on what else the host does
			took = used
		}
		l.past.PutRun(r, l.guest.Artifacts.Accel, l.guest.Artifacts.CPUs, took)
	}
	return result, err
}

// open acquires a guest of a variant.
func (l *slot) open(ctx context.Context, v guest.Variant) (err error) {
	l.preparing.Lock()
	defer l.preparing.Unlock()
	begun := time.Now()
	a := l.builds[v].artifacts
	a.Kinds = len(l.kinds())
	if l.guest, err = l.acquire(ctx, a); err != nil {
		return err
	}
	l.variant = v
	took := time.Since(begun)
	if l.guest.SetUpCPU > 0 {
		took = l.guest.SetUpCPU
	}
	l.past.Put(plan.SetUpKind(l.guest.Artifacts.Accel), took)
	return nil
}

// oracles computes the series on run r, each under an oracle (config.Oracles), unless
// a valid result is there.
func (x *executor) oracles(ctx context.Context, r *plan.Run) error {
	done := map[string]bool{}
	for _, shown := range x.Shown {
		if shown.Run != r || shown.Oracle == "" || done[shown.Oracle] {
			continue
		}
		done[shown.Oracle] = true
		key, err := shown.Key()
		if err != nil {
			return err
		}
		dir := results.Dir(x.opts.ResultsDir(), results.EngineVM, key)
		if old, err := results.ReadRun(dir); err == nil && old.Valid {
			continue
		}
		base, err := results.Read(results.Dir(x.opts.ResultsDir(), results.EngineVM, r.Key))
		if err != nil {
			return err
		}
		result, err := simulate.OnMeasured(ctx, base, shown.Oracle, r.Seed)
		if err != nil {
			return err
		}
		if err := results.Write(dir, result); err != nil {
			return err
		}
	}
	return nil
}

// loads says what load a run had, and that another one was asked for if they are more than a tenth apart: in the
// deployment paper the client's gaps decide.
func loads(r results.Run) string {
	text := fmt.Sprintf("load %.2f", r.LoadAchieved)
	if off := r.LoadAchieved/r.LoadAsked - 1; r.LoadAsked > 0 && (off > 0.1 || off < -0.1) {
		text += fmt.Sprintf(", where %g was asked for", r.LoadAsked)
	}
	return text
}
