// SPDX-License-Identifier: Apache-2.0

package execute

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/plan"
	"github.com/ds2-lab/alps/experiments/results"
)

// The results of three processes that run a shard each, merged, are those of one
// process that runs all.
func TestThreeShardsMerged(t *testing.T) {
	dir := manyRuns(t)
	out := t.TempDir()
	at := func(name string) string { return filepath.Join(out, name) }
	child{Dir: dir, Name: "many", Results: at("whole")}.finish(t)
	var shards []string
	var waits []func()
	for i := range 3 {
		c := child{Dir: dir, Name: "many", Results: at(fmt.Sprint("shard", i+1)), Shard: fmt.Sprintf("%d/3", i+1)}
		shards = append(shards, c.Results)
		cmd, log := c.start(t)
		waits = append(waits, func() { require.NoError(t, cmd.Wait(), "%s", log) })
	}
	for _, wait := range waits {
		wait()
	}
	runs := 0
	for _, s := range shards {
		f, err := results.Find(s)
		require.NoError(t, err)
		require.InDelta(t, 40, len(f.Runs), 1)
		runs += len(f.Runs)
	}
	require.Equal(t, 121, runs, "no run is in two shards")

	err := plan.Merge(at("merged"), shards[:2], nil)
	require.ErrorContains(t, err, "40 runs are missing")
	require.NoError(t, plan.Merge(at("merged"), shards[2:], nil), "the third completes it")
	require.Equal(t, content(t, at("whole")), content(t, at("merged")))
	require.NoError(t, plan.Merge(at("merged"), shards, nil), "the same again changes nothing")
	require.Equal(t, content(t, at("whole")), content(t, at("merged")))

	t.Run("conflict", func(t *testing.T) {
		f, err := results.Find(shards[1])
		require.NoError(t, err)
		run := f.Runs[len(f.Runs)-1]
		path := filepath.Join(shards[1], run, "invocations.csv")
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, append(data, data[len(data)-60:]...), 0o644))
		require.NoError(t, os.RemoveAll(filepath.Join(at("merged"), f.Runs[0])))
		err = plan.Merge(at("merged"), shards, nil)
		require.ErrorContains(t, err, run+" differs between "+at("merged")+" and "+shards[1])
		require.NoDirExists(t, filepath.Join(at("merged"), f.Runs[0]), "nothing is merged from directories that contradict")
		require.NoError(t, os.WriteFile(path, data, 0o644))
	})
	t.Run("another name", func(t *testing.T) {
		f, err := results.Find(shards[0])
		require.NoError(t, err)
		from := filepath.Join(shards[0], f.Runs[0])
		require.NoError(t, os.Rename(from, from+"x"))
		require.ErrorContains(t, plan.Merge(at("new"), shards, nil), "under another name")
		require.NoError(t, os.Rename(from+"x", from))
	})
	t.Run("other plans", func(t *testing.T) {
		for _, x := range []string{"a", "b"} {
			require.NoError(t, results.WritePlan(at(x), results.EngineVM, "fig06", []results.Series{{Name: "cfs", Key: "cfs-1" + x}, {Name: "cfs", Key: "cfs-2" + x}}))
		}
		require.ErrorContains(t, plan.Merge(at("new"), []string{at("a"), at("b")}, nil), "fig06/plan-vm.json differs between")
		require.ErrorContains(t, plan.Merge(at("new"), []string{at("a")}, nil), "2 runs are missing:\n  vm/cfs-1a\n  vm/cfs-2a")
	})
	require.ErrorContains(t, plan.Merge(at("new"), []string{at("nowhere")}, nil), "no such file")
	require.ErrorContains(t, plan.Merge(at("new"), nil, nil), "no directory given")
}
