// SPDX-License-Identifier: Apache-2.0

package report

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/figuretest"
	"github.com/ds2-lab/alps/figures/never"
)

// The report has the picture, the summary and the data.
func TestNeverIsInTheReport(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	figuretest.BeyondTables(t, root)
	r := &report{options: Options{Results: root, Out: out, Light: true}}
	require.NoError(t, func() error { _, err := r.addNever(); return err }())
	s := r.page.Sections[0]
	require.Equal(t, "never-sim", s.Parts[0].File)
	require.Contains(t, string(s.Parts[0].SVG), "steady: mean turnaround")
	require.Len(t, s.Parts[0].Lines, 5)
	require.FileExists(t, filepath.Join(out, "never-sim.svg"))
	require.FileExists(t, filepath.Join(out, "never-sim.tsv"))

	require.NoError(t, os.Remove(filepath.Join(root, results.EngineSim, "..", never.Experiment, "plan-sim.json")))
	r = &report{options: Options{Results: root, Out: out, Light: true}}
	require.NoError(t, func() error { _, err := r.addNever(); return err }())
	require.Empty(t, r.page.Sections[0].Parts[0].File, "not made yet")
	require.NoFileExists(t, filepath.Join(out, "never-sim.svg"), "and what was there is gone")
}
