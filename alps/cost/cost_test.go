// SPDX-License-Identifier: Apache-2.0

package cost

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A bench that cannot begin says why, and leaves nothing behind.
func TestABenchThatCannotBeginSaysWhy(t *testing.T) {
	root := t.TempDir()
	_, err := newBench(root)
	require.ErrorContains(t, err, "no cgroup v2 at "+root)

	require.NoError(t, os.WriteFile(filepath.Join(root, "cgroup.controllers"), []byte("cpu\n"), 0o644))
	control := filepath.Join(root, "cgroup.subtree_control")
	require.NoError(t, os.Mkdir(control, 0o755)) // cannot be written to, whoever runs this
	b, err := newBench(root)
	require.ErrorContains(t, err, "(root is needed)")
	require.Nil(t, b)

	// In a directory that is no cgroup no process can be started.
	require.NoError(t, os.Remove(control))
	b, err = newBench(root)
	require.ErrorContains(t, err, "bench: start the other process")
	require.Nil(t, b)
	left, err := filepath.Glob(filepath.Join(root, "alpsbench*", "p?ng"))
	require.NoError(t, err)
	require.Empty(t, left)
}
