// SPDX-License-Identifier: Apache-2.0

package execute

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/experiments/loadgen"
	"github.com/ds2-lab/alps/experiments/plan"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/experiments/trace"
	"github.com/ds2-lab/alps/internal/progress"
)

// requests turns a run's rows into requests. The functions' costs say how many rounds
// each needs for its CPU time. They are due such that they make the run's load on cpus
// function CPUs, or, in the paper's deployment, when the paper's client sends them.
func requests(r *plan.Run, costs guest.Costs, cpus int) ([]loadgen.Request, error) {
	demand := make([]time.Duration, len(r.Classes))
	rounds := make([]int, len(r.Classes))
	for i, c := range r.Classes {
		cost, ok := costs[c.Function]
		if !ok {
			return nil, fmt.Errorf("function %s was not calibrated", c.Function)
		}
		rounds[i] = cost.Rounds(time.Duration(float64(c.CPU) * r.Factor))
		demand[i] = cost.CPU(rounds[i])
	}
	each := make([]time.Duration, len(r.Rows))
	for i, row := range r.Rows {
		each[i] = demand[row.Class]
	}
	due := trace.Scale(r.Rows, each, r.Load, cpus)
	if r.Guest.Deployment == config.AsPaper {
		due = trace.Artifact(r.Rows, r.Load, cpus)
	}
	reqs := make([]loadgen.Request, len(r.Rows))
	for i, row := range r.Rows {
		c := r.Classes[row.Class]
		reqs[i] = loadgen.Request{ID: i + 1, Function: c.Function, UID: c.UID, Group: c.Group, N: c.N, Port: c.Port,
			Size: costs[c.Function].Size, Rounds: rounds[row.Class], Due: due[i]}
	}
	return reqs, nil
}

// replay executes a run in a guest.
func replay(ctx context.Context, g *guest.Guest, r *plan.Run, profile string, step *progress.Step) (results.Result, error) {
	a := g.Artifacts
	cpus := a.FunctionCPUs()
	reqs, err := requests(r, g.Costs, cpus)
	if err != nil {
		return results.Result{}, err
	}
	mode, err := json.Marshal(r.Mode)
	if err != nil {
		return results.Result{}, err
	}
	job, err := json.Marshal(loadgen.Job{Mode: r.Mode, Program: r.Program.Job()})
	if err != nil {
		return results.Result{}, err
	}
	out, err := g.Do(ctx, "replay", string(job), r.Program, reqs, step)
	if err != nil {
		return results.Result{}, err
	}
	var stats loadgen.Outcome
	head, body, _ := bytes.Cut(out, []byte("\n"))
	if err := json.Unmarshal(head, &stats); err != nil {
		return results.Result{}, fmt.Errorf("alps-loadgen: %w", err)
	}
	invocations, err := results.ReadCSV("alps-loadgen", bytes.NewReader(body))
	if err != nil {
		return results.Result{}, err
	}
	var params map[string]any
	if err := json.Unmarshal(mode, &params); err != nil {
		return results.Result{}, err
	}
	params["costs"] = g.Costs
	observer, err := json.Marshal(stats.Observer)
	if err != nil {
		return results.Result{}, err
	}
	meta := results.Run{
		Key: r.Key, Engine: results.EngineVM, Profile: profile, Workload: r.Workload,
		Scheduler: r.Scheduler(), Round: r.Round, Seed: r.Seed, Parameters: params,
		Kernel: g.Info.KernelRelease, KernelName: a.Kernel.Name, KernelFallback: a.Fallback, KernelSource: a.Kernel.Source,
		ConfigDigest: a.Kernel.ConfigDigest, Accelerator: string(a.Accel), QEMU: a.QEMU.Key, CPUs: a.CPUs, FunctionCPUs: cpus,
		ImageDigest: a.Image.Digest, Docker: g.Info.Docker, Revision: a.Revision,
		Invocations: len(invocations), TimeFactor: r.Factor, LoadAsked: r.Load,
		LoadAchieved: float64(stats.CPU) / (float64(stats.Span) * float64(cpus)),
		Deployment:   cmp.Or(r.Guest.Deployment, config.Apart), PlatformPerRequest: stats.Platform / time.Duration(max(1, len(invocations))), PlatformModelled: a.PlatformModelled(),
		MeanGap: stats.MeanGap, LateP50: stats.LateP50, LateP99: stats.LateP99, LateMax: stats.LateMax, Took: stats.Took,
		Failed: stats.Failed, Lost: stats.Lost, Errors: stats.Errors, Broken: stats.Broken,
	}
	if p := r.Program; p != nil {
		meta.Program = &results.Program{Command: p.Line, Source: p.Source, Digest: p.Digest}
		if c := stats.Charge; c != nil {
			meta.Program.Ops, meta.Program.EnableSeq, meta.Program.Output = c.Ops, c.EnableSeq, c.Output
		}
	}
	meta.Judge()
	if err := json.Unmarshal(observer, &meta.Observer); err != nil {
		return results.Result{}, err
	}
	return results.Result{Run: meta, Invocations: invocations, Slices: stats.Slices}, nil
}
