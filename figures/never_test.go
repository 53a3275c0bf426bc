package figures

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
)

// gridTable writes a table of two cells, two seeds and the given means; P99s are
// ten times the means, in G1 and G4.
func gridTable(t *testing.T, root string, means map[string][2]float64, order ...string) {
	table := results.Table{Columns: strings.Split("workload,cores,load,series,seed,n,unfinished,mean_ms,request_ms,g1_n,g1_p99_ms,g2_n,g2_p99_ms,g3_n,g3_p99_ms,g4_n,g4_p99_ms", ",")}
	for i, cell := range []string{"huawei,1,0.9", "rare,24,1.1"} {
		for seed := range 2 {
			for _, s := range order {
				m := means[s][i] + []float64{-1, 1}[seed] // so that only the mean over both is as given
				row := append(strings.Split(cell, ","), s, fmt.Sprint(101+seed), "10", "0", num(m, 3), num(2*m, 3))
				table.Rows = append(table.Rows, append(row, "200", num(10*m, 3), "0", "0.000", "0", "0.000", "1", num(20*m, 3)))
			}
		}
	}
	tablePlan(t, root, neverFigure, table)
}

func tablePlan(t *testing.T, root, figure string, table results.Table) {
	r := results.Result{Table: &table, Run: results.Run{Key: figure + "-table", Engine: results.EngineHost, Parameters: map[string]any{}, Errors: []string{}, Valid: true, Invalid: []string{}}}
	require.NoError(t, results.Write(results.Dir(root, results.EngineSim, r.Run.Key), r))
	require.NoError(t, results.WritePlan(root, results.EngineSim, figure, []results.Series{{Name: "grid", Key: r.Run.Key}}))
}

// beyondTables are the tables that docs/ shows beyond the paper.
func beyondTables(t *testing.T, root string) {
	gridTable(t, root, map[string][2]float64{"cfs": {100, 100}, "eevdf": {110, 80}, "sfs": {90, 90}, "steady": {50, 80}, "oracle": {40, 80}},
		"cfs", "eevdf", "sfs", "steady", "oracle")
	tablePlan(t, root, indexFigure, results.Table{Columns: []string{"kind", "used_ms", "index_ms", "quantum_end_ms"},
		Rows: [][]string{{"alike", "0", "70", "70"}, {"alike", "10", "60", "70"}, {"heavy", "0", "20", "30"}, {"heavy", "10", "30", "60"}}})
}

func TestNever(t *testing.T) {
	root := t.TempDir()
	n, err := readNever(root)
	require.NoError(t, err)
	require.Nil(t, n, "not made yet")
	beyondTables(t, root)
	n, err = readNever(root)
	require.NoError(t, err)
	require.Equal(t, []string{"101", "102"}, n.seeds)
	require.Equal(t, []string{"sfs", "steady"}, n.judgedSeries())
	_, rows := n.summary()
	// sfs: 90/100 and 90/100 of CFS; 90/100 and 90/80 of the better.
	require.Equal(t, []string{"sfs", "0.900", "1.591", "1", "1.125", "1", "0 of 2", "0.90"}, rows[2])
	require.Equal(t, []string{"steady", "0.632", "1.118", "0", "1.000", "0", "0 of 2", "0.80"}, rows[3])
	require.Equal(t, "1", rows[0][3], "CFS loses to EEVDF")
	_, lost := n.lossTable("sfs")
	require.Equal(t, [][]string{{"rare", "24", "110 %", "100.0", "80.0", "90.0", "1.125"}}, lost)
	require.Contains(t, n.tsv(), "rare\t24\t1.1\tsfs\t90.0\t180.0\t1.125\t0.900\t1.125\t0\n")
	page := n.markdown()
	require.Contains(t, page, "## Every cell that steady loses\n\nNone.\n")
	require.Contains(t, page, "| rare | 24 | 110 % | 100.0 | 80.0 | 90.0 | 1.125 |")
	_, loads := n.by("load", func(c neverCell) string { return num(100*c.load, 0) })
	require.Equal(t, []string{"steady", "0.500", "0.800"}, loads[2])
	require.Equal(t, []string{"steady, P99 of the longest group", "0.50", "0.80"}, loads[3])
	svg, err := n.sheet().svg()
	require.NoError(t, err)
	require.Contains(t, string(svg), "steady: mean turnaround")
	require.Equal(t, 1+6, strings.Count(string(svg), "stroke:#1C1C1C"), "one cell is lost, and six of the scale")
}

// The report has the picture, the summary and the data.
func TestNeverIsInTheReport(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	beyondTables(t, root)
	r := &report{options: Options{Results: root, Out: out, Light: true}}
	require.NoError(t, r.addNever())
	s := r.page.Sections[0]
	require.Equal(t, "never-sim", s.Parts[0].File)
	require.Contains(t, string(s.Parts[0].SVG), "steady: mean turnaround")
	require.Len(t, s.Lines, 5)
	require.FileExists(t, filepath.Join(out, "never-sim.svg"))
	require.FileExists(t, filepath.Join(out, "never-sim.tsv"))

	require.NoError(t, os.Remove(filepath.Join(root, results.EngineSim, "..", neverFigure, "plan-sim.json")))
	r = &report{options: Options{Results: root, Out: out, Light: true}}
	require.NoError(t, r.addNever())
	require.Empty(t, r.page.Sections[0].Parts[0].File, "not made yet")
	require.NoFileExists(t, filepath.Join(out, "never-sim.svg"), "and what was there is gone")
}

func TestNeverNeedsItsReferences(t *testing.T) {
	root := t.TempDir()
	gridTable(t, root, map[string][2]float64{"cfs": {100, 100}, "oracle": {40, 80}}, "cfs", "oracle")
	_, err := readNever(root)
	require.EqualError(t, err, "never: huawei on 1 cores at 90 % has no run of eevdf")
}

func TestHeat(t *testing.T) {
	require.Equal(t, rgb(0xffffff), heat(1))
	require.Equal(t, heat(4), heat(40))
	require.Equal(t, rgb(0x084a86), heat(0.25))
	require.Greater(t, heat(1.5).R, heat(1.5).B)
	require.Greater(t, heat(0.7).B, heat(0.7).R)
}

func TestIndexPicture(t *testing.T) {
	_, err := indexPicture(&results.Table{Columns: []string{"kind"}})
	require.ErrorContains(t, err, "index: no column used_ms in table.csv")
	root, out := t.TempDir(), t.TempDir()
	beyondTables(t, root)
	files := map[string]string{}
	require.NoError(t, beyond(root, files))
	for _, name := range []string{"never.md", "never.tsv", "never.svg", "steady-index.svg"} {
		require.NotEmpty(t, files[name])
		require.NoError(t, os.WriteFile(filepath.Join(out, name), []byte(files[name]), 0o644))
	}
	require.Contains(t, files["steady-index.svg"], "heavy")
	require.ErrorContains(t, beyond(t.TempDir(), files), "simulate first")
}
