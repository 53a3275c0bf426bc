// SPDX-License-Identifier: Apache-2.0

package loadgen

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPlatformTimeIsThatOfItsCgroups(t *testing.T) {
	root := t.TempDir()
	stat := func(cgroup, text string) {
		dir := filepath.Join(root, cgroup)
		require.NoError(t, os.MkdirAll(dir, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "cpu.stat"), []byte(text), 0o644))
	}
	stat("alps.slice", "usage_usec 2500000\nuser_usec 1\n")
	stat("system.slice/docker.service", "usage_usec 500000\n")
	stat("system.slice/ssh.service", "usage_usec 7000000\n")
	got, err := platformTime(root)
	require.NoError(t, err)
	require.Equal(t, 3*time.Second, got)
	stat("alps.slice", "nothing\n")
	_, err = platformTime(root)
	require.ErrorContains(t, err, "alps.slice/cpu.stat")
}
