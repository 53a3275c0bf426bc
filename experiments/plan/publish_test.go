// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/results"
)

// measured writes a run of an engine into a results directory.
func measured(t *testing.T, root, pool, engine, key string, valid bool) {
	t.Helper()
	r := results.Result{Run: results.Run{Key: key, Engine: engine, Valid: valid, Errors: []string{}, Invalid: []string{}},
		Invocations: []results.Invocation{{ID: 1, Function: "fib", ArriveNS: 1, EndNS: 5, Status: results.OK}}}
	if engine == results.EngineHost {
		r.Run.Parameters = map[string]any{"measure": key}
		r.Invocations, r.Table = nil, &results.Table{Columns: []string{"calls"}, Rows: [][]string{{"7"}}}
	}
	dir := results.Dir(root, pool, key)
	require.NoError(t, results.Write(dir, r))
	at := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	require.NoError(t, os.Chtimes(filepath.Join(dir, "run.json"), at, at))
}

func planOf(t *testing.T, root, engine, experiment string, keys ...string) {
	t.Helper()
	var series []results.Series
	for _, k := range keys {
		series = append(series, results.Series{Name: k, Key: k})
	}
	require.NoError(t, results.WritePlan(root, engine, experiment, series))
}

func below(t *testing.T, dir string) (paths []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() && e.Name() != ".lock" {
			rel, _ := filepath.Rel(dir, path)
			paths = append(paths, rel)
		}
		return err
	}))
	return paths
}

// Two hosts make a part of a job each and publish it; a third goes on from there.
func TestPublishedRunsGoOnElsewhere(t *testing.T) {
	first, second, third, docs := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	for _, host := range []string{first, second} {
		planOf(t, host, results.EngineVM, "fig06", "cfs", "alps", "sfs")
	}
	measured(t, first, "vm", results.EngineVM, "cfs", true)
	measured(t, first, "vm", results.EngineVM, "alps", false)
	measured(t, first, "vm", results.EngineVM, "unplanned", true)
	measured(t, first, "sim", results.EngineSim, "eevdf", true)
	planOf(t, first, results.EngineSim, "fig06", "eevdf")
	measured(t, first, "sim", results.EngineHost, "cost", true)
	planOf(t, first, results.EngineSim, "table3", "cost")
	runs, missing, err := Publish(first, docs)
	require.NoError(t, err)
	require.Equal(t, []int{2, 2}, []int{runs, missing})
	require.Equal(t, []string{"SHA256SUMS", "fig06/plan-vm.json", "sim/cost.tar.gz", "table3/plan-sim.json", "vm/cfs.tar.gz"}, below(t, docs))
	sums, err := os.ReadFile(filepath.Join(docs, sumsName))
	require.NoError(t, err)

	_, _, err = Publish(first, docs)
	require.NoError(t, err)
	again, err := os.ReadFile(filepath.Join(docs, sumsName))
	require.NoError(t, err)
	require.Equal(t, string(sums), string(again), "the same runs are the same bytes")

	measured(t, second, "vm", results.EngineVM, "alps", true)
	runs, missing, err = Publish(second, docs)
	require.NoError(t, err)
	require.Equal(t, []int{3, 1}, []int{runs, missing}, "what the first published stays")

	require.NoError(t, Restore(docs, third, nil))
	require.Equal(t, []string{"fig06/plan-vm.json", "sim/cost/run.json", "sim/cost/table.csv", "table3/plan-sim.json",
		"vm/alps/invocations.csv", "vm/alps/run.json", "vm/cfs/invocations.csv", "vm/cfs/run.json"}, below(t, third))
	want, err := results.Read(results.Dir(first, "vm", "cfs"))
	require.NoError(t, err)
	got, err := results.Read(results.Dir(third, "vm", "cfs"))
	require.NoError(t, err)
	require.Equal(t, want.Invocations, got.Invocations)
	at, err := got.Written()
	require.NoError(t, err)
	require.Equal(t, 2026, at.UTC().Year(), "when it was measured, not when it was restored")

	planOf(t, third, results.EngineVM, "fig06", "alps", "new")
	runs, missing, err = Publish(third, docs)
	require.NoError(t, err)
	require.Equal(t, []int{2, 1}, []int{runs, missing})
	require.NoFileExists(t, filepath.Join(docs, "vm", "cfs.tar.gz"), "no plan names it")

	thesis := filepath.Join(docs, "vm", "thesis.tar.gz")
	require.NoError(t, os.WriteFile(thesis, []byte("mine"), 0o644))
	_, _, err = Publish(third, docs)
	require.ErrorContains(t, err, "thesis.tar.gz is not removed, for it is no run's")
	require.FileExists(t, thesis)
}

// Tables that were computed are no more published than simulated runs, whatever the plan
// names beside them. What was published of them before goes.
func TestOnlyMeasuredTablesArePublished(t *testing.T) {
	root, docs, elsewhere := t.TempDir(), t.TempDir(), t.TempDir()
	for experiment, keys := range map[string][]string{"never": {"grid"}, "index": {config.MeasureIndex}, "table1": {config.MeasureGroups},
		"table2": {config.MeasureCost}, "table3": {config.MeasureHooks}, "mixed": {"eevdf", config.MeasureCost}} {
		planOf(t, root, results.EngineSim, experiment, keys...)
		for _, k := range keys {
			engine := results.EngineHost
			if k == "eevdf" {
				engine = results.EngineSim
			}
			measured(t, root, "sim", engine, k, true)
		}
	}
	planOf(t, docs, results.EngineSim, "never", "grid")
	var old bytes.Buffer
	require.NoError(t, results.Pack(results.Dir(root, "sim", "grid"), &old))
	require.NoError(t, os.MkdirAll(filepath.Join(docs, "sim"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(docs, "sim", "grid.tar.gz"), old.Bytes(), 0o644))

	// A figure that was measured and simulated: the measured part goes elsewhere.
	planOf(t, root, results.EngineSim, "fig06", "eevdf")
	planOf(t, root, results.EngineVM, "fig06", "cfs")
	measured(t, root, "vm", results.EngineVM, "cfs", true)

	runs, missing, err := Publish(root, docs)
	require.NoError(t, err)
	require.Equal(t, []int{3, 0}, []int{runs, missing})
	require.Equal(t, []string{"SHA256SUMS", "fig06/plan-vm.json", "sim/cost.tar.gz", "sim/hooks.tar.gz", "table2/plan-sim.json", "table3/plan-sim.json", "vm/cfs.tar.gz"}, below(t, docs))
	require.NoError(t, Restore(docs, elsewhere, nil))
	_, err = results.ReadPlan(elsewhere, results.EngineVM, "fig06")
	require.NoError(t, err)
	_, err = results.ReadPlan(elsewhere, results.EngineSim, "fig06")
	require.ErrorIs(t, err, os.ErrNotExist, "nothing names runs that are not there")
}

// Restore leaves the runs that are there, and refuses files that differ from what was
// published.
func TestRestoreChecks(t *testing.T) {
	root, docs := t.TempDir(), t.TempDir()
	measured(t, root, "vm", results.EngineVM, "cfs", true)
	planOf(t, root, results.EngineVM, "fig06", "cfs")
	_, _, err := Publish(root, docs)
	require.NoError(t, err)

	own := t.TempDir()
	measured(t, own, "vm", results.EngineVM, "cfs", false)
	require.NoError(t, Restore(docs, own, nil))
	run, err := results.ReadRun(results.Dir(own, "vm", "cfs"))
	require.NoError(t, err)
	require.False(t, run.Valid, "its own")

	archive := filepath.Join(docs, "vm", "cfs.tar.gz")
	data, err := os.ReadFile(archive)
	require.NoError(t, err)
	for what, c := range map[string]struct {
		change func() error
		want   string
	}{
		"torn":      {func() error { return os.Truncate(archive, 40) }, "vm/cfs.tar.gz is not what was published"},
		"gone":      {func() error { return os.Remove(archive) }, "vm/cfs.tar.gz is in " + filepath.Join(docs, sumsName) + " and not there"},
		"unlisted":  {func() error { return os.WriteFile(filepath.Join(docs, "vm", "x.tar.gz"), data, 0o644) }, "vm/x.tar.gz is not in "},
		"no digest": {func() error { return os.WriteFile(filepath.Join(docs, sumsName), []byte("abc\n"), 0o644) }, "SHA256SUMS:1: not a digest"},
	} {
		t.Run(what, func(t *testing.T) {
			require.NoError(t, c.change())
			empty := t.TempDir()
			require.ErrorContains(t, Restore(docs, empty, nil), c.want)
			require.Empty(t, below(t, empty))
			os.Remove(filepath.Join(docs, "vm", "x.tar.gz"))
			require.NoError(t, os.WriteFile(archive, data, 0o644))
			require.NoError(t, writeSums(docs))
		})
	}
	t.Run("another run", func(t *testing.T) {
		require.NoError(t, os.Rename(archive, filepath.Join(docs, "vm", "alps.tar.gz")))
		require.NoError(t, writeSums(docs))
		require.ErrorContains(t, Restore(docs, t.TempDir(), nil), "alps.tar.gz: results: it has the run cfs")
	})
	require.ErrorContains(t, Restore(t.TempDir(), t.TempDir(), nil), "nothing was published there")
}
