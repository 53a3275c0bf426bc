// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOf(t *testing.T) {
	proc := t.TempDir()
	write := func(pid, text string) {
		require.NoError(t, os.Mkdir(filepath.Join(proc, pid), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(proc, pid, "cgroup"), []byte(text), 0o644))
	}
	write("1", "0::/init.scope\n")
	write("2", "10:cpu:/x\n0::/alps.slice/a\n1:name=systemd:/y\n")
	write("3", "4:memory:/x\n")
	for pid, want := range map[string]string{"1": "/init.scope", "2": "/alps.slice/a"} {
		path, err := Of(proc, pid)
		require.NoError(t, err)
		require.Equal(t, want, path)
	}
	_, err := Of(proc, "3")
	require.ErrorContains(t, err, "3/cgroup: no line of cgroup v2")
	_, err = Of(proc, "4")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestValue(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cpu.stat")
	require.NoError(t, os.WriteFile(file, []byte("usage_usec 12\nuser_usec many\nusage_usec_more 3\n"), 0o644))
	n, err := Value(file, "usage_usec")
	require.NoError(t, err)
	require.EqualValues(t, 12, n)
	_, err = Value(file, "user_usec")
	require.ErrorContains(t, err, "cpu.stat: user_usec:")
	_, err = Value(file, "usage")
	require.ErrorContains(t, err, "cpu.stat: no line usage")
	_, err = Value(file+"x", "usage_usec")
	require.ErrorIs(t, err, fs.ErrNotExist)
}
