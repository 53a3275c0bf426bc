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
