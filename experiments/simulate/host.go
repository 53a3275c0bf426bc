// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/clock"
)

// host makes a part's table and writes it. A table that is there is replaced: counting
// is quick, and times are worth measuring anew.
func host(ctx context.Context, s results.Series, h config.Host, o Options) error {
	step := o.Progress.Step(h.Measure.V, 0, 0)
	var table results.Table
	var err error
	params := map[string]any{"measure": h.Measure.V}
	switch h.Measure.V {
	case config.MeasureIndex:
		table, err = indexTable()
	case config.MeasureCost:
		table, err = cost(ctx, h, step.Frac)
		params["go"], params["cpu"] = runtime.Version(), CPUModel()
	default:
		table = groups(h)
	}
	if err != nil {
		return err
	}
	r := results.Result{Table: &table, Run: results.Run{Key: s.Key, Engine: results.EngineHost, Parameters: params, Errors: []string{}}}
	r.Run.Judge()
	if err := results.Write(results.Dir(o.Results, results.EngineSim, s.Key), r); err != nil {
		return err
	}
	step.Done("")
	return nil
}

// CPUModel is the processor's name in /proc/cpuinfo.
func CPUModel() string {
	data, _ := os.ReadFile("/proc/cpuinfo") // a missing name is no reason not to measure
	_, rest, _ := strings.Cut(string(data), "model name\t: ")
	name, _, _ := strings.Cut(rest, "\n")
	return name
}

// groups counts the invocations of each group in the workloads.
func groups(h config.Host) results.Table {
	t := results.Table{Columns: []string{"workload", "group", "invocations", "share_pct"}}
	for _, mix := range h.Mixes {
		classes := mix.TraceClasses()
		n := 0
		for _, c := range mix.Classes {
			n += c.Count.V
		}
		count := map[string]int{}
		for _, r := range mix.Rows(n, 1) {
			count[classes[r.Class].Group]++
		}
		for _, g := range results.Groups {
			t.Rows = append(t.Rows, []string{mix.Name.V, g, fmt.Sprint(count[g]), fmt.Sprintf("%.2f", 100*float64(count[g])/float64(n))})
		}
	}
	return t
}

// Updates are measured for costTime, and at least costRuns of them.
const (
	costTime = 100 * time.Millisecond
	costRuns = 20
)

// cost measures updates of the policy over windows of one core at 90 %.
func cost(ctx context.Context, h config.Host, frac func(float64)) (results.Table, error) {
	t := results.Table{Columns: []string{"workload", "learner", "records", "median_us", "min_us", "updates"}}
	total, done := len(h.Mixes)*len(h.Learn)*len(h.Records), 0
	for _, mix := range h.Mixes {
		for _, learner := range h.Learn {
			for _, n := range h.Records {
				if err := ctx.Err(); err != nil {
					return t, fmt.Errorf("measure what the policy costs: %w", err)
				}
				took, err := updates(learner, window(mix, n.V))
				if err != nil {
					return t, err
				}
				us := func(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/1e3) }
				t.Rows = append(t.Rows, []string{mix.Name.V, learner.String(), fmt.Sprint(n.V), us(took[len(took)/2]), us(took[0]), fmt.Sprint(len(took))})
				done++
				frac(float64(done) / float64(total))
			}
		}
	}
	return t, nil
}

// window is n records of invocations that arrive as on one core at 90 % load. Each ends
// as if it never waited.
func window(mix config.Workload, n int) []policy.Record {
	w := NewArrivals(mix, 0.9, 1, n, 1)
	out := make([]policy.Record, n)
	for i, inv := range w.Invocations {
		at := clock.KTime(inv.Arrive)
		out[i] = policy.Record{UID: w.Functions[inv.Function].UID, Arrive: at, End: at.Add(inv.CPU), CPU: inv.CPU}
	}
	return out
}

// updates are the times of single updates, sorted.
func updates(l policy.Learner, records []policy.Record) ([]time.Duration, error) {
	params := policy.Paper()
	params.Learner = l
	p, err := policy.New(params)
	if err != nil {
		return nil, err
	}
	p.Update(records, 85, 1) // the first allocates
	var took []time.Duration
	for begin := time.Now(); len(took) < costRuns || time.Since(begin) < costTime; {
		at := time.Now()
		p.Update(records, 85, 1)
		took = append(took, time.Since(at))
	}
	slices.Sort(took)
	return took, nil
}
