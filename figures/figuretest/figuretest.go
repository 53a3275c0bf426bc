// SPDX-License-Identifier: Apache-2.0

// Package figuretest makes results for tests: the shapes matter, not the numbers.
package figuretest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/format"
	"github.com/ds2-lab/alps/figures/paper"
)

// Like makes a run whose groups have the percentiles of the paper's bars times
// a factor.
func Like(t *testing.T, workload, scheduler string, factor float64) results.Result {
	ref, err := paper.NewReference()
	require.NoError(t, err)
	r := results.Result{Run: results.Run{Key: scheduler + "-" + workload + "-" + format.Fixed(factor, 2), Engine: results.EngineSim, Workload: workload, Scheduler: scheduler,
		LoadAsked: 0.9, Valid: true, Invalid: []string{}, Errors: []string{}, CPUs: 24, Seed: 1, Sim: &results.Sim{Model: "0123456789abcdef"}}}
	for _, g := range results.Groups {
		s := map[string]float64{}
		for _, n := range ref[paper.Position{Figure: paper.Bars, Workload: workload, LoadPct: paper.BarsLoad, Group: g, Series: scheduler}] {
			s[n.Stat] = n.Value
		}
		for _, x := range []struct {
			n  int
			ms float64
		}{{50, s["p50"]}, {25, s["p75"]}, {15, s["p90"]}, {10, s["p99"]}} {
			for range x.n {
				r.Invocations = append(r.Invocations, results.Invocation{ID: len(r.Invocations) + 1, Group: g, EndNS: int64(x.ms * factor * 1e6), Status: results.OK})
			}
		}
	}
	r.Run.Invocations = len(r.Invocations)
	return r
}

// Plan writes the results and an experiment that shows them by the given names.
func Plan(t *testing.T, root, experiment string, series map[string]results.Result, names ...string) {
	var shown []results.Series
	for _, name := range names {
		r := series[name]
		require.NoError(t, results.Write(results.Dir(root, results.EngineSim, r.Run.Key), r))
		shown = append(shown, results.Series{Name: name, Load: r.Run.LoadAsked, Key: r.Run.Key})
	}
	require.NoError(t, results.WritePlan(root, results.EngineSim, experiment, shown))
}

// Made makes a run of 260 invocations with random waits: the shapes matter, not the numbers. An invocation
// waits scale times its CPU time on average. The random numbers depend on the round and on the length of the
// scheduler's name.
func Made(engine, workload, scheduler string, round int, scale float64) results.Result {
	rng := rand.New(rand.NewPCG(uint64(round), uint64(len(scheduler))))
	r := results.Result{Run: results.Run{Key: fmt.Sprintf("%s-%s-%s-%.2f-r%d", engine, workload, scheduler, scale, round), Engine: engine, Workload: workload,
		Scheduler: scheduler, Round: round, Seed: uint64(round), CPUs: 24, FunctionCPUs: 24, Invocations: 260,
		Valid: true, Invalid: []string{}, Errors: []string{}, LoadAsked: 0.9, LoadAchieved: 0.91, TimeFactor: 1}}
	if engine == results.EngineVM {
		r.Run.Kernel, r.Run.KernelFallback, r.Run.Accelerator, r.Run.CPUs, r.Run.FunctionCPUs = "6.1.0-alps", true, "tcg", 2, 1
	} else {
		r.Run.Sim = &results.Sim{Model: "0123456789abcdef"}
	}
	var segments results.Segments
	for g, n := range []int{150, 60, 40, 10} {
		for range n {
			cpu := []float64{40, 120, 326, 2500}[g]
			d := int64(cpu * (1 + scale*rng.ExpFloat64()) * 1e6)
			at := int64(len(r.Invocations)+1) * 1e8
			r.Invocations = append(r.Invocations, results.Invocation{ID: len(r.Invocations) + 1, Function: "f", UID: "1", Group: results.Groups[g], N: 1,
				SendNS: at - 1e6, ArriveNS: at, StartNS: at + 1e5, EndNS: at + d, CPUNS: int64(cpu * 1e6), SwitchesVol: 1, SwitchesInvol: int(scale * float64(rng.IntN(9))), Status: results.OK})
			segments.Add(results.Groups[g], time.Duration(d/int64(1+rng.IntN(9))))
		}
	}
	r.Slices = segments.Slices()
	return r
}

// Shows writes runs of one engine and the plan that names them.
func Shows(t *testing.T, root, experiment string, load float64, runs ...results.Result) {
	t.Helper()
	engine := runs[0].Run.Engine
	var series []results.Series
	for _, r := range runs {
		require.NoError(t, results.Write(results.Dir(root, engine, r.Run.Key), r))
		series = append(series, results.Series{Name: r.Run.Scheduler, Workload: r.Run.Workload, Load: load, Round: r.Run.Round, Key: r.Run.Key})
	}
	require.NoError(t, results.WritePlan(root, engine, experiment, series))
}

// Sim is a simulated run on huawei; scale as in Made.
func Sim(scheduler string, round int, scale float64) results.Result {
	return Made(results.EngineSim, "huawei", scheduler, round, scale)
}

// VM is a measured run on huawei; scale as in Made.
func VM(scheduler string, round int, scale float64) results.Result {
	return Made(results.EngineVM, "huawei", scheduler, round, scale)
}
