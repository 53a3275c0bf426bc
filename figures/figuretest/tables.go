// SPDX-License-Identifier: Apache-2.0

package figuretest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/format"
)

// Tables writes Tables 1 to 3 as the engine host would.
func Tables(t *testing.T, root string) {
	t.Helper()
	groups := results.Table{Columns: []string{"workload", "group", "invocations", "share_pct"}}
	for w, shares := range map[string][]string{"huawei": {"69.74", "23.23", "6.03", "1.00"}} {
		for i, g := range results.Groups {
			groups.Rows = append(groups.Rows, []string{w, g, "1", shares[i]})
		}
	}
	for i, g := range results.Groups {
		groups.Rows = append(groups.Rows, []string{"azure", g, "1", []string{"42.00", "16.40", "24.20", "17.40"}[i]})
	}
	cost := results.Table{Columns: []string{"workload", "learner", "records", "median_us", "min_us", "updates"}}
	for l, us := range map[string]string{"avg": "273.0", "lr": "282.9", "rf": "6692.4", "ewma": "276.7"} {
		cost.Rows = append(cost.Rows, []string{"huawei", l, "5000", us, us, "99"})
	}
	// The rows came out of a map in any order: they are sorted.
	for i := range cost.Rows {
		for j := range i {
			if cost.Rows[i][1] < cost.Rows[j][1] {
				cost.Rows[i], cost.Rows[j] = cost.Rows[j], cost.Rows[i]
			}
		}
	}
	hooks := results.Table{Columns: []string{"what", "in", "value"}, Rows: [][]string{
		{"system call", "instructions in the guest", "310"},
		{"context switch, stock kernel", "instructions in the guest", "4800"},
		{"context switch, hooks asked, entry", "instructions in the guest", "7300"},
		{"order hook, entry", "instructions in the guest", "265"},
		{"order hook, entry", "calls per switch", "0.996"},
		{"order hook, entry", "ns on this host", "29"},
		{"slice hook, entry", "calls per switch", "1.01"},
		{"slice hook, entry", "ns on this host", "28.5"},
		{"both hooks, per decision", "ns on this host", "57.6"},
	}}
	for name, table := range map[string]*results.Table{"table1": &groups, "table2": &cost, "table3": &hooks} {
		run := results.Run{Key: name, Engine: results.EngineHost, Valid: true, Parameters: map[string]any{"cpu": "a processor"}}
		require.NoError(t, results.Write(results.Dir(root, results.EngineSim, name), results.Result{Run: run, Table: table}))
		require.NoError(t, results.WritePlan(root, results.EngineSim, name, []results.Series{{Name: name, Key: name}}))
	}
}

// GridTable writes a table of two cells, two seeds and the given means (of both cells, ms); the P99 is ten times the
// mean in G1, twenty times in G4, and the other groups have no invocations.
func GridTable(t *testing.T, root string, means map[string][2]float64, order ...string) {
	table := results.Table{Columns: strings.Split("workload,cores,load,series,seed,n,unfinished,mean_ms,request_ms,g1_n,g1_p99_ms,g2_n,g2_p99_ms,g3_n,g3_p99_ms,g4_n,g4_p99_ms", ",")}
	for i, cell := range []string{"huawei,1,0.9", "rare,24,1.1"} {
		for seed := range 2 {
			for _, s := range order {
				m := means[s][i] + []float64{-1, 1}[seed] // so that only the mean over both is as given
				row := append(strings.Split(cell, ","), s, fmt.Sprint(101+seed), "10", "0", format.Fixed(m, 3), format.Fixed(2*m, 3))
				table.Rows = append(table.Rows, append(row, "200", format.Fixed(10*m, 3), "0", "0.000", "0", "0.000", "1", format.Fixed(20*m, 3)))
			}
		}
	}
	tablePlan(t, root, "never", table)
}

func tablePlan(t *testing.T, root, figure string, table results.Table) {
	r := results.Result{Table: &table, Run: results.Run{Key: figure + "-table", Engine: results.EngineHost, Parameters: map[string]any{}, Errors: []string{}, Valid: true, Invalid: []string{}}}
	require.NoError(t, results.Write(results.Dir(root, results.EngineSim, r.Run.Key), r))
	require.NoError(t, results.WritePlan(root, results.EngineSim, figure, []results.Series{{Name: "grid", Key: r.Run.Key}}))
}

// BeyondTables are the tables that docs/ shows beyond the paper.
func BeyondTables(t *testing.T, root string) {
	GridTable(t, root, map[string][2]float64{"cfs": {100, 100}, "eevdf": {110, 80}, "sfs": {90, 90}, "steady": {50, 80}, "oracle": {40, 80}},
		"cfs", "eevdf", "sfs", "steady", "oracle")
	tablePlan(t, root, "index", results.Table{Columns: []string{"kind", "used_ms", "index_ms", "quantum_end_ms"},
		Rows: [][]string{{"alike", "0", "70", "70"}, {"alike", "10", "60", "70"}, {"heavy", "0", "20", "30"}, {"heavy", "10", "30", "60"}}})
}
