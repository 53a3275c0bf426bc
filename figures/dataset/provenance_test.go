// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/figuretest"
	"github.com/ds2-lab/alps/figures/paper"
)

func TestSetups(t *testing.T) {
	root := t.TempDir()
	read := func(r results.Result) results.Result {
		dir := results.Dir(root, r.Run.Engine, r.Run.Key)
		require.NoError(t, results.Write(dir, r))
		at := time.Date(2026, 11, 24, 23, 58+r.Run.Round, 30, 0, time.UTC)
		require.NoError(t, os.Chtimes(filepath.Join(dir, "run.json"), at, at))
		r, err := results.Read(dir)
		require.NoError(t, err)
		return r
	}
	nothing, err := Setups([]results.Result{read(figuretest.Sim("cfs", 1, 2))})
	require.NoError(t, err)
	require.Equal(t, []Setup{{results.EngineVM, []string{"Nothing yet."}}, {results.EngineSim, []string{"1 run on 24 cores, written 2026-11-24 23:59 UTC"}}}, nothing)
	bad, computed := figuretest.VM("alps", 3, 1), figuretest.VM("srpt", 1, 1)
	bad.Run.Valid, bad.Run.Invalid = false, []string{"3 events were lost"}
	computed.Run.Parameters = map[string]any{"on": "cfs"}
	of := func(round int, ms float64) results.Result {
		r := figuretest.VM("cfs", round, 2)
		r.Run.Parameters = map[string]any{"costs": map[string]any{"fib": ms}}
		return read(r)
	}
	two, err := Setups([]results.Result{of(1, 5), of(2, 5), of(3, 5.1)})
	require.NoError(t, err)
	require.Contains(t, two[0].Lines[1], "; functions' costs from 2 calibrations", "of two snapshots or hosts")
	all, err := Setups([]results.Result{read(figuretest.VM("cfs", 1, 2)), read(bad), read(computed)})
	require.NoError(t, err)
	require.Contains(t, all[0].Lines[0], "2 runs, 1 of them not valid and not drawn, and 1 computed on them, written 2026-11-24 23:59 to 2026-11-25 00:01 UTC")
	require.Contains(t, all[0].Lines[1], "kernel 6.1.0-alps; QEMU with tcg; 1 of 2 CPUs for the functions")
	require.NotContains(t, all[0].Lines[1], "calibration")
}

// A partial measurement names a few, not hundreds.
func TestLacks(t *testing.T) {
	s := Set{Found: make([]results.Series, 3)}
	require.Empty(t, s.Lacks(4))
	for _, name := range []string{"cfs", "sfs", "alps"} {
		s.Missing = append(s.Missing, results.Series{Name: name, Workload: "huawei", Load: 0.9, Round: 2})
	}
	require.Equal(t, "3 of 6 runs are missing: cfs on huawei at 90 %, round 2; and 2 more", s.Lacks(1))
}

// A set of one round says that its intervals know no other.
func TestConditionsSayThatThereIsOneRound(t *testing.T) {
	const said = "One round: an interval is over the blocks of that run"
	for _, rounds := range [][]int{{1}, {2}, {1, 2}} {
		root := t.TempDir()
		var runs []results.Result
		for _, r := range rounds {
			runs = append(runs, figuretest.VM("cfs", r, 2), figuretest.VM("alps", r, 1))
		}
		figuretest.Shows(t, root, "fig06", 0.9, runs...)
		s, err := NewLibrary(root).Figure("fig06", results.EngineVM)
		require.NoError(t, err)
		if len(rounds) == 1 {
			require.Contains(t, s.Conditions(), said)
		} else {
			require.NotContains(t, s.Conditions(), said)
		}
	}
}

// Runs in another deployment are another series, and the conditions say how much CPU time the platform used.
func TestDeploymentsStayApart(t *testing.T) {
	root := t.TempDir()
	apart, together := figuretest.VM("cfs", 1, 2), figuretest.VM("cfs", 2, 2)
	apart.Run.Deployment, apart.Run.PlatformPerRequest = "apart", 1250*time.Microsecond
	together.Run.Deployment, together.Run.PlatformPerRequest, together.Run.PlatformModelled = "paper", 14900*time.Microsecond, 13450*time.Microsecond
	figuretest.Shows(t, root, "deployment", 0.9, apart, together)
	s, err := NewLibrary(root).Figure("deployment", results.EngineVM)
	require.NoError(t, err)
	require.Equal(t, []string{"cfs, deployment apart", "cfs, deployment paper"}, Distinct(s.Series, func(x results.Series) string { return x.Name }))
	conditions := strings.Join(s.Conditions(), "\n")
	require.Contains(t, conditions, "Deployment apart (cfs, deployment apart): worker, Docker and client have a CPU of their own; CPU time of the platform per request: 1.2 ms\n")
	require.Contains(t, conditions, "share the functions' CPUs, as in the paper; CPU time of the platform per request: 14.9 ms, of which 13.4 ms are modelled")
	ref, err := paper.NewReference()
	require.NoError(t, err)
	bar := paper.Position{Figure: paper.Deployment, Workload: "huawei", LoadPct: 90, Group: "G1", Series: "cfs, deployment paper"}
	require.NotEmpty(t, ref.At(bar))
	require.Equal(t, ref.At(paper.Position{Figure: paper.Bars, Workload: "huawei", LoadPct: 90, Group: "G1", Series: "cfs"}), ref.At(bar), "the paper's bars stand beside each")

	root = t.TempDir()
	figuretest.Shows(t, root, "deployment", 0.9, together)
	s, err = NewLibrary(root).Figure("deployment", results.EngineVM)
	require.NoError(t, err)
	require.Equal(t, "cfs", s.Series[0].Name, "one deployment needs no name")

	root = t.TempDir()
	four, eight := figuretest.VM("cfs", 1, 2), figuretest.VM("cfs", 2, 2)
	four.Run.Deployment, four.Run.Workload, four.Run.CPUs = "apart", "huawei, 4 CPUs, apart", 5
	eight.Run.Deployment, eight.Run.Workload, eight.Run.CPUs = "paper", "huawei, 8 CPUs, paper", 9
	figuretest.Shows(t, root, "peers", 0.9, four, eight)
	s, err = NewLibrary(root).Figure("peers", results.EngineVM)
	require.NoError(t, err, "guests of other sizes are other workloads")
	require.Equal(t, []string{"cfs"}, Distinct(s.Series, func(x results.Series) string { return x.Name }))

	root = t.TempDir()
	modelled := figuretest.Sim("cfs", 1, 2)
	modelled.Run.Parameters = map[string]any{"platform_cpu": "14.7ms"}
	figuretest.Shows(t, root, "fig06", 0.9, modelled)
	s, err = NewLibrary(root).Figure("fig06", results.EngineSim)
	require.NoError(t, err)
	require.Contains(t, s.Conditions(), "Modelled platform: 14.7 ms of CPU time per request")
}
