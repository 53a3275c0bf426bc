// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/alps/sim"
	"github.com/ds2-lab/alps/experiments"
	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/results"
)

// fake replaces the simulator by one in which every invocation has a core for itself. It
// returns how often that was called. change, if not nil, changes a result.
func fake(t *testing.T, change func(*sim.Result)) *atomic.Int64 {
	var calls atomic.Int64
	real := run
	run = func(ctx context.Context, c sim.Config, s sim.Spec, invs []sim.Invocation) (sim.Result, error) {
		calls.Add(1)
		var r sim.Result
		for i, inv := range invs {
			c.Slice(i, inv.CPU)
			at := inv.Arrive + c.Platform.Delay
			r.Outcomes = append(r.Outcomes, sim.Outcome{Send: inv.Arrive, Arrive: at, Start: at, End: at + inv.CPU, CPU: inv.CPU, Invol: 1, Done: true})
			r.Busy += inv.CPU
			r.Span = max(r.Span, at+inv.CPU)
		}
		c.Progress(len(invs))
		if change != nil {
			change(&r)
		}
		return r, ctx.Err()
	}
	t.Cleanup(func() { run = real })
	return &calls
}

func workload(t *testing.T, name string) config.Workload {
	w, err := config.FindWorkload(experiments.Files, name, "")
	require.NoError(t, err)
	return w
}

func TestArrivals(t *testing.T) {
	for name, functions := range map[string]int{"huawei": 10, "azure": 10, "fib15": 5} {
		for _, load := range []float64{0.7, 1.2} {
			mix := workload(t, name)
			w := NewArrivals(mix, load, 24, 3000, 1)
			require.Len(t, w.Functions, functions)
			var demand time.Duration
			for i, inv := range w.Invocations {
				require.True(t, i == 0 || inv.Arrive >= w.Invocations[i-1].Arrive)
				require.Equal(t, w.Functions[inv.Function].UID, w.classes[w.rows[i].Class].UID)
				demand += inv.CPU
			}
			require.InEpsilon(t, load*max(mix.LoadFactor.V, 1), share(demand, w.Span, 24), 1e-6)
		}
	}
	// A function that drifts stays the same function.
	mix := workload(t, "drift")
	w := NewArrivals(mix, 0.9, 24, 3000, 1)
	require.Len(t, w.Functions, 10)
	before, after := map[string]string{}, map[string]string{}
	for i, r := range w.rows {
		c := w.classes[r.Class]
		require.Equal(t, c.UID, w.Functions[w.Invocations[i].Function].UID)
		if i < 1500 {
			before[c.UID] = c.Group
		} else {
			after[c.UID] = c.Group
		}
	}
	require.Equal(t, []string{"G2", "G3"}, []string{before["20"], before["18"]})
	require.Equal(t, []string{"G3", "G2"}, []string{after["20"], after["18"]})

	free, busy := workload(t, "huawei"), workload(t, "huawei")
	free.LoadFactor.V, busy.LoadFactor.V = 0, 1.1
	plain, more := NewArrivals(free, 0.9, 24, 100, 1), NewArrivals(busy, 0.9, 24, 100, 1)
	require.InEpsilon(t, float64(plain.Span)/1.1, float64(more.Span), 1e-6)
	require.InDelta(t, 0.9, more.Load, 0)
}

func TestJob(t *testing.T) {
	fake(t, nil)
	w := NewArrivals(workload(t, "huawei"), 0.9, 24, 500, 7)
	j := Job{Arrivals: w, Scheduler: sim.Spec{Name: "alps", Order: "fifo", Step: time.Second, Params: policy.Paper()},
		Machine: sim.Config{Switch: 3 * time.Microsecond, Platform: sim.Platform{Delay: time.Millisecond}}}
	last := 0
	r, err := j.Run(t.Context(), func(n int) { last = n })
	require.NoError(t, err)
	require.Equal(t, 500, last)
	require.True(t, r.Run.Valid)
	require.InDelta(t, 0.9*1.005, r.Run.LoadAchieved, 1e-6)
	require.Equal(t, "fifo", r.Run.Parameters["order"])
	require.Equal(t, "3µs", r.Run.Parameters["switch"])
	require.InDelta(t, 2.0, r.Run.Parameters["params"].(map[string]any)["alpha"], 0)
	segments := int64(0)
	for _, s := range r.Slices {
		segments += s.Count
	}
	require.EqualValues(t, 500, segments)
	i := r.Invocations[9]
	require.Equal(t, 10, i.ID)
	require.Equal(t, time.Millisecond, time.Duration(i.ArriveNS-i.SendNS))
	require.Equal(t, w.Invocations[9].CPU, i.Turnaround())

	// Everything that makes the run is in its key: another input gives another key, the
	// same inputs the same.
	seen := map[string]bool{}
	key := func(change func(*Job)) {
		c := j
		change(&c)
		k, err := c.Key()
		require.NoError(t, err)
		require.False(t, seen[k], k)
		seen[k] = true
	}
	key(func(*Job) {})
	key(func(j *Job) { j.Scheduler.Order = "off" })
	key(func(j *Job) { j.Scheduler.Name = "ghost-alps" })
	key(func(j *Job) { j.Scheduler.Params.Alpha = 3 })
	key(func(j *Job) { j.Scheduler.Gaps = 3 })
	key(func(j *Job) { j.Machine.Refill = 1 })
	key(func(j *Job) { j.Machine.ShareLag = 1 })
	key(func(j *Job) { j.Machine.Platform.Cgroup = "beside" })
	key(func(j *Job) { j.Machine.Platform.CPU = 1 })
	key(func(j *Job) { j.Machine.Drain = 1 })
	key(func(j *Job) { j.Model = "m" })
	key(func(j *Job) { j.Arrivals = NewArrivals(workload(t, "huawei"), 0.8, 24, 500, 7) })
	key(func(j *Job) { j.Arrivals = NewArrivals(workload(t, "huawei"), 0.9, 23, 500, 7) })
	key(func(j *Job) { j.Arrivals = NewArrivals(workload(t, "huawei"), 0.9, 24, 500, 8) })
	key(func(j *Job) {
		slow := workload(t, "huawei")
		slow.Spread.V = 0.1
		j.Arrivals = NewArrivals(slow, 0.9, 24, 500, 7)
	})
	again, err := Job{Arrivals: NewArrivals(workload(t, "huawei"), 0.9, 24, 500, 7), Scheduler: j.Scheduler, Machine: j.Machine}.Key()
	require.NoError(t, err)
	require.Equal(t, r.Run.Key, again)
}

func load(t *testing.T, dir, name, yaml string) config.Experiment {
	require.NoError(t, os.WriteFile(filepath.Join(dir, "machines", "four.yaml"), []byte("{name: four, cores: 4}\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, name+".yaml"), []byte("figure: "+name+"\ntitle: t\nparts:\n"+yaml), 0o644))
	e, err := config.Load(dir, name)
	require.NoError(t, err)
	return e
}

const machine = "{engine: sim, workloads: [huawei], loads: [0.9], machine: four, invocations: 50, seed: 1, series: "

func TestExperimentsShareRunsAndKeepThem(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	require.NoError(t, os.CopyFS(dir, experiments.Files))
	a := load(t, dir, "a", "  - "+machine+"[{name: cfs}, {name: alps}]}\n")
	b := load(t, dir, "b", "  - "+machine+"[{name: two, scheduler: alps, params: {alpha: 2}}, {name: five, scheduler: alps, params: {alpha: 5}}]}\n")
	calls := fake(t, nil)
	o := Options{Root: "../..", Results: out}
	require.NoError(t, Experiments(t.Context(), []config.Experiment{a, b}, o))
	require.EqualValues(t, 3, calls.Load(), "alpha is 2 unless said")
	sa, err := results.ReadPlan(out, results.EngineSim, "a")
	require.NoError(t, err)
	sb, err := results.ReadPlan(out, results.EngineSim, "b")
	require.NoError(t, err)
	require.Equal(t, sa[1].Key, sb[0].Key)
	require.Equal(t, "two", sb[0].Name)
	require.Len(t, sb[1].Result.Invocations, 50)

	require.NoError(t, Experiments(t.Context(), []config.Experiment{a, b}, o))
	require.EqualValues(t, 3, calls.Load())
	require.NoError(t, os.RemoveAll(results.Dir(out, results.EngineSim, sb[1].Key)))
	require.NoError(t, Experiments(t.Context(), []config.Experiment{a, b}, o))
	require.EqualValues(t, 4, calls.Load())
}

// Experiments may name workloads of different files alike: each has its own invocations.
func TestWorkloadsOfOneNameStayApart(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, experiments.Files))
	data, err := os.ReadFile(filepath.Join(dir, "workloads", "rare.yaml"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "workloads", "mine.yaml"), bytes.Replace(data, []byte("name: rare"), []byte("name: huawei"), 1), 0o644))
	a := load(t, dir, "a", "  - "+machine+"[{name: cfs}]}\n")
	b := load(t, dir, "b", "  - "+strings.Replace(machine, "[huawei]", "[mine]", 1)+"[{name: cfs}]}\n")
	p, err := newPlan([]config.Experiment{a, b}, "")
	require.NoError(t, err)
	require.Len(t, p.jobs, 2)
	require.NotEqual(t, p.series["a"][0].Key, p.series["b"][0].Key)
}

func TestARunThatDoesNotDrainIsWrittenAndSaid(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	require.NoError(t, os.CopyFS(dir, experiments.Files))
	e := load(t, dir, "a", "  - "+machine+"[{name: cfs}]}\n")
	fake(t, func(r *sim.Result) {
		r.Outcomes[3] = sim.Outcome{Send: r.Outcomes[3].Send}
		r.Unfinished, r.Span = 1, time.Minute
	})
	for range 2 { // anew, and kept
		err := Experiments(t.Context(), []config.Experiment{e}, Options{Root: "../..", Results: out})
		require.ErrorContains(t, err, "is not valid: 1 of 50 invocations had not ended after 1m0s of simulated time: the load does not drain")
	}
	s, err := results.ReadPlan(out, results.EngineSim, "a")
	require.NoError(t, err)
	require.False(t, s[0].Result.Run.Valid)
	require.Equal(t, 1, s[0].Result.Run.Sim.Unfinished)
	require.Equal(t, results.Failed, s[0].Result.Invocations[3].Status)
}

func TestInterrupted(t *testing.T) {
	fake(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	w := NewArrivals(workload(t, "huawei"), 0.9, 4, 50, 1)
	jobs := make([]Job, 20)
	for i := range jobs {
		jobs[i] = Job{Arrivals: w, Scheduler: sim.Spec{Name: "cfs"}}
	}
	n := atomic.Int64{}
	err := Run(ctx, jobs, nil, func(int, results.Result) error {
		n.Add(1)
		cancel()
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, n.Load(), int64(len(jobs)))
}

func TestHostTables(t *testing.T) {
	out := t.TempDir()
	var exps []config.Experiment
	e, err := config.Load("..", "table1")
	require.NoError(t, err)
	exps = append(exps, e)
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, experiments.Files))
	exps = append(exps, load(t, dir, "t2", "  - {engine: host, workloads: [huawei], measure: cost, records: [10, 20], learners: [avg, rf]}\n"))
	require.NoError(t, Experiments(t.Context(), exps, Options{Root: "../..", Results: out}))
	s, err := results.ReadPlan(out, results.EngineSim, "table1")
	require.NoError(t, err)
	require.Equal(t, []string{"huawei", "G1", "10461", "69.74"}, s[0].Result.Table.Rows[0])
	require.Equal(t, []string{"azure", "G4", "348", "17.40"}, s[0].Result.Table.Rows[7])
	s, err = results.ReadPlan(out, results.EngineSim, "t2")
	require.NoError(t, err)
	require.Len(t, s[0].Result.Table.Rows, 4)
	require.Equal(t, []string{"huawei", "rf", "20"}, s[0].Result.Table.Rows[3][:3])
}

// All experiments of the repository can be planned, and runs that several show are
// planned once.
func TestRepository(t *testing.T) {
	names, err := config.List("..")
	require.NoError(t, err)
	var exps []config.Experiment
	for _, n := range names {
		e, err := config.Load("..", n)
		require.NoError(t, err)
		exps = append(exps, e)
	}
	p, err := newPlan(exps, "m")
	require.NoError(t, err)
	shown := 0
	for _, s := range p.series {
		shown += len(s)
	}
	t.Logf("%d series, %d runs", shown, len(p.jobs))
	require.Less(t, len(p.jobs), shown)
}
