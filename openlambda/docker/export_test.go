// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// SetSlowStart sets slowStart to d. The returned function sets it back.
func SetSlowStart(d time.Duration) (restore func()) {
	was := slowStart
	slowStart = d
	return func() { slowStart = was }
}

// SetCgroup has process pid in a cgroup that is the directory it returns, as long as the test runs.
func SetCgroup(t testing.TB, pid int) string {
	wasProc, was := procFS, cgroupFS
	procFS, cgroupFS = t.TempDir(), t.TempDir()
	t.Cleanup(func() { procFS, cgroupFS = wasProc, was })
	dir := filepath.Join(procFS, strconv.Itoa(pid))
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cgroup"), []byte("1:cpu:/of-version-1\n0::/alps.slice/x\n"), 0o644))
	return filepath.Join(cgroupFS, "alps.slice", "x")
}
