// SPDX-License-Identifier: Apache-2.0

package fidelity

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/figuretest"
	"github.com/ds2-lab/alps/figures/plot"
)

func TestIndexPicture(t *testing.T) {
	_, err := plot.IndexPicture(&results.Table{Columns: []string{"kind"}})
	require.ErrorContains(t, err, "index: no column used_ms in table.csv")
	root, out := t.TempDir(), t.TempDir()
	figuretest.BeyondTables(t, root)
	files := map[string]string{}
	require.NoError(t, beyond(root, files))
	for _, name := range []string{"never.md", "never.tsv", "never.svg", "steady-index.svg"} {
		require.NotEmpty(t, files[name])
		require.NoError(t, os.WriteFile(filepath.Join(out, name), []byte(files[name]), 0o644))
	}
	require.Contains(t, files["steady-index.svg"], "heavy")
	require.ErrorContains(t, beyond(t.TempDir(), files), "simulate first")
}
