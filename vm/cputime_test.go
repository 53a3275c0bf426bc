// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A process's own file agrees with what getrusage says of it.
func TestCPUTime(t *testing.T) {
	for begun := time.Now(); time.Since(begun) < 100*time.Millisecond; {
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", os.Getpid()))
	require.NoError(t, err)
	got, err := cpuTime(stat)
	require.NoError(t, err)
	var u unix.Rusage
	require.NoError(t, unix.Getrusage(unix.RUSAGE_SELF, &u))
	require.InDelta(t, float64(u.Utime.Nano()+u.Stime.Nano())/1e9, got.Seconds(), 0.1)

	got, err = cpuTime([]byte("7 (a) b) S 1 1 1 0 -1 4194304 1 0 0 0 250 50 9 9 20 0 1 0 5\n"))
	require.NoError(t, err)
	require.Equal(t, 3*time.Second, got)
	_, err = cpuTime([]byte("7 (a) S"))
	require.ErrorContains(t, err, "/proc/PID/stat")
}
