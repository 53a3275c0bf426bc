// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
)

// run writes a run of 40 invocations. Each has the turnaround, and its process begins
// so long after the client's request as request says; both in ms.
func run(t *testing.T, root, key string, cpus int, turnaround, request int64) {
	r := results.Result{Run: results.Run{Key: key, Engine: results.EngineVM, Workload: "huawei", FunctionCPUs: cpus, Deployment: "apart", Errors: []string{}}}
	for i := range 40 {
		at := int64(i) * 1e9
		r.Invocations = append(r.Invocations, results.Invocation{ID: i + 1, Group: results.Groups[i%2], SendNS: at - request*1e6, ArriveNS: at, EndNS: at + turnaround*1e6, Status: results.OK})
	}
	r.Run.Judge()
	require.NoError(t, results.Write(results.Dir(root, results.EngineVM, key), r))
}

func TestSeriesBesideEachOther(t *testing.T) {
	root := t.TempDir()
	var plan []results.Series
	add := func(name string, cpus, round int, turnaround, request int64) {
		s := results.Series{Name: name, Workload: fmt.Sprintf("huawei, %d CPUs", cpus), Load: 0.9, Round: round, Key: strings.ReplaceAll(name+string(rune('a'+cpus))+string(rune('0'+round)), " ", "")}
		if name == "mine" {
			s.Kernel = "7.3"
		}
		plan = append(plan, s)
		if turnaround > 0 {
			run(t, root, s.Key, cpus, turnaround, request)
		}
	}
	add("eevdf", 4, 1, 100, 10)
	add("eevdf", 4, 2, 300, 10)
	add("mine", 4, 1, 150, 20)
	add("mine", 4, 2, 150, 100)
	add("eevdf", 1, 1, 400, 0)
	add("mine", 1, 1, 0, 0) // missing
	require.NoError(t, results.WritePlan(root, results.EngineVM, "peers", plan))
	rows, problems, err := Read(root, results.EngineVM, "peers")
	require.NoError(t, err)
	require.Len(t, problems, 1)
	require.ErrorContains(t, problems[0], "mine on huawei, 1 CPUs at 90 %, round 1 is missing")
	var b strings.Builder
	require.NoError(t, Write(&b, rows, ""))
	require.Equal(t, `huawei at 90 %, 1 function CPU, deployment apart
series rounds invocations mean, ms against eevdf from request, ms against eevdf G1 P99, ms G2 P99, ms G3 P99, ms G4 P99, ms
eevdf 1 40 400 +0.0 % 400 +0.0 % 400 400 - -

huawei at 90 %, 4 function CPUs, deployment apart
series rounds invocations mean, ms against eevdf from request, ms against eevdf G1 P99, ms G2 P99, ms G3 P99, ms G4 P99, ms
eevdf 2 80 200 +0.0 % 210 +0.0 % 300 300 - -
mine (7.3) 2 80 150 -25.0 % 210 +0.0 % 150 150 - -

Cells with a lower mean, of 2:
series than eevdf from request than all others from request
eevdf 0 0
mine 1 0 1 0
`, normal(b.String()))
	require.ErrorContains(t, Write(&b, rows, "nobody"), `no series "nobody": there are eevdf, mine`)
	_, _, err = Read(root, results.EngineSim, "peers")
	require.ErrorContains(t, err, "peers has no results of engine sim: experiments:run peers")
}

// normal is text with single blanks between its words.
func normal(s string) string {
	var lines []string
	for _, l := range strings.Split(s, "\n") {
		lines = append(lines, strings.Join(strings.Fields(l), " "))
	}
	return strings.Join(lines, "\n")
}

// A row of a grid has the mean of its rounds' values.
func TestGridsAreCompared(t *testing.T) {
	root := t.TempDir()
	table := &results.Table{Columns: []string{"workload", "cores", "load", "series", "seed", "n", "mean_ms", "request_ms", "g1_p99_ms", "g2_p99_ms", "g3_p99_ms", "g4_p99_ms"},
		Rows: [][]string{
			{"anti", "4", "0.9", "cfs", "1", "100", "80", "90", "1", "2", "3", "0"}, {"anti", "4", "0.9", "cfs", "2", "100", "120", "130", "3", "4", "5", "0"},
			{"anti", "4", "0.9", "steady", "1", "100", "150", "90", "1", "1", "1", "0"}, {"anti", "4", "0.9", "steady", "2", "100", "150", "90", "1", "1", "1", "0"},
		}}
	run := results.Run{Key: "attack", Engine: results.EngineHost, Errors: []string{}}
	run.Judge()
	require.NoError(t, results.Write(results.Dir(root, results.EngineSim, "attack"), results.Result{Run: run, Table: table}))
	require.NoError(t, results.WritePlan(root, results.EngineSim, "attack", []results.Series{{Name: "attack", Key: "attack"}}))
	rows, problems, err := Read(root, results.EngineSim, "attack")
	require.NoError(t, err)
	require.Empty(t, problems)
	require.Len(t, rows, 2)
	require.Equal(t, Cell{Workload: "anti", Load: 0.9, FunctionCPUs: 4}, rows[0].Cell)
	require.Equal(t, []any{2, 200, 100.0, 110.0, 2.0}, []any{rows[0].Rounds, rows[0].N, rows[0].Mean, rows[0].FromRequest, rows[0].P99[0]})
	require.True(t, math.IsNaN(rows[0].P99[3]), "nobody is in the group")
	var b strings.Builder
	require.NoError(t, Write(&b, rows, "cfs"))
	require.Contains(t, b.String(), "+50.0 %")
	require.Contains(t, b.String(), "-18.2 %")

	table.Rows[0][6] = "x"
	require.NoError(t, os.RemoveAll(filepath.Join(root, "sim", "attack")))
	require.NoError(t, results.Write(results.Dir(root, results.EngineSim, "attack"), results.Result{Run: run, Table: table}))
	_, _, err = Read(root, results.EngineSim, "attack")
	require.ErrorContains(t, err, "the table of attack: line 2, mean_ms")
	table.Columns[7] = "e2e_ms"
	table.Rows[0][6] = "80"
	require.NoError(t, results.Write(results.Dir(root, results.EngineSim, "attack"), results.Result{Run: run, Table: table}))
	_, _, err = Read(root, results.EngineSim, "attack")
	require.ErrorContains(t, err, "the table of attack has no column request_ms")
}

// A grid of which invocations did not end is no more compared than a run that is not valid.
func TestGridThatIsNotValid(t *testing.T) {
	root := t.TempDir()
	table := &results.Table{Columns: []string{"workload", "series"}, Rows: [][]string{{"anti", "cfs"}}}
	run := results.Run{Key: "attack", Engine: results.EngineHost, Failed: 16, Errors: []string{}}
	run.Judge()
	require.NoError(t, results.Write(results.Dir(root, results.EngineSim, "attack"), results.Result{Run: run, Table: table}))
	require.NoError(t, results.WritePlan(root, results.EngineSim, "attack", []results.Series{{Name: "grid", Key: "attack"}}))
	rows, problems, err := Read(root, results.EngineSim, "attack")
	require.NoError(t, err)
	require.Empty(t, rows)
	require.Len(t, problems, 1)
	require.EqualError(t, problems[0], "grid is not valid: 16 invocations failed")
}

// P99 of a group is the mean over the rounds in which somebody is in it.
func TestAGroupThatIsEmptyInARound(t *testing.T) {
	table := &results.Table{Columns: []string{"workload", "cores", "load", "series", "n", "mean_ms", "request_ms", "g1_p99_ms", "g2_p99_ms", "g3_p99_ms", "g4_p99_ms"},
		Rows: [][]string{
			{"anti", "4", "0.9", "cfs", "100", "80", "90", "0", "2", "7", "0"}, {"anti", "4", "0.9", "cfs", "100", "80", "90", "3", "0", "8", "0"}, {"anti", "4", "0.9", "cfs", "100", "80", "90", "5", "0", "9", "0"},
		}}
	rows, err := fromTable("attack", table)
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.Equal(t, []float64{4, 2, 8}, rows[0].P99[:3])
	require.True(t, math.IsNaN(rows[0].P99[3]), "nobody is in it in any round")
}
