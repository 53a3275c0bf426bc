// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/alps/sim"
	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/digest"
)

// Version is part of every key. Raise it when this package makes another result of the
// same simulation.
const Version = "simulate/1"

// run is replaced by tests.
var run = sim.Run

// Job is one simulated run.
type Job struct {
	Arrivals  *Arrivals
	Machine   sim.Config // cores, functions and seed do not count: the arrivals' take their place
	Scheduler sim.Spec
	Round     int    // 0 is 1; the key has the seed instead
	Model     string // ModelDigest; "" where no result is kept
}

// modelFolders have the source that decides what a simulation yields: alps/sim and
// what it imports.
var modelFolders = []string{"alps/model", "alps/policy", "alps/sim", "alps/sim/setup", "internal/clock", "internal/heap", "internal/list"}

// ModelDigest is the digest of the source, below root, that decides what a
// simulation yields, so that a result of another simulator is never taken for
// this one's.
func ModelDigest(root string) (string, error) {
	d := digest.New("model/2")
	for _, dir := range modelFolders {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil {
			return "", err
		}
		for _, f := range files { // sorted
			if !strings.HasSuffix(f, "_test.go") {
				d.File(dir+"/"+filepath.Base(f), f)
			}
		}
	}
	return d.Sum()
}

// Label names the job for people.
func (j Job) Label() string {
	return fmt.Sprintf("%s %s %g %%", j.Scheduler.Name, j.Arrivals.Workload, 100*j.Arrivals.Load)
}

// parameters are those of scheduler and machine, for the result.
func (j Job) parameters() (map[string]any, error) {
	p := map[string]any{}
	add := func(name string, d time.Duration) {
		if d != 0 {
			p[name] = d.String()
		}
	}
	add("switch", j.Machine.Switch)
	add("refill", j.Machine.Refill)
	add("share_lag", j.Machine.ShareLag)
	add("tick", j.Machine.Tick)
	add("platform_cpu", j.Machine.Platform.CPU)
	add("platform_lock", j.Machine.Platform.Lock)
	add("platform_delay", j.Machine.Platform.Delay)
	add("platform_jitter", j.Machine.Platform.Jitter)
	if g := j.Machine.Platform.Cgroup; g != "" {
		p["platform_cgroup"] = g
	}
	if j.Scheduler.Gaps != 0 {
		p["gaps"] = j.Scheduler.Gaps
	}
	var err error
	switch {
	case j.Scheduler.Steady != (policy.SteadyParams{}): // else they are the defaults, of scx
		p["params"], err = asMap(j.Scheduler.Steady)
	case config.FollowsPolicy(j.Scheduler.Name):
		p["order"] = j.Scheduler.Order
		add("step", j.Scheduler.Step)
		p["params"], err = asMap(j.Scheduler.Params)
	}
	return p, err
}

// asMap is v by its JSON names.
func asMap(v any) (map[string]any, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var out map[string]any
	err = json.Unmarshal(data, &out)
	return out, err
}

// machine is the configuration that is simulated: Machine with what the arrivals say.
func (j Job) machine() sim.Config {
	c := j.Machine
	c.Cores, c.Functions, c.Seed = j.Arrivals.Cores, j.Arrivals.Functions, j.Arrivals.Seed
	return c
}

// Key names the run by all that makes it.
func (j Job) Key() (string, error) {
	arrivals, err := j.Arrivals.sum()
	if err != nil {
		return "", err
	}
	// Printed whole, so that no field can be forgotten.
	sum, err := digest.New(Version).Str("model", j.Model).Str("work", arrivals).Str("machine", fmt.Sprintf("%+v", j.machine())).
		Str("load", fmt.Sprint(j.Arrivals.Load)).Str("scheduler", fmt.Sprintf("%+v", j.Scheduler)).Sum()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s-%s-%.0f-%s", j.Scheduler.Name, j.Arrivals.Workload, 100*j.Arrivals.Load, sum[:12]), nil
}

// Run simulates. progress, if not nil, is told now and then how many
// invocations have ended.
func (j Job) Run(ctx context.Context, progress func(ended int)) (results.Result, error) {
	w := j.Arrivals
	key, err := j.Key()
	if err != nil {
		return results.Result{}, err
	}
	params, err := j.parameters()
	if err != nil {
		return results.Result{}, err
	}
	var segments results.Segments
	c := j.machine()
	c.Progress = progress
	c.Slice = func(i int, length time.Duration) { segments.Add(w.classes[w.rows[i].Class].Group, length) }
	out, err := run(ctx, c, j.Scheduler, w.Invocations)
	if err != nil {
		return results.Result{}, fmt.Errorf("simulate %s: %w", j.Label(), err)
	}
	r := results.Result{Invocations: make([]results.Invocation, len(out.Outcomes)), Slices: segments.Slices()}
	var cpu time.Duration
	for i, o := range out.Outcomes {
		class := w.classes[w.rows[i].Class]
		r.Invocations[i] = results.Invocation{ID: i + 1, Function: class.Function, UID: class.UID, Group: class.Group, N: class.N,
			ArriveNS: o.Arrive.Nanoseconds(), SendNS: o.Send.Nanoseconds(), StartNS: o.Start.Nanoseconds(), EndNS: o.End.Nanoseconds(),
			CPUNS: o.CPU.Nanoseconds(), SwitchesInvol: int(o.Invol), Status: results.OK}
		if !o.Done {
			r.Invocations[i].Status, r.Invocations[i].EndNS = results.Failed, 0
			r.Invocations[i].StartNS = max(r.Invocations[i].StartNS, 0)
		}
		cpu += o.CPU
	}
	r.Run = results.Run{Key: key, Engine: results.EngineSim, Workload: w.Workload, Scheduler: j.Scheduler.Name, Round: max(j.Round, 1), Seed: w.Seed,
		Parameters: params, CPUs: w.Cores, FunctionCPUs: w.Cores, Invocations: len(w.Invocations), TimeFactor: 1,
		LoadAsked: w.Load, LoadAchieved: share(cpu, w.Span, w.Cores), MeanGap: w.Span / time.Duration(len(w.Invocations)),
		Took: out.Span, Errors: []string{}, Sim: &results.Sim{Model: j.Model, Span: out.Span, BusyShare: share(out.Busy, out.Span, w.Cores),
			Switches: out.Switches, Migrations: out.Migrations, Updates: out.Updates, Unfinished: out.Unfinished}}
	r.Run.Judge()
	return r, nil
}

// share is used as a fraction of the cores' time in span; 0 if span is 0.
func share(used, span time.Duration, cores int) float64 {
	if span <= 0 {
		return 0
	}
	return float64(used) / (float64(span) * float64(cores))
}
