// SPDX-License-Identifier: Apache-2.0

package report

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/figuretest"
	"github.com/ds2-lab/alps/figures/never"
	"github.com/ds2-lab/alps/figures/stats"
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

// A table that was made once and is there no longer leaves no file behind.
func TestATableThatIsGoneLeavesNoFile(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	figuretest.Tables(t, root)
	table := dataset.Grids[0]
	for _, there := range []bool{true, false} {
		g := table
		r := &report{options: Options{Results: root, Out: out}, library: dataset.NewLibrary(root)}
		require.NoError(t, r.addGrid(&g))
		for _, ext := range []string{".tsv", ".md"} {
			if there {
				require.FileExists(t, filepath.Join(out, table.Name+ext))
			} else {
				require.NoFileExists(t, filepath.Join(out, table.Name+ext))
			}
		}
		root = t.TempDir()
	}
}

// The data has the means as they are, not as round as the page's.
func TestMeansAreNotRounded(t *testing.T) {
	p := page{Sections: []section{{Means: []means{{Figure: "fig06", Engine: results.EngineSim, Workload: "huawei", Load: 90, Series: "cfs", N: 300, Rounds: 2, Turnaround: 1234.5678, Request: 12.25, Switch: math.NaN(),
		OverCFS: multiple{1, stats.Interval{Lo: 1, Hi: 1}}, RequestOverCFS: multiple{math.NaN(), stats.Interval{Lo: math.NaN(), Hi: math.NaN()}}}}}}}
	require.Contains(t, p.meansTSV(), "\nfig06\tsim\thuawei\t90\tcfs\t2\t300\t1234.568\t12.250\t\t1.000000\t1.000000\t1.000000\t\t\t\n")
	html, err := p.render()
	require.NoError(t, err)
	require.Contains(t, string(html), "<td>1,235</td><td>12</td><td></td></tr>")
}
