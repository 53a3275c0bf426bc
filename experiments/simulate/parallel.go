// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/progress"
)

// Run runs jobs side by side, one per processor, and hands each result to done,
// which may be called by several at once. It returns early with the first error.
func Run(ctx context.Context, jobs []Job, rep *progress.Reporter, done func(i int, r results.Result) error) error {
	if len(jobs) == 0 {
		return nil
	}
	step := rep.Step("simulate", 0, 0)
	all := total(jobs)
	var ended, finished atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, j := range jobs {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			mine := int64(0)
			count := func(n int) {
				step.Frac(float64(ended.Add(int64(n)-mine)) / float64(all))
				mine = int64(n)
			}
			r, err := j.Run(ctx, count)
			if err != nil {
				return err
			}
			count(len(j.Arrivals.Invocations))
			step.Detail("%d/%d runs", finished.Add(1), len(jobs))
			return done(i, r)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	step.Done(fmt.Sprintf("%d runs", len(jobs)))
	return nil
}

// total is how many invocations jobs have together.
func total(jobs []Job) (n int) {
	for _, j := range jobs {
		n += len(j.Arrivals.Invocations)
	}
	return n
}
