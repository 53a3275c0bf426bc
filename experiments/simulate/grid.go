// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/stats"
	"github.com/ds2-lab/alps/internal/digest"
)

// bigMachine is the number of cores from which on a run of a grid has twice the
// invocations: each of many cores serves few.
const bigMachine = 24

// gridColumns are the first columns of a grid's table; n and P99 of each group follow.
// Means are of turnaround and of the time from the request to the end.
var gridColumns = []string{"workload", "cores", "load", "series", "seed", "n", "unfinished", "mean_ms", "request_ms"}

// unfinishedColumn is the column with the number of invocations that did not end.
const unfinishedColumn = 6

// invocationsOn is how many invocations a run of a part has on so many cores.
func invocationsOn(part config.Sim, cores int) int {
	if cores >= bigMachine {
		return 2 * part.Invocations.V
	}
	return part.Invocations.V
}

// gridRun is one run of a grid.
type gridRun struct {
	series   string
	job      Job  // without arrivals
	varies   bool // groups are by an invocation's own CPU time
	position int  // of its row in the table
}

// gridCell is the runs of one cell in one round. Its arrivals are drawn when the runs
// begin: those of all cells would not fit into memory.
type gridCell struct {
	draw func() *Arrivals
	runs []gridRun
}

// gridCells lists the cells of a part, in the order of the table.
func gridCells(part config.Sim) ([]gridCell, error) {
	var cells []gridCell
	n := 0
	for _, mix := range part.Mixes {
		for _, cores := range part.Cores {
			for load := range part.Loads {
				for round := 1; round <= max(part.Rounds.V, 1); round++ {
					invocations := invocationsOn(part, cores.V)
					cell := gridCell{draw: func() *Arrivals {
						return NewArrivals(mix, part.Loads[load].V, cores.V, invocations, part.RoundSeed(round))
					}}
					for _, s := range part.Series {
						scheduler, err := s.Sim()
						if err != nil {
							return nil, err
						}
						cell.runs = append(cell.runs, gridRun{s.Name.V, Job{Machine: part.Config(s, round), Scheduler: scheduler, Round: round}, mix.Varies(), n})
						n++
					}
					cells = append(cells, cell)
				}
			}
		}
	}
	return cells, nil
}

// gridInvocations is how many invocations a part simulates.
func gridInvocations(part config.Sim) (n int) {
	for _, cores := range part.Cores {
		n += invocationsOn(part, cores.V)
	}
	return n * len(part.Mixes) * len(part.Loads) * max(part.Rounds.V, 1) * len(part.Series)
}

// grid runs a part and makes its table. progress is told the fraction that is done.
func grid(ctx context.Context, part config.Sim, progress func(share float64)) (results.Table, error) {
	t := results.Table{Columns: slices.Clone(gridColumns)}
	for _, g := range results.Groups {
		t.Columns = append(t.Columns, strings.ToLower(g)+"_n", strings.ToLower(g)+"_p99_ms")
	}
	cells, err := gridCells(part)
	if err != nil {
		return t, err
	}
	t.Rows = make([][]string, len(cells)*len(part.Series))
	var done atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, cell := range cells {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			arrivals := cell.draw()
			for _, r := range cell.runs {
				row, err := r.row(ctx, arrivals)
				if err != nil {
					return err
				}
				t.Rows[r.position] = row
			}
			progress(float64(done.Add(1)) / float64(len(cells)))
			return nil
		})
	}
	return t, g.Wait()
}

// row simulates the run and returns its row of the table.
func (r gridRun) row(ctx context.Context, arrivals *Arrivals) ([]string, error) {
	j := r.job
	j.Arrivals = arrivals
	out, err := run(ctx, j.machine(), j.Scheduler, arrivals.Invocations)
	if err != nil {
		return nil, fmt.Errorf("simulate %s: %w", j.Label(), err)
	}
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', 3, 64) }
	groups := map[string][]float64{}
	mean, request, n := 0.0, 0.0, 0
	for i, o := range out.Outcomes {
		if !o.Done {
			continue
		}
		group := arrivals.classes[arrivals.rows[i].Class].Group
		if r.varies {
			group = results.GroupOf(arrivals.Invocations[i].CPU)
		}
		ms := float64(o.End-o.Arrive) / 1e6
		groups[group] = append(groups[group], ms)
		mean += ms
		request += float64(o.End-o.Send) / 1e6
		n++
	}
	row := []string{arrivals.Workload, strconv.Itoa(arrivals.Cores), strconv.FormatFloat(arrivals.Load, 'g', -1, 64), r.series,
		strconv.FormatUint(arrivals.Seed, 10), strconv.Itoa(n), strconv.Itoa(out.Unfinished), number(mean / float64(max(n, 1))), number(request / float64(max(n, 1)))}
	for _, g := range results.Groups {
		p99 := 0.0
		if len(groups[g]) > 0 {
			p99 = stats.Of(groups[g]).Quantile(0.99)
		}
		row = append(row, strconv.Itoa(len(groups[g])), number(p99))
	}
	return row, nil
}

// gridKey names a grid's table by all that makes it.
func gridKey(name string, part config.Sim, model string) (string, error) {
	d := digest.New(Version).Str("grid", gridVersion).Str("model", model).Str("part", fmt.Sprintf("%d %d %d %d", part.Seed, part.Rounds.V, part.Invocations.V, len(part.Series)))
	var sizes []int
	for _, c := range part.Cores {
		if n := invocationsOn(part, c.V); !slices.Contains(sizes, n) {
			sizes = append(sizes, n)
		}
	}
	for _, mix := range part.Mixes {
		for round := 1; round <= max(part.Rounds.V, 1); round++ {
			for _, n := range sizes {
				// The arrivals at one load on one core stand for those at all loads on
				// all cores, which are drawn alike.
				work, err := NewArrivals(mix, 1, 1, n, part.RoundSeed(round)).sum()
				if err != nil {
					return "", err
				}
				d.Str("mix", work)
			}
		}
	}
	for _, c := range part.Cores {
		d.Str("cores", strconv.Itoa(c.V))
	}
	for _, l := range part.Loads {
		d.Str("load", fmt.Sprint(l.V))
	}
	for _, s := range part.Series {
		scheduler, err := s.Sim()
		if err != nil {
			return "", err
		}
		d.Str("series", s.Name.V).Str("scheduler", fmt.Sprintf("%+v", scheduler)).Str("machine", fmt.Sprintf("%+v", part.Config(s, 1)))
	}
	sum, err := d.Sum()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("grid-%s-%s", name, sum[:12]), nil
}

// gridVersion changes when this file makes other rows of the same runs.
const gridVersion = "grid/1"

// errUndrained says that a grid's table was written but is not valid.
var errUndrained = errors.New("a load does not drain")

// runGrid makes a part's table and writes it, unless it is there. Invocations that did
// not end are an errUndrained, after the table was written.
func runGrid(ctx context.Context, s results.Series, part config.Sim, o Options) error {
	dir := results.Dir(o.Results, results.EngineSim, s.Key)
	if old, err := results.ReadRun(dir); err == nil && old.Valid {
		o.Progress.Printf("grid  %s is there and kept", s.Key)
		return nil
	}
	step := o.Progress.Step("grid", 0, 0)
	table, err := grid(ctx, part, step.Frac)
	if err != nil {
		return fmt.Errorf("%s: %w", s.Key, err)
	}
	unfinished := 0
	for _, row := range table.Rows {
		n, err := strconv.Atoi(row[unfinishedColumn])
		if err != nil {
			return fmt.Errorf("%s: %w", s.Key, err)
		}
		unfinished += n
	}
	r := results.Result{Table: &table, Run: results.Run{Key: s.Key, Engine: results.EngineHost, Parameters: map[string]any{"measure": "grid"}, Errors: []string{}}}
	r.Run.Failed = unfinished
	r.Run.Judge()
	if err := results.Write(dir, r); err != nil {
		return err
	}
	if !r.Run.Valid {
		return fmt.Errorf("%s: %d invocations had not ended when their runs were given up: %w", s.Key, unfinished, errUndrained)
	}
	step.Done(fmt.Sprintf("%d runs", len(table.Rows)))
	return nil
}
