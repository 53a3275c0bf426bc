// SPDX-License-Identifier: Apache-2.0

package results

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/ours"
)

func put(t *testing.T, path string) {
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, nil, 0o644))
}

// All that a results directory has of ours has a form, and nothing else.
func TestForms(t *testing.T) {
	root := t.TempDir()
	for _, path := range []string{".lock", "sim/a-50-12/run.json", "vm/b/invocations.csv", "vm/b/slices.csv", "table1/table1-groups/table.csv",
		"fig06/plan-vm.json", "fig06/.plan-sim.json123", "vm/.partial-7/run.json"} {
		put(t, filepath.Join(root, path))
	}
	others := []string{"fig06/my-plan-vm.json", "notes.md", "run.json", "vm/b/c/run.json", "vm/b/console.log"}
	for _, path := range others {
		put(t, filepath.Join(root, path))
	}
	left, err := ours.Prune(root, Forms()...)
	require.NoError(t, err)
	require.ElementsMatch(t, others, left)
}
