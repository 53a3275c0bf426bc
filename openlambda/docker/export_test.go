// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
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

// SetCgroups makes dir the place where cgroups are, and returns the directory in it that
// is the cgroup of process pid.
func SetCgroups(t testing.TB, dir string, pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	require.NoError(t, err)
	_, path, ok := strings.Cut(strings.TrimSpace(string(text)), "0::")
	if !ok {
		t.Skip("this host has the first version of cgroups only")
	}
	was := cgroupFS
	cgroupFS = dir
	t.Cleanup(func() { cgroupFS = was })
	return filepath.Join(dir, path)
}
