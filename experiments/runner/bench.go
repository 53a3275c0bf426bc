package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/experiments/simulate"
	"github.com/ds2-lab/alps/experiments/spec"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/kernel"
)

// bench measures a batch's share, in guests side by side.
type bench struct {
	*batch
	opts Options
	past *history

	places map[place]site

	preparing sync.Mutex // what one worker has found out or made is the others'

	// Tests have no guest.
	make   func(context.Context, place) (Parts, error)
	ready  func(context.Context, Parts) (*Rig, error)
	replay func(context.Context, *Rig, *run, *progress.Step) (results.Result, error)
}

// site is a place that was made, or why it was not.
type site struct {
	parts Parts
	err   error
}

func newBench(b *batch, o Options, past *history) *bench {
	x := &bench{batch: b, opts: o, past: past, places: map[place]site{}, make: o.Parts.at}
	ports := b.ports()
	x.ready = func(ctx context.Context, p Parts) (*Rig, error) { return p.Ready(ctx, ports) }
	x.replay = func(ctx context.Context, rig *Rig, r *run, step *progress.Step) (results.Result, error) {
		return rig.replay(ctx, r, b.profile.Name.V, step)
	}
	return x
}

// tries is how many guests a run is given before it is given up.
const tries = 2

// run measures what is not there.
func (b *bench) run(ctx context.Context) error {
	var errs []error
	for _, r := range b.runs {
		if _, ok := b.places[r.at]; !ok {
			var s site
			if s.parts, s.err = b.make(ctx, r.at); s.err != nil {
				errs = append(errs, fmt.Errorf("%s, and whatever else needs the same, is missing: %w", r.label(), s.err))
			}
			b.places[r.at] = s
		}
		if b.places[r.at].err != nil {
			r.key = r.name() + "-impossible" // and so shown as missing
		} else if err := r.setKey(b.places[r.at].parts); err != nil {
			return err
		}
	}
	plans, err := b.plans()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(plans)) {
		if err := results.WritePlan(b.opts.results(), results.EngineVM, name, plans[name]); err != nil {
			return err
		}
	}
	return errors.Join(append(errs, b.measure(ctx))...)
}

// at is the parts of a place.
func (p *Parts) at(ctx context.Context, x place) (Parts, error) {
	out, err := *p, error(nil)
	if x.kernel != "" {
		out, err = out.withKernel(ctx, x.kernel)
	}
	if x.worker != "" && err == nil {
		out, err = out.withWorker(ctx, x.worker)
	}
	if out.deployment = x.deployment; out.deployment == spec.Apart {
		out.deployment = "" // the usual one has one key
	}
	if x.agent && err == nil {
		out, err = out.withAgent(ctx)
	}
	return out, err
}

// withKernel is the parts with another kernel.
func (p Parts) withKernel(ctx context.Context, name string) (Parts, error) {
	o := p.opts
	var err error
	p.Kernel, err = kernel.Build(ctx, name, kernel.Options{Dir: filepath.Join(o.Root, "kernel"), Progress: o.Progress})
	p.Fallback = false // it is what was asked for
	return p, err
}

// step is a run of the share, and what came of it.
type step struct {
	*run
	index int
	kept  bool
	err   error
}

// measure runs the share's steps, so many at a time, and in order of the batch.
func (b *bench) measure(ctx context.Context) error {
	accel, cpus := b.opts.Parts.Accel, b.opts.Parts.CPUs
	var steps []*step
	var expected []time.Duration
	for _, r := range b.runs {
		if !b.opts.Shard.has(r.unit) || b.places[r.at].err != nil {
			continue
		}
		s := &step{run: r, index: len(steps)}
		old, err := results.ReadRun(results.Dir(b.opts.results(), results.EngineVM, r.key))
		d := time.Duration(0)
		if s.kept = err == nil && old.Valid; !s.kept {
			d, _ = r.span(accel, cpus, b.past)
		}
		steps, expected = append(steps, s), append(expected, d)
	}
	jobs := b.opts.jobs(accel)
	job := b.opts.Rig.Progress.Job(expected, jobs)
	queue := make(chan *step)
	var wg sync.WaitGroup
	for range jobs {
		wg.Go(func() {
			w := worker{bench: b}
			defer w.close()
			for s := range queue {
				if ctx.Err() == nil {
					s.err = w.do(ctx, s, job)
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

// worker has at most one rig.
type worker struct {
	*bench
	rig *Rig
	at  place
}

func (w *worker) close() {
	if w.rig != nil {
		w.rig.Close()
	}
	w.rig = nil
}

// do measures a step, if it has to be, and computes what follows from it.
func (w *worker) do(ctx context.Context, s *step, job *progress.Job) error {
	p := job.Step(s.index, s.label())
	if s.kept {
		p.Done("kept")
		return w.oracles(ctx, s.run)
	}
	var result results.Result
	var err error
	for try := 1; ; try++ {
		if result, err = w.attempt(ctx, s.run, p); err == nil {
			break
		}
		w.close()
		if ctx.Err() != nil {
			return nil // the job says why
		}
		err = fmt.Errorf("%s: %w", s.label(), err)
		if try == tries {
			p.Done("failed")
			return err
		}
		w.opts.Rig.Progress.Printf("%v\nonce more, in a fresh guest", err)
	}
	if err := results.Write(results.Dir(w.opts.results(), results.EngineVM, s.key), result); err != nil {
		return err
	}
	p.Done(fmt.Sprintf("load %.2f", result.Run.LoadAchieved))
	if !result.Run.Valid {
		err = fmt.Errorf("%s is not valid: %s", s.label(), strings.Join(result.Run.Invalid, "; "))
	}
	return errors.Join(err, w.oracles(ctx, s.run))
}

// attempt replays a run in the worker's rig, or in a new one if it has none of
// the place.
func (w *worker) attempt(ctx context.Context, r *run, p *progress.Step) (results.Result, error) {
	if w.rig != nil && w.at != r.at {
		w.close()
	}
	if w.rig == nil {
		if err := w.open(ctx, r.at); err != nil {
			return results.Result{}, err
		}
	}
	begun := time.Now()
	result, err := w.replay(ctx, w.rig, r, p)
	if err == nil {
		w.past.put(r.kind(w.rig.Parts.Accel, w.rig.Parts.CPUs), time.Since(begun))
	}
	return result, err
}

// open has a rig of a place.
func (w *worker) open(ctx context.Context, at place) (err error) {
	w.preparing.Lock()
	defer w.preparing.Unlock()
	parts := w.places[at].parts
	begun := time.Now()
	if w.rig, err = w.bench.ready(ctx, parts); err != nil {
		return err
	}
	w.at = at
	if took := time.Since(begun); took > time.Second { // else it was there
		w.past.put(setUpKind(parts.Accel), took)
	}
	return nil
}

// oracles computes what the batch shows of a run under schedulers that know
// the future.
func (b *bench) oracles(ctx context.Context, r *run) error {
	done := map[string]bool{}
	for _, x := range b.shown {
		if x.run != r || x.oracle == "" || done[x.oracle] {
			continue
		}
		done[x.oracle] = true
		key, err := x.key()
		if err != nil {
			return err
		}
		dir := results.Dir(b.opts.results(), results.EngineVM, key)
		if old, err := results.ReadRun(dir); err == nil && old.Valid {
			continue
		}
		base, err := results.Read(results.Dir(b.opts.results(), results.EngineVM, r.key))
		if err != nil {
			return err
		}
		result, err := simulate.OnMeasured(ctx, base, x.oracle, r.seed)
		if err != nil {
			return err
		}
		if err := results.Write(dir, result); err != nil {
			return err
		}
	}
	return nil
}
