// SPDX-License-Identifier: Apache-2.0

package ours

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func tree(t *testing.T, names ...string) string {
	dir := filepath.Join(t.TempDir(), "dir")
	for _, name := range names {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, nil, 0o644))
	}
	return dir
}

func left(t *testing.T, dir string) (names []string) {
	_, names, _, err := sort(dir, nil)
	require.NoError(t, err)
	return names
}

func TestRemoveIsWholeOrNotAtAll(t *testing.T) {
	forms := []string{`run\.json`, `[a-z]+/plan\.json`}
	dir := tree(t, "run.json", "fig/plan.json")
	require.NoError(t, Remove(dir, forms...))
	require.NoDirExists(t, dir)
	require.NoError(t, Remove(dir, forms...), "it is gone already")

	for _, other := range []string{"notes.txt", "my-run.json", "run.json.old", "fig/run.json", "FIG/plan.json"} {
		dir := tree(t, "run.json", other)
		require.ErrorContains(t, Remove(dir, forms...), "ALPS did not make "+other+" in it")
		require.ElementsMatch(t, []string{"run.json", other}, left(t, dir))
	}
}

func TestPruneLeavesTheOthers(t *testing.T) {
	dir := tree(t, "run.json", "a/run.json", "a/notes", "b/run.json", "b/c/run.json")
	others, err := Prune(dir, `(.+/)?run\.json`)
	require.NoError(t, err)
	require.Equal(t, []string{"a/notes"}, others)
	require.Equal(t, others, left(t, dir))
	require.NoDirExists(t, filepath.Join(dir, "b"))

	outside := tree(t, "run.json")
	dir = tree(t, "run.json")
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "link")))
	others, err = Prune(dir, `(.+/)?run\.json`)
	require.NoError(t, err)
	require.Equal(t, []string{"link"}, others)
	require.FileExists(t, filepath.Join(outside, "run.json"), "a link is not followed")

	require.NoError(t, os.Remove(filepath.Join(dir, "link")))
	others, err = Prune(dir)
	require.NoError(t, err)
	require.Empty(t, others)
	require.NoDirExists(t, dir)
}

func TestHold(t *testing.T) {
	dir := t.TempDir()
	require.False(t, Abandoned(dir), "nobody has held it yet")
	f, err := Hold(dir)
	require.NoError(t, err)
	require.False(t, Abandoned(dir))
	_, err = Hold(dir)
	require.Error(t, err)
	require.NoError(t, f.Close())
	require.True(t, Abandoned(dir))
	f, err = Hold(dir)
	require.NoError(t, err, "looking does not hold it")
	f.Close()
}

// A directory that another process is about to hold is never taken for abandoned.
func TestHoldHasNoMomentBefore(t *testing.T) {
	root := t.TempDir()
	var latest atomic.Pointer[string]
	first := root
	latest.Store(&first)
	stop := make(chan struct{})
	var seen atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if Abandoned(*latest.Load()) {
						seen.Add(1)
					}
				}
			}
		})
	}
	var failed error
	for i := range 400 {
		dir := filepath.Join(root, strconv.Itoa(i))
		if failed = os.Mkdir(dir, 0o755); failed != nil {
			break
		}
		latest.Store(&dir)
		var f *os.File
		if f, failed = Hold(dir); failed != nil {
			break
		}
		defer f.Close() // held until all were looked at
	}
	close(stop)
	wg.Wait()
	require.NoError(t, failed)
	require.Zero(t, seen.Load())
}
