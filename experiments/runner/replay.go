package runner

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ds2-lab/alps/experiments/load"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/experiments/spec"
	"github.com/ds2-lab/alps/experiments/trace"
	"github.com/ds2-lab/alps/internal/progress"
)

// requests turns rows into requests for this machine.
func (r *run) requests(costs Costs, cpus int) ([]load.Request, error) {
	demand := make([]time.Duration, len(r.classes))
	rounds := make([]int, len(r.classes))
	for i, c := range r.classes {
		cost, ok := costs[c.Function]
		if !ok {
			return nil, fmt.Errorf("function %s was not calibrated", c.Function)
		}
		rounds[i] = cost.Rounds(time.Duration(float64(c.CPU) * r.factor))
		demand[i] = cost.CPU(rounds[i])
	}
	each := make([]time.Duration, len(r.rows))
	for i, row := range r.rows {
		each[i] = demand[row.Class]
	}
	due := trace.Scale(r.rows, each, r.load, cpus)
	if r.at.deployment == spec.AsPaper {
		due = trace.Artifact(r.rows, r.load, cpus)
	}
	reqs := make([]load.Request, len(r.rows))
	for i, row := range r.rows {
		c := r.classes[row.Class]
		reqs[i] = load.Request{ID: i + 1, Function: c.Function, UID: c.UID, Group: c.Group, N: c.N, Port: c.Port,
			Size: costs[c.Function].Size, Rounds: rounds[row.Class], Due: due[i]}
	}
	return reqs, nil
}

// replay runs a run in the rig.
func (rig *Rig) replay(ctx context.Context, r *run, profile string, step *progress.Step) (results.Result, error) {
	p := rig.Parts
	cpus := p.FunctionCPUs()
	reqs, err := r.requests(rig.Costs, cpus)
	if err != nil {
		return results.Result{}, err
	}
	mode, err := json.Marshal(r.mode)
	if err != nil {
		return results.Result{}, err
	}
	out, err := rig.Do(ctx, "replay", string(mode), reqs, step)
	if err != nil {
		return results.Result{}, err
	}
	var stats load.Outcome
	head, body, _ := bytes.Cut(out, []byte("\n"))
	if err := json.Unmarshal(head, &stats); err != nil {
		return results.Result{}, fmt.Errorf("alps-load: %w", err)
	}
	invocations, err := results.ReadCSV("alps-load", bytes.NewReader(body))
	if err != nil {
		return results.Result{}, err
	}
	var params map[string]any
	if err := json.Unmarshal(mode, &params); err != nil {
		return results.Result{}, err
	}
	params["costs"] = rig.Costs
	observer, err := json.Marshal(stats.Observer)
	if err != nil {
		return results.Result{}, err
	}
	meta := results.Run{
		Key: r.key, Engine: results.EngineVM, Profile: profile, Workload: r.workload,
		Scheduler: r.scheduler(), Round: r.round, Seed: r.seed, Parameters: params,
		Kernel: rig.Info.KernelRelease, KernelName: p.Kernel.Name, KernelFallback: p.Fallback, KernelSource: p.Kernel.Source,
		ConfigDigest: p.Kernel.ConfigDigest, Accelerator: string(p.Accel), QEMU: p.QEMU.Key, CPUs: p.CPUs, FunctionCPUs: cpus,
		ImageDigest: p.Image.Digest, Docker: rig.Info.Docker, Revision: p.Revision,
		Invocations: len(invocations), TimeFactor: r.factor, LoadAsked: r.load,
		LoadAchieved: float64(stats.CPU) / (float64(stats.Span) * float64(cpus)),
		Deployment:   cmp.Or(r.at.deployment, spec.Apart), PlatformPerRequest: stats.Platform / time.Duration(max(1, len(invocations))),
		MeanGap: stats.MeanGap, LateP50: stats.LateP50, LateP99: stats.LateP99, LateMax: stats.LateMax, Took: stats.Took,
		Failed: stats.Failed, Lost: stats.Lost, Errors: stats.Errors, Broken: stats.Broken,
	}
	meta.Judge()
	if err := json.Unmarshal(observer, &meta.Observer); err != nil {
		return results.Result{}, err
	}
	return results.Result{Run: meta, Invocations: invocations, Slices: stats.Slices}, nil
}
