// SPDX-License-Identifier: Apache-2.0

package targets

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/measured"
	"github.com/ds2-lab/alps/internal/progress"
)

// What a test printed becomes a row with the conditions of the run; what measures nothing leaves the record alone.
func TestMergeWritesTheRecord(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(root, "docs"), 0o755))
	var console bytes.Buffer
	h := Host{Console: progress.New(&console)}
	from := measured.Row{Kernel: "6.1", Revision: "0123456789ab+", Date: "2026-11-27"}
	require.ErrorContains(t, h.merge(root, []byte("PASS\n"), from), "none of the tests that ran")
	require.ErrorContains(t, h.merge(root, []byte("MEASURED\ta\t1\n"), from), "does not come whole")
	require.NoFileExists(t, filepath.Join(root, measured.Path))

	line := "1 CPUs:    a_test.go:1: MEASURED\ta\t2\tns\t6.1.192-alps\t1\tTestGuestA\n"
	require.NoError(t, h.merge(root, []byte(line), from))
	require.NoError(t, h.merge(root, []byte(line), from))
	rows, err := measured.Read(filepath.Join(root, measured.Path))
	require.NoError(t, err)
	require.Equal(t, measured.Record{{Name: "a", Value: 2, Unit: "ns", Kernel: "6.1", Release: "6.1.192-alps", CPUs: 1, Revision: "0123456789ab+", Date: "2026-11-27", Test: "TestGuestA"}}, rows)
	require.Contains(t, console.String(), "a, kernel 6.1, 1 CPUs: 2 ns, new\n")
	require.Contains(t, console.String(), "a, kernel 6.1, 1 CPUs: 2 ns, as before\n")
	require.Contains(t, console.String(), "1 rows of code 0123456789ab+ written, 0 kept")

	require.NoError(t, os.WriteFile(filepath.Join(root, measured.Path), []byte("torn"), 0o644))
	require.ErrorContains(t, h.merge(root, []byte(line), from), "measured.tsv:1:")
}
