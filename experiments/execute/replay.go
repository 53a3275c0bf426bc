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
	"github.com/ds2-lab/alps/internal/progress"
)

// replay executes a run in a guest.
func replay(ctx context.Context, g *guest.Guest, r *plan.Run, profile string, step *progress.Step) (results.Result, error) {
	a := g.Artifacts
	cpus := a.FunctionCPUs()
	reqs, err := r.Requests(g.Costs, cpus)
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
		Deployment:   cmp.Or(r.Guest.Deployment, config.Apart), PlatformPerRequest: stats.Platform / time.Duration(max(1, len(invocations))), PlatformModelled: a.PlatformModelled,
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
