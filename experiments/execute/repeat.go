// SPDX-License-Identifier: Apache-2.0

package execute

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/ds2-lab/alps/experiments/plan"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/progress"
)

// RepeatLimit is how far the means of a group in two runs of the same key may lie
// apart in virtual time, as a fraction of the first.
const RepeatLimit = 0.02

// Repeat runs the guest part of an experiment twice, into the directories repeat/1 and
// repeat/2 of the results directory, and prints how far apart the two lie. Runs that an
// interrupted Repeat made are kept; if it was not interrupted, all are made anew. It is
// an error if a group's means differ by more than RepeatLimit, or if the two have
// different invocations.
func Repeat(ctx context.Context, name string, o plan.Options, w io.Writer) error {
	o.Engine = results.EngineVM
	selected, err := plan.Select(name, o)
	if err != nil {
		return err
	}
	base := filepath.Join(o.ResultsDir(), "repeat")
	r := repetition{dirs: [2]string{filepath.Join(base, "1"), filepath.Join(base, "2")}, progress: o.Guest.Progress}
	for _, e := range selected.Measured {
		r.experiments = append(r.experiments, e.Name)
	}
	r.run = func(ctx context.Context, dir string) error {
		o := o
		o.Results = dir
		return Run(ctx, name, o)
	}
	return r.do(ctx, w)
}

// repetition is experiments that run twice.
type repetition struct {
	experiments []string
	dirs        [2]string                                   // results directory of each time
	run         func(ctx context.Context, dir string) error // runs what is not in dir yet
	progress    *progress.Reporter
}

func (r repetition) do(ctx context.Context, w io.Writer) error {
	before, err := r.written()
	if err != nil {
		return err
	}
	keys, err := r.twice(ctx)
	if err != nil {
		return err
	}
	after, err := r.written()
	if err != nil {
		return err
	}
	isOld := func(dir, key string) bool {
		at, was := before[results.Dir(dir, results.EngineVM, key)]
		return was && at.Equal(after[results.Dir(dir, results.EngineVM, key)])
	}
	if len(keys) > 0 && !slices.ContainsFunc(keys, func(k string) bool { return !isOld(r.dirs[0], k) || !isOld(r.dirs[1], k) }) {
		r.progress.Printf("repeat  both results of all %d runs were there already: all are made anew", len(keys))
		if err := r.remove(keys); err != nil {
			return err
		}
		if keys, err = r.twice(ctx); err != nil {
			return err
		}
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "run\tgroup\tn\tmean 1, ms\tmean 2, ms\tdifference")
	var errs []error
	for _, key := range keys {
		a, err := results.Read(results.Dir(r.dirs[0], results.EngineVM, key))
		if err != nil {
			return err
		}
		b, err := results.Read(results.Dir(r.dirs[1], results.EngineVM, key))
		if err != nil {
			return fmt.Errorf("%s: the second time another run came out: %w", key, err)
		}
		errs = append(errs, compare(a, b, tw))
	}
	return errors.Join(append(errs, tw.Flush())...)
}

// twice runs the experiments into both directories and lists the keys of the runs in the
// first, each once.
func (r repetition) twice(ctx context.Context) (keys []string, err error) {
	for _, dir := range r.dirs {
		if err := r.run(ctx, dir); err != nil {
			return nil, err
		}
	}
	for _, name := range r.experiments {
		shown, err := results.ReadPlan(r.dirs[0], results.EngineVM, name)
		if err != nil {
			return nil, err
		}
		for _, s := range shown {
			if !slices.Contains(keys, s.Key) {
				keys = append(keys, s.Key)
			}
		}
	}
	return keys, nil
}

// written says when the results in both directories were written, by their directories.
func (r repetition) written() (map[string]time.Time, error) {
	at := map[string]time.Time{}
	for _, dir := range r.dirs {
		found, err := results.Find(dir)
		if err != nil {
			return nil, err
		}
		for _, run := range found.Runs {
			result := results.Result{Dir: filepath.Join(dir, run)}
			if at[result.Dir], err = result.Written(); err != nil {
				return nil, err
			}
		}
	}
	return at, nil
}

// remove removes runs from both directories.
func (r repetition) remove(keys []string) error {
	for _, dir := range r.dirs {
		unlock, err := results.Lock(dir)
		if err != nil {
			return err
		}
		defer unlock()
		for _, key := range keys {
			if err := results.Remove(results.Dir(dir, results.EngineVM, key)); err != nil {
				return err
			}
		}
	}
	return nil
}

// compare prints the groups' means in two runs and complains about differences. It
// calls the difference "none" where the two have the same invocations in every field.
func compare(a, b results.Result, w io.Writer) error {
	if !slices.Equal(identities(a), identities(b)) {
		return fmt.Errorf("%s: the two runs have different invocations", a.Run.Key)
	}
	var errs []error
	exactly := slices.Equal(a.Invocations, b.Invocations)
	twice := results.Summarize(b.Invocations)
	for i, s := range results.Summarize(a.Invocations) {
		if s.N == 0 {
			continue
		}
		diff := (twice[i].Mean - s.Mean) / s.Mean
		shown := fmt.Sprintf("%+.2f %%", 100*diff)
		if exactly {
			shown = "none"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%.2f\t%.2f\t%s\n", a.Run.Key, s.Group, s.N, s.Mean, twice[i].Mean, shown)
		if !(math.Abs(diff) <= RepeatLimit) {
			errs = append(errs, fmt.Errorf("%s: the means of %s differ by %.1f %%, more than %.0f %%", a.Run.Key, s.Group, 100*math.Abs(diff), 100*RepeatLimit))
		}
	}
	return errors.Join(errs...)
}

// identity is what must be the same of an invocation in both runs.
type identity struct {
	id, n                 int
	function, uid, status string
}

func identities(r results.Result) []identity {
	var ids []identity
	for _, i := range r.Invocations {
		ids = append(ids, identity{i.ID, i.N, i.Function, i.UID, i.Status})
	}
	return ids
}
