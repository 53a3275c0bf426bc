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

	"github.com/ds2-lab/alps/experiments/plan"
	"github.com/ds2-lab/alps/experiments/results"
)

// RepeatLimit is how far the means of a group in two runs of the same key may lie
// apart in virtual time, as a fraction of the first.
const RepeatLimit = 0.02

// Repeat runs the guest part of an experiment twice, into the directories repeat/1 and
// repeat/2 of the results directory, and prints how far apart the two lie. What is
// there already is kept. It is an error if a group's means differ by more than
// RepeatLimit, or if the two have different invocations.
func Repeat(ctx context.Context, name string, o plan.Options, w io.Writer) error {
	o.Engine = results.EngineVM
	selected, err := plan.Select(name, o)
	if err != nil {
		return err
	}
	base := filepath.Join(o.ResultsDir(), "repeat")
	var dirs [2]string
	for i := range dirs {
		dirs[i] = filepath.Join(base, fmt.Sprint(i+1))
		o.Results = dirs[i]
		if err := Run(ctx, name, o); err != nil {
			return err
		}
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "run\tgroup\tn\tmean 1, ms\tmean 2, ms\tdifference")
	var errs []error
	seen := map[string]bool{}
	for _, e := range selected.Measured {
		first, err := results.ReadPlan(dirs[0], results.EngineVM, e.Name)
		if err != nil {
			return err
		}
		for _, a := range first {
			if seen[a.Key] {
				continue
			}
			seen[a.Key] = true
			b, err := results.Read(results.Dir(dirs[1], results.EngineVM, a.Key))
			if err != nil {
				return fmt.Errorf("%s: the second time another run came out: %w", a.Key, err)
			}
			errs = append(errs, compare(a.Result, b, tw))
		}
	}
	return errors.Join(append(errs, tw.Flush())...)
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
