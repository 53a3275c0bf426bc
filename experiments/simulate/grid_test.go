// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/sim"
	"github.com/ds2-lab/alps/experiments"
	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/results"
)

const gridPart = "  - {engine: sim, workloads: [huawei, bimodal], cores: [1, 24], loads: [0.5, 1.1], machine: rig, invocations: 60, rounds: 2, seed: 7, series: [{name: cfs}, {name: oracle, scheduler: srpt-global}]}\n"

func gridExperiment(t *testing.T, part string) config.Experiment {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, experiments.Files))
	return load(t, dir, "g", part)
}

// A grid is every series on every workload, number of cores and load, in two rounds, as
// a table that is made once.
func TestGrid(t *testing.T) {
	e, out := gridExperiment(t, gridPart), t.TempDir()
	require.Empty(t, e.Sims)
	steps, err := Steps([]config.Experiment{e})
	require.NoError(t, err)
	require.Equal(t, []Step{{"g", "grid", (60 + 120) * 2 * 2 * 2 * 2}}, steps)
	o := Options{Root: "../..", Results: out}
	require.NoError(t, Experiments(t.Context(), []config.Experiment{e}, o))
	read := func() results.Result {
		s, err := results.ReadPlan(out, results.EngineSim, "g")
		require.NoError(t, err)
		require.Len(t, s, 1)
		return s[0].Result
	}
	table := read().Table
	require.Len(t, table.Rows, 2*2*2*2*2)
	require.Equal(t, []string{"huawei", "1", "0.5", "cfs", "7", "60", "0"}, table.Rows[0][:7])
	require.Equal(t, []string{"huawei", "1", "0.5", "oracle", "7"}, table.Rows[1][:5])
	require.Equal(t, "8", table.Rows[2][4], "the next round's seed")
	number := func(row []string, column string) float64 {
		for i, c := range table.Columns {
			if c == column {
				v, err := strconv.ParseFloat(row[i], 64)
				require.NoError(t, err)
				return v
			}
		}
		t.Fatal(column)
		return 0
	}
	for i, row := range table.Rows {
		n := 0.0
		for _, g := range []string{"g1", "g2", "g3", "g4"} {
			n += number(row, g+"_n")
		}
		require.Equal(t, number(row, "n"), n)
		require.Equal(t, map[string]float64{"1": 60, "24": 120}[row[1]], n)
		require.GreaterOrEqual(t, number(row, "request_ms"), number(row, "mean_ms"))
		if i%2 == 1 {
			require.GreaterOrEqual(t, number(table.Rows[i-1], "mean_ms"), 0.99*number(row, "mean_ms"), "cfs and the oracle of one cell")
		}
		if row[0] == "bimodal" {
			require.Zero(t, number(row, "g3_n"), "groups are by what each invocation takes: below 200 ms, or about a second")
		}
	}
	calls := fake(t, nil)
	require.NoError(t, Experiments(t.Context(), []config.Experiment{e}, o))
	require.Zero(t, calls.Load(), "it is kept")
	require.Equal(t, table, read().Table)
}

func TestGridsOfOtherThingsHaveOtherKeys(t *testing.T) {
	seen := map[string]string{}
	for _, part := range []string{gridPart, strings.ReplaceAll(gridPart, "seed: 7", "seed: 8"), strings.ReplaceAll(gridPart, "rounds: 2", "rounds: 1"), strings.ReplaceAll(gridPart, "[1, 24]", "[1, 8]"),
		strings.ReplaceAll(gridPart, "1.1]", "1.2]"), strings.ReplaceAll(gridPart, "rig", "paper"), strings.ReplaceAll(gridPart, "{name: cfs}", "{name: steady}"),
		strings.ReplaceAll(gridPart, "{name: cfs}", "{name: steady, params: {prior: 2}}"), strings.ReplaceAll(gridPart, "bimodal", "flip")} {
		key, err := gridKey("g", gridExperiment(t, part).Grids[0], "model")
		require.NoError(t, err)
		require.Empty(t, seen[key], part)
		seen[key] = part
	}
}

// A change of any row that a run of the grid uses gives the grid another key: one
// behind the first rows of the trace, which only many cores use, and one that another
// round takes from elsewhere in the trace.
func TestGridKeyFollowsTheWholeTrace(t *testing.T) {
	const rows = 500
	for name, c := range map[string]struct {
		part string
		row  int // that is changed
		same bool
	}{
		"first rows":   {"cores: [1, 24], rounds: 1, seed: 1", 3, false},
		"many cores":   {"cores: [1, 24], rounds: 1, seed: 1", 90, false},
		"one core":     {"cores: [1], rounds: 1, seed: 1", 90, true},
		"other rounds": {"cores: [1], rounds: 100, seed: 1", 130, false},
	} {
		t.Run(name, func(t *testing.T) {
			key := func(changed int) string {
				dir := t.TempDir()
				require.NoError(t, os.CopyFS(dir, experiments.Files))
				trace := "class,gap\n"
				for i := range rows {
					gap := 20
					if i == changed {
						gap = 30
					}
					trace += fmt.Sprintf("0,%d\n", gap)
				}
				require.NoError(t, os.WriteFile(filepath.Join(dir, "traces", "w.csv"), []byte(trace), 0o644))
				require.NoError(t, os.WriteFile(filepath.Join(dir, "workloads", "w.yaml"), fmt.Appendf(nil, "name: w\ntrace: ../traces/w.csv\ngap: {distribution: poisson, mean: 20}\n"+
					"classes: [{function: fib, uid: \"3\", port: \"5002\", group: G1, n: 23, count: %d, cpu: 40ms}]\n", rows), 0o644))
				e := load(t, dir, "g", "  - {engine: sim, workloads: [w], loads: [0.5], machine: rig, invocations: 60, series: [{name: cfs}], "+c.part+"}\n")
				key, err := gridKey("g", e.Grids[0], "model")
				require.NoError(t, err)
				return key
			}
			if c.same {
				require.Equal(t, key(-1), key(c.row), "no run uses the row")
			} else {
				require.NotEqual(t, key(-1), key(c.row))
			}
		})
	}
}

func TestGridThatDoesNotDrainIsAnError(t *testing.T) {
	real := run
	t.Cleanup(func() { run = real })
	run = func(ctx context.Context, c sim.Config, s sim.Spec, invs []sim.Invocation) (sim.Result, error) {
		r, err := real(ctx, c, s, invs)
		if s.Name == "cfs" {
			r.Outcomes[5].Done, r.Unfinished = false, 1
		}
		return r, err
	}
	out := t.TempDir()
	err := Experiments(t.Context(), []config.Experiment{gridExperiment(t, gridPart+"  - {engine: host, measure: index}\n")}, Options{Root: "../..", Results: out})
	require.ErrorContains(t, err, "16 invocations had not ended when their runs were given up: a load does not drain")
	shown, err := results.ReadPlan(out, results.EngineSim, "g")
	require.NoError(t, err, "the plan is written, and what comes behind the grid is made")
	require.Len(t, shown, 2)
	require.False(t, shown[0].Result.Run.Valid)
	require.True(t, shown[1].Result.Run.Valid)
}

func TestGridIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out := t.TempDir()
	require.ErrorIs(t, Experiments(ctx, []config.Experiment{gridExperiment(t, gridPart)}, Options{Root: "../..", Results: out}), context.Canceled)
}

func TestIndexTable(t *testing.T) {
	table, err := indexTable()
	require.NoError(t, err)
	at := map[string]map[string]string{}
	for _, r := range table.Rows {
		if at[r[0]] == nil {
			at[r[0]] = map[string]string{}
		}
		at[r[0]][r[1]] = r[2]
	}
	require.Len(t, at, 3)
	number := func(kind, used string) float64 {
		v, err := strconv.ParseFloat(at[kind][used], 64)
		require.NoError(t, err)
		return v
	}
	require.InDelta(t, 50, number("always alike: 70 ms", "20"), 0.5)
	require.InEpsilon(t, 70, number("exponential: mean 70 ms", "100"), 0.15)
	require.Greater(t, number("heavy-tailed: Pareto 1.4 from 20 ms", "180"), 3*number("heavy-tailed: Pareto 1.4 from 20 ms", "30"))
}
