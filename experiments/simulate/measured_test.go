// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/clock"
)

// measured is a run as a guest leaves it: its rows are not in the order in
// which processes began, and one failed.
func measured(n, cpus int) results.Result {
	rng := rand.New(rand.NewPCG(1, 2))
	r := results.Result{Run: results.Run{Key: "cfs-1", Engine: results.EngineVM, Workload: "huawei", Scheduler: "cfs", Round: 2, Seed: 1002,
		Kernel: "6.1-alps", CPUs: cpus + 1, FunctionCPUs: cpus, Invocations: n, LoadAsked: 0.9, LoadAchieved: 0.91, Errors: []string{},
		Parameters: map[string]any{"policy": "cfs"}, Observer: map[string]any{"exact_slices": true}}}
	at := int64(5e12)
	for i := range n {
		at += rng.Int64N(4) * 10e6
		arrive := at + 1e6 - int64(i%3)*10e6 + int64(i)
		r.Invocations = append(r.Invocations, results.Invocation{ID: i + 1, Function: "fib", UID: "3", Group: []string{"G1", "G3"}[i%2], N: i,
			SendNS: arrive - 1e6, ArriveNS: arrive, StartNS: arrive + 5, EndNS: arrive + 9e9, CPUNS: 1e6 * (1 + rng.Int64N(30)),
			SwitchesVol: 3, SwitchesInvol: 7, Status: results.OK})
	}
	r.Invocations[4] = results.Invocation{ID: 5, Function: "fib", UID: "3", Group: "G1", SendNS: at, Status: results.Failed}
	r.Run.Failed = 1
	r.Run.Judge()
	return r
}

// On one core an oracle does what the policy's SRPT does with the same records.
func TestOnMeasuredIsSRPT(t *testing.T) {
	base := measured(400, 1)
	got, err := OnMeasured(t.Context(), base, "srpt", 7)
	require.NoError(t, err)
	var jobs []policy.Job
	for _, inv := range base.Invocations {
		if inv.Status == results.OK {
			jobs = append(jobs, policy.Job{ID: int64(inv.ID), Arrive: clock.KTime(inv.ArriveNS), Burst: time.Duration(inv.CPUNS)})
		}
	}
	want, err := policy.SRPT(jobs, policy.Machine{Cores: 1})
	require.NoError(t, err)
	var segments results.Segments
	preempted := 0
	for k, j := range jobs {
		was, is := base.Invocations[j.ID-1], got.Invocations[j.ID-1]
		require.EqualValues(t, want[k].End, is.EndNS, "invocation %d", j.ID)
		require.Equal(t, len(want[k].Slices)-1, is.SwitchesInvol)
		require.GreaterOrEqual(t, is.StartNS, is.ArriveNS)
		preempted += is.SwitchesInvol
		for _, s := range want[k].Slices {
			segments.Add(was.Group, s)
		}
		is.StartNS, is.EndNS, is.SwitchesVol, is.SwitchesInvol = was.StartNS, was.EndNS, was.SwitchesVol, was.SwitchesInvol
		require.Equal(t, was, is, "nothing else changes")
	}
	require.Positive(t, preempted)
	require.Equal(t, segments.Slices(), got.Slices)
	require.Equal(t, base.Invocations[4], got.Invocations[4])
}

func TestOnMeasuredKeepsTheConditions(t *testing.T) {
	base := measured(200, 3)
	base.Run.Invalid = append(base.Run.Invalid, "the daemon was started anew")
	got, err := OnMeasured(t.Context(), base, "random40", 1002)
	require.NoError(t, err)
	require.Equal(t, "cfs", base.Run.Scheduler, "base is left alone")
	require.Equal(t, []string{"1 invocations failed", "the daemon was started anew"}, got.Run.Invalid)
	require.False(t, got.Run.Valid)
	require.Equal(t, base.Run.Key, got.Run.Parameters["on"])
	key, err := OracleKey(base.Run.Key, "random40", 1002)
	require.NoError(t, err)
	require.Equal(t, key, got.Run.Key)

	var used, span time.Duration
	for _, i := range got.Invocations {
		if i.Status == results.OK {
			used += time.Duration(i.CPUNS)
			span = max(span, time.Duration(i.EndNS-base.Invocations[0].ArriveNS))
		}
	}
	require.LessOrEqual(t, used, 3*span)
	want := base.Run
	want.Key, want.Scheduler, want.Parameters, want.Took, want.Observer, want.Invalid = got.Run.Key, "random40", got.Run.Parameters, got.Run.Took, nil, got.Run.Invalid
	require.Equal(t, want, got.Run)
}

func TestOnMeasuredDiffers(t *testing.T) {
	base := measured(200, 1)
	seen := map[string]bool{}
	ends := map[int64]bool{}
	for _, s := range config.Oracles {
		r, err := OnMeasured(t.Context(), base, s, 1)
		require.NoError(t, err)
		again, err := OnMeasured(t.Context(), base, s, 1)
		require.NoError(t, err)
		require.Equal(t, r, again)
		sum := int64(0)
		for _, i := range r.Invocations {
			sum += i.EndNS
		}
		require.False(t, seen[r.Run.Key] || ends[sum], s)
		seen[r.Run.Key], ends[sum] = true, true
	}
	for _, other := range []struct {
		base string
		seed uint64
	}{{"cfs-2", 1}, {"cfs-1", 2}} {
		key, err := OracleKey(other.base, "srpt", other.seed)
		require.NoError(t, err)
		require.False(t, seen[key])
		seen[key] = true
	}
}

func TestOnMeasuredRefuses(t *testing.T) {
	_, err := OnMeasured(t.Context(), measured(20, 1), "cfs", 1)
	require.EqualError(t, err, "cfs on cfs-1: no such oracle; allowed: srpt, srpt-eb, random, random40")
	simulated := measured(20, 1)
	simulated.Run.Engine = results.EngineSim
	_, err = OnMeasured(t.Context(), simulated, "srpt", 1)
	require.ErrorContains(t, err, "a run measured in a guest is needed")
	nothing := measured(20, 1)
	for i := range nothing.Invocations {
		nothing.Invocations[i].Status = results.Failed
	}
	_, err = OnMeasured(t.Context(), nothing, "srpt", 1)
	require.EqualError(t, err, "srpt on cfs-1: none of 20 invocations ended")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = OnMeasured(over, measured(20, 1), "srpt", 1)
	require.ErrorIs(t, err, context.Canceled)
}
