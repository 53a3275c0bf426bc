// SPDX-License-Identifier: Apache-2.0

package results

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A file of somebody else's with the lock's name stays as it is.
func TestOthersLockStays(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, lockName)
	require.NoError(t, os.WriteFile(path, []byte("provider \"a\" {}\n"), 0o644))
	_, err := Lock(dir)
	require.ErrorContains(t, err, path+" is not a lock of ours")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "provider \"a\" {}\n", string(data))
	require.NoError(t, os.Remove(path))
	for range 2 { // the second finds the first one's file
		unlock, err := Lock(dir)
		require.NoError(t, err)
		unlock()
	}
}

// Two processes never work in one results directory.
func TestOneProcessPerResultsDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	unlock, err := Lock(dir)
	require.NoError(t, err)
	_, err = Lock(dir)
	require.ErrorIs(t, err, ErrBusy)
	require.ErrorContains(t, err, fmt.Sprintf("is in use by process %d (", os.Getpid()))
	require.ErrorContains(t, err, "-results=DIR")
	torn := filepath.Join(dir, "sim", ".partial-1")
	require.NoError(t, os.MkdirAll(torn, 0o755))
	unlock()
	unlock, err = Lock(dir)
	require.NoError(t, err)
	defer unlock()
	require.NoDirExists(t, torn, "left by a killed process")
}

// Clean removes results, leaves files of others, and refuses while another process
// works there. Whoever opened the lock before it was removed does not have the directory.
func TestCleanHasTheLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	run := filepath.Join(dir, "vm", "key", jsonName)
	put := func(path string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, nil, 0o644))
	}
	left, err := Clean(dir)
	require.NoError(t, err)
	require.Empty(t, left)
	require.NoDirExists(t, dir)

	unlock, err := Lock(dir)
	require.NoError(t, err)
	put(run)
	_, err = Clean(dir)
	require.ErrorIs(t, err, ErrBusy)
	require.FileExists(t, run)
	require.FileExists(t, filepath.Join(dir, lockName))
	unlock()

	early, err := os.Open(filepath.Join(dir, lockName))
	require.NoError(t, err)
	defer early.Close()
	require.True(t, isStill(early, filepath.Join(dir, lockName)))
	put(filepath.Join(dir, "notes.txt"))
	left, err = Clean(dir)
	require.NoError(t, err)
	require.Equal(t, []string{"notes.txt"}, left)
	require.NoFileExists(t, run)
	require.False(t, isStill(early, filepath.Join(dir, lockName)))
	unlock, err = Lock(dir)
	require.NoError(t, err)
	defer unlock()
	require.False(t, isStill(early, filepath.Join(dir, lockName)), "a new file")
}
