// SPDX-License-Identifier: Apache-2.0

package never

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

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
