// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ds2-lab/alps/alps/sim"
	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/digest"
	"github.com/ds2-lab/alps/internal/tree"
)

// OracleKey names the result of OnMeasured for the run called base.
func OracleKey(base, scheduler string, seed uint64) (string, error) {
	model, err := model()
	if err != nil {
		return "", err
	}
	return oracleKey(base, scheduler, seed, model)
}

func oracleKey(base, scheduler string, seed uint64, model string) (string, error) {
	sum, err := digest.New("on-measured/1").Str("base", base).Str("scheduler", scheduler).Str("seed", fmt.Sprint(seed)).Str("model", model).Sum()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s-on-%s", scheduler, sum[:12]), nil
}

// model is the digest of this repository's simulator.
func model() (string, error) {
	root, err := tree.Root()
	if err != nil {
		return "", err
	}
	return ModelDigest(root)
}

// OnMeasured lets an oracle schedule the invocations of a run in a guest again.
//
// An invocation arrives when its process began in the guest (ArriveNS) and takes the
// CPU time that it took there (CPUNS): this is what the paper's frontend sees of it.
// The time between request and process stays as it was. There are as many cores as the
// functions had, and on them nothing else takes time. CPUNS includes what switching
// under base's scheduler cost the invocation; the oracle's invocations take that, too.
//
// The result has the conditions and invocations of base but for times, on-CPU segments
// and switches. seed is that of the oracle's estimates, and of the choice of a core for
// each invocation.
//
// An oracle that is none of config.Oracles, a base that was not measured in a guest,
// and one of which no invocation ended are errors.
func OnMeasured(ctx context.Context, base results.Result, scheduler string, seed uint64) (results.Result, error) {
	fail := func(format string, args ...any) (results.Result, error) {
		return results.Result{}, fmt.Errorf("%s on %s: %w", scheduler, base.Run.Key, fmt.Errorf(format, args...))
	}
	if !slices.Contains(config.Oracles, scheduler) {
		return fail("no such oracle; allowed: %s", strings.Join(config.Oracles, ", "))
	}
	if base.Run.Engine != results.EngineVM || base.Run.FunctionCPUs < 1 {
		return fail("engine %s, %d CPUs for functions: a run measured in a guest is needed", base.Run.Engine, base.Run.FunctionCPUs)
	}
	model, err := model()
	if err != nil {
		return fail("%w", err)
	}
	key, err := oracleKey(base.Run.Key, scheduler, seed, model)
	if err != nil {
		return fail("%w", err)
	}

	var rows []int // the invocations of base that ended, in the order in which they arrived
	for i, inv := range base.Invocations {
		if inv.Status == results.OK {
			rows = append(rows, i)
		}
	}
	if len(rows) == 0 {
		return fail("none of %d invocations ended", len(base.Invocations))
	}
	slices.SortStableFunc(rows, func(a, b int) int {
		return cmp.Compare(base.Invocations[a].ArriveNS, base.Invocations[b].ArriveNS)
	})
	begin := base.Invocations[rows[0]].ArriveNS
	work := make([]sim.Invocation, len(rows))
	for k, i := range rows {
		inv := base.Invocations[i]
		// A coarse clock may say 0 for a short invocation; the simulator wants more than 0.
		work[k] = sim.Invocation{Arrive: time.Duration(inv.ArriveNS - begin), CPU: time.Duration(max(inv.CPUNS, 1))}
	}
	var segments results.Segments
	c := sim.Config{Cores: base.Run.FunctionCPUs, Functions: []sim.Function{{Name: "all", UID: "1"}}, Seed: seed,
		Slice: func(k int, length time.Duration) { segments.Add(base.Invocations[rows[k]].Group, length) }}
	out, err := run(ctx, c, sim.Spec{Name: scheduler}, work)
	if err != nil {
		return fail("%w", err)
	}

	r := results.Result{Run: base.Run, Invocations: slices.Clone(base.Invocations)}
	for k, i := range rows {
		o, inv := out.Outcomes[k], &r.Invocations[i]
		if !o.Done {
			inv.Status, inv.StartNS, inv.EndNS, inv.SwitchesVol, inv.SwitchesInvol = results.Failed, 0, 0, 0, 0
			continue
		}
		inv.StartNS, inv.EndNS = begin+int64(o.Start), begin+int64(o.End)
		inv.SwitchesVol, inv.SwitchesInvol = 0, int(o.Invol)
	}
	r.Slices = segments.Slices()
	r.Run.Key, r.Run.Scheduler, r.Run.Seed = key, scheduler, seed
	r.Run.Parameters = map[string]any{"on": base.Run.Key, "model": model}
	r.Run.Took, r.Run.Observer = out.Span, nil
	r.Run.Failed += out.Unfinished
	r.Run.Judge()
	// What is wrong with base is wrong with this.
	for _, why := range base.Run.Invalid {
		if !slices.Contains(r.Run.Invalid, why) {
			r.Run.Invalid = append(r.Run.Invalid, why)
		}
	}
	r.Run.Valid = len(r.Run.Invalid) == 0
	return r, nil
}
