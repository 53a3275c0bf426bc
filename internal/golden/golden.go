// SPDX-License-Identifier: Apache-2.0

// Package golden compares results of tests with files.
package golden

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Check compares got with testdata/name of the package under test.
// GOLDEN_UPDATE=1 writes the file; a difference leaves testdata/NAME.got.EXT.
func Check(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("GOLDEN_UPDATE") != "" {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "GOLDEN_UPDATE=1 writes it")
	if string(want) != got {
		ext := filepath.Ext(path)
		require.NoError(t, os.WriteFile(strings.TrimSuffix(path, ext)+".got"+ext, []byte(got), 0o644))
	}
	require.Equal(t, string(want), got)
}
