// SPDX-License-Identifier: Apache-2.0

package targets

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/tree"
)

// Packages that are tested without the race detector have nothing for it.
func TestWhatRunsAloneStartsNoGoroutine(t *testing.T) {
	root := t.TempDir()
	for text, alone := range map[string]bool{
		"package a\n\nvar a = 1\n":                                 true,
		"package a\n\nfunc a() {\n\tgo func() {}()\n}\n":           false,
		"package a\n\nfunc a() {\n\tgo b.c()\n}\n":                 false,
		"package a\n\nfunc a() {\n\ttime.AfterFunc(d, b)\n}\n":     false,
		"package a\n\nfunc TestA(t *T) {\n\tt.Parallel()\n}\n":     false,
		"package a\n\nimport (\n\t\"sync\"\n)\n":                   false,
		"package a\n\nimport \"net/http/httptest\"\n":              false,
		"package a\n\n// we go (mostly) alone\nvar a = \"go b\"\n": true,
	} {
		dir, err := os.MkdirTemp(root, "")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "a.go"), []byte("package a\n"), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "a_test.go"), []byte(text), 0o600))
		require.Equal(t, alone, runsAlone(root, filepath.Base(dir)), text)
	}
	here, err := tree.Root()
	require.NoError(t, err)
	require.True(t, runsAlone(here, "alps/sim"), "its tests take six times as long with the race detector")
	require.False(t, runsAlone(here, "alps/daemon"))
	require.False(t, runsAlone(here, "experiments/execute"))
}
