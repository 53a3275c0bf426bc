// SPDX-License-Identifier: Apache-2.0

package never

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/figuretest"
	"github.com/ds2-lab/alps/figures/format"
	"github.com/ds2-lab/alps/figures/plot"
)

func TestNever(t *testing.T) {
	root := t.TempDir()
	n, err := Read(root)
	require.NoError(t, err)
	require.Nil(t, n, "not made yet")
	figuretest.BeyondTables(t, root)
	n, err = Read(root)
	require.NoError(t, err)
	require.Equal(t, []string{"101", "102"}, n.seeds)
	require.Equal(t, []string{"sfs", "steady"}, n.judgedSeries())
	_, rows := n.Summary()
	// sfs: 90/100 and 90/100 of CFS; 90/100 and 90/80 of the better.
	require.Equal(t, []string{"sfs", "0.900", "1.591", "1", "1.125", "1", "0 of 2", "0.90"}, rows[2])
	require.Equal(t, []string{"steady", "0.632", "1.118", "0", "1.000", "0", "0 of 2", "0.80"}, rows[3])
	require.Equal(t, "1", rows[0][3], "CFS loses to EEVDF")
	_, lost := n.lossTable("sfs")
	require.Equal(t, [][]string{{"rare", "24", "110 %", "100.0", "80.0", "90.0", "1.125"}}, lost)
	require.Contains(t, n.TSV(), "rare\t24\t1.1\tsfs\t90.0\t180.0\t1.125\t0.900\t1.125\t0\n")
	page := n.Markdown()
	require.Contains(t, page, "## Every cell that steady loses\n\nNone.\n")
	require.Contains(t, page, "| rare | 24 | 110 % | 100.0 | 80.0 | 90.0 | 1.125 |")
	_, loads := n.by("load", func(c Cell) string { return format.Fixed(100*c.load, 0) })
	require.Equal(t, []string{"steady", "0.500", "0.800"}, loads[2])
	require.Equal(t, []string{"steady, P99 of the longest group", "0.50", "0.80"}, loads[3])
	svg, err := n.Sheet(false).SVG()
	require.NoError(t, err)
	require.Contains(t, string(svg), "steady: mean turnaround")
	require.Equal(t, 2, strings.Count(string(svg), ": mean turnaround"), "a panel for each judged series")
	small, err := n.Sheet(true).SVG()
	require.NoError(t, err)
	require.Equal(t, strings.Count(string(svg), "<rect "), strings.Count(string(small), "<rect "), "no cell is left out on a small screen")
	require.Equal(t, 1+6, strings.Count(string(svg), "stroke:#1C1C1C"), "one cell is lost, and six of the scale")
}

// The page of attacks names the workloads, and the 99th percentiles that get worse.
func TestAttack(t *testing.T) {
	root := t.TempDir()
	n, err := ReadGrid(root, Attack)
	require.NoError(t, err)
	require.Nil(t, n, "not made yet")
	figuretest.BeyondTables(t, root)
	n, err = Read(root)
	require.NoError(t, err)
	require.NotContains(t, n.Markdown(), "makes worse")
	n.name = Attack
	c := n.cells[0]
	m := n.means[c]["steady"]
	m.p99[0] = 2 * n.means[c]["cfs"].p99[0]
	n.means[c]["steady"] = m
	page := n.Markdown()
	require.Contains(t, page, "# Attacks\n")
	require.Contains(t, page, "![heat map](attack.svg)")
	require.Regexp(t, `makes worse\n\n.*\n.*\n\| \w+ \| \d+ \| \d+ % \| G1 \| \d+ \| \d+ \| 2.00 \|\n`, page)
}

// The page of servers compares from the request.
func TestServerComparesFromTheRequest(t *testing.T) {
	root := t.TempDir()
	figuretest.BeyondTables(t, root)
	require.NoError(t, os.Rename(filepath.Join(root, Experiment), filepath.Join(root, Server)))
	n, err := ReadGrid(root, Server)
	require.NoError(t, err)
	c := n.cells[1]
	m := n.means[c]["steady"]
	m.request = 300 // the turnaround is 80 as before, EEVDF's from the request 160
	n.means[c]["steady"] = m
	head, rows := n.Summary()
	require.Equal(t, "lost by turnaround", head[5])
	require.Equal(t, []string{"1", "1.875", "0"}, rows[3][3:6], "steady loses from the request, and not by turnaround")
	page := n.Markdown()
	require.Contains(t, page, "# Does it ever lose, from the request?\n")
	require.Contains(t, page, "if the mean from the request is more than")
	require.Contains(t, page, "| rare | 24 | 110 % | 200.0 | 160.0 | 300.0 | 1.875 |")
	svg, err := n.Sheet(false).SVG()
	require.NoError(t, err)
	require.Contains(t, string(svg), "steady: mean from the request over")
}

func TestNeverNeedsItsReferences(t *testing.T) {
	root := t.TempDir()
	figuretest.GridTable(t, root, map[string][2]float64{"cfs": {100, 100}, "oracle": {40, 80}}, "cfs", "oracle")
	_, err := Read(root)
	require.EqualError(t, err, "never: huawei on 1 cores at 90 % has no run of eevdf")
}

func TestHeat(t *testing.T) {
	require.Equal(t, plot.RGB(0xffffff), heat(1))
	require.Equal(t, heat(4), heat(40))
	require.Equal(t, plot.RGB(0x084a86), heat(0.25))
	require.Greater(t, heat(1.5).R, heat(1.5).B)
	require.Greater(t, heat(0.7).B, heat(0.7).R)
}

// A cell in which a series has no run is missing: not lost, not won, in no mean, and the page says so.
func TestACellWithoutARunIsMissing(t *testing.T) {
	root := t.TempDir()
	figuretest.BeyondTables(t, root)
	n, err := Read(root)
	require.NoError(t, err)
	rare := n.cells[1]
	delete(n.means[rare], "sfs")
	_, rows := n.Summary()
	require.Equal(t, []string{"sfs", "0.900", "2.250", "0", "0.900", "0", "0 of 1", "0.90"}, rows[2])
	require.Equal(t, []Score{{"sfs", 0, 1, 0.9}, {"steady", 0, 2, 1}}, n.Scores())
	require.Contains(t, n.TSV(), "rare\t24\t1.1\tsfs\t\t\t\t\t\t0\n")
	const says = "sfs has no run in 1 of the 2 cells"
	require.Contains(t, n.Markdown(), "\n**Missing:** "+says)
	require.Contains(t, strings.Join(n.Conditions(), "\n"), says)
	svg, err := n.Sheet(false).SVG()
	require.NoError(t, err)
	require.Contains(t, string(svg), "sfs: mean turnaround over that of the better of CFS and EEVDF; lost: 0 of 1 cells")
	require.Contains(t, string(svg), "<title>sfs, rare, 24 cores at 110 %: no run</title>")
	_, loads := n.by("load", func(c Cell) string { return format.Fixed(100*c.load, 0) })
	require.Equal(t, []string{"sfs", "0.900", ""}, loads[0])
}

// A round without invocations of a group has no percentile of it, and no part in the mean of the others.
func TestARoundWithoutAGroupHasNoP99(t *testing.T) {
	root := t.TempDir()
	figuretest.BeyondTables(t, root)
	path := filepath.Join(results.Dir(root, results.EngineSim, "never-table"), "table.csv")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	const first = "huawei,1,0.9,cfs,101,10,0,99.000,198.000,200,990.000,0,0.000,0,0.000,1,1980.000"
	require.Contains(t, string(text), first)
	text = []byte(strings.Replace(string(text), first, strings.Replace(first, "1,1980.000", "0,0.000", 1), 1))
	require.NoError(t, os.WriteFile(path, text, 0o644))
	n, err := Read(root)
	require.NoError(t, err)
	cfs := n.means[n.cells[0]]["cfs"]
	require.InDelta(t, 2020, cfs.p99[3], 1e-9, "that of the other round")
	require.InDelta(t, 0.5, cfs.n[3], 1e-9)
	require.Equal(t, 3, n.longest(n.cells[0]))
}

// The summary counts as worse what the table of attacks lists, by CFS's invocations, however many the series has.
func TestTailsHaveOneRule(t *testing.T) {
	root := t.TempDir()
	figuretest.BeyondTables(t, root)
	n, err := Read(root)
	require.NoError(t, err)
	for i, own := range []float64{250, 150} { // invocations of G1 under steady
		c := n.cells[i]
		m := n.means[c]["steady"]
		m.p99[0], m.n[0] = 2*n.means[c]["cfs"].p99[0], own
		n.means[c]["steady"] = m
	}
	count := func() (string, int) {
		_, rows := n.Summary()
		_, listed := n.tailTable("steady")
		return rows[3][6], len(listed)
	}
	summary, listed := count()
	require.Equal(t, "2 of 2", summary)
	require.Equal(t, 2, listed)
	m := n.means[n.cells[0]]["cfs"]
	m.n[0] = 199
	n.means[n.cells[0]]["cfs"] = m
	summary, listed = count()
	require.Equal(t, "1 of 1", summary)
	require.Equal(t, 1, listed)
}
