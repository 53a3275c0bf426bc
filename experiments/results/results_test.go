// SPDX-License-Identifier: Apache-2.0

package results

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var two = []Invocation{
	{ID: 1, Function: "fib", UID: "3", Group: "G1", N: 23, ArriveNS: 10, SendNS: 5, StartNS: 12, EndNS: 40, CPUNS: 20, SwitchesVol: 1, SwitchesInvol: 2, Status: OK},
	{ID: 2, Function: "graphBfs", UID: "8", Group: "G1", N: 100, SendNS: 50, Status: Failed},
}

func TestWriteRead(t *testing.T) {
	root := t.TempDir()
	run := Run{Key: "cfs-r1-x", Engine: EngineVM, LateP50: time.Millisecond, Valid: true, Invalid: []string{}, Errors: []string{}}
	dir := Dir(root, EngineVM, "cfs-r1-x")
	require.NoError(t, Write(dir, Result{Run: run, Invocations: two}))
	got, err := Read(dir)
	require.NoError(t, err)
	require.Equal(t, run, got.Run)
	require.Equal(t, two, got.Invocations)
	require.Equal(t, 30*time.Nanosecond, got.Invocations[0].Turnaround())
	require.Equal(t, 35*time.Nanosecond, got.Invocations[0].EndToEnd())
	left, err := filepath.Glob(filepath.Join(root, "vm", ".*"))
	require.NoError(t, err)
	require.Empty(t, left)

	gone := Series{Name: "alps", Workload: "huawei", Load: 0.9, Round: 1, Key: "alps-r1-y"}
	require.NoError(t, WritePlan(root, EngineVM, "fig06", []Series{{Name: "cfs", Key: "cfs-r1-x"}, gone}))
	found, missing, err := NewPool(root, EngineVM).Plan("fig06")
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Len(t, missing, 1)
	var m *MissingError
	require.ErrorAs(t, missing[0], &m)
	require.Equal(t, gone, m.Series)
	require.ErrorIs(t, m, os.ErrNotExist)
	require.ErrorContains(t, m, "fig06: alps on huawei at 90 %, round 1 is missing")
	f, err := Find(root)
	require.NoError(t, err)
	require.Equal(t, Found{Runs: []string{"vm/cfs-r1-x"}, Plans: []string{"fig06/plan-vm.json"}}, f)
	lacks, err := Missing(root, f.Plans[0])
	require.NoError(t, err)
	require.Equal(t, []string{"vm/alps-r1-y"}, lacks)
}

func TestSimulatedResults(t *testing.T) {
	root := t.TempDir()
	var segments Segments
	for _, d := range []time.Duration{4 * time.Millisecond, 1499 * time.Nanosecond, 4 * time.Millisecond, time.Microsecond} {
		segments.Add("G2", d)
	}
	segments.Add("G1", time.Second)
	want := []Slices{{"G1", time.Second, 1}, {"G2", time.Microsecond, 2}, {"G2", 4 * time.Millisecond, 2}}
	require.Equal(t, want, segments.Slices())
	run := Run{Key: "cfs-huawei-90-x", Engine: EngineSim, Sim: &Sim{Span: time.Second, BusyShare: 0.9, Updates: 3}}
	require.NoError(t, Write(Dir(root, EngineSim, run.Key), Result{Run: run, Invocations: two, Slices: segments.Slices()}))
	table := Table{Columns: []string{"records", "avg_us"}, Rows: [][]string{{"100", "8.1"}}}
	require.NoError(t, Write(Dir(root, EngineSim, "t"), Result{Run: Run{Key: "t", Engine: EngineHost}, Table: &table}))
	require.NoError(t, WritePlan(root, EngineSim, "table2", []Series{{Name: "a", Key: run.Key}, {Name: "b", Key: "t"}}))

	got, err := ReadPlan(root, EngineSim, "table2")
	require.NoError(t, err)
	require.Equal(t, "a", got[0].Name)
	require.Equal(t, run, got[0].Result.Run)
	require.Equal(t, two, got[0].Result.Invocations)
	require.Equal(t, want, got[0].Result.Slices)
	require.Equal(t, &table, got[1].Result.Table)
	require.NoError(t, os.RemoveAll(Dir(root, EngineSim, "t")))
	_, err = ReadPlan(root, EngineSim, "table2")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "table2: b is missing: ")
}

func TestReadSlicesNamesTheLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                                  "f.csv:1: empty",
		slicesHeader + "\nG1,1,1\nG1,1,1\n": "f.csv:3: rows are not sorted by group and length, or one is there twice",
		slicesHeader + "\nG1,-1,1\n":        "f.csv:2: length_us: -1: allowed: 0 to 86400000000",
		slicesHeader + "\nG1,1,0\n":         "f.csv:2: count: 0: at least 1 is needed",
		slicesHeader + "\nG1,9223372036854775807,1": "f.csv:2: length_us: ",
		slicesHeader + "\nG1,1\n":                   "f.csv:2: ",
	} {
		_, err := readSlices("f.csv", strings.NewReader(in))
		require.ErrorContains(t, err, want, "%q", in)
	}
}

func TestSummarize(t *testing.T) {
	var in []Invocation
	for i := range 100 {
		in = append(in, Invocation{Group: "G2", SendNS: -10e6, EndNS: int64(i+1) * 1e6, SwitchesInvol: i % 2, Status: OK})
	}
	in = append(in, Invocation{Group: "G2", Status: Failed}, Invocation{Group: "G4", ArriveNS: 5e6, EndNS: 6e6, Status: OK})
	s := Summarize(in)
	require.Len(t, s, 5)
	require.Equal(t, Summary{Group: "G2", N: 100, P50: 50, P75: 75, P90: 90, P99: 99, Mean: 50.5, EndToEnd: 60.5, Switches: 0.5}, s[1])
	require.Equal(t, 101, s[4].N)
	require.Zero(t, s[0].N)
	require.True(t, math.IsNaN(s[0].Mean) && math.IsNaN(s[0].P99) && math.IsNaN(s[0].Switches))
	for cpu, group := range map[time.Duration]string{0: "G1", 50*time.Millisecond - 1: "G1", 50 * time.Millisecond: "G2", 399 * time.Millisecond: "G3", 400 * time.Millisecond: "G4"} {
		require.Equal(t, group, GroupOf(cpu))
	}
}

func TestReadCSVNamesTheLine(t *testing.T) {
	row := "1,fib,3,G1,23,10,5,12,40,20,1,2,ok\n"
	for in, want := range map[string]string{
		"":                            "f.csv:1: empty",
		"id,x\n":                      "f.csv:1: ",
		Header + "\n" + row + "1,2\n": "f.csv:3: ",
		Header + "\n1,fib,3,G1,x,10,5,12,40,20,1,2,ok\n":  `f.csv:2: n: "x" is not a number`,
		Header + "\n1,fib,3,G1,23,10,5,12,9,20,1,2,ok\n":  "f.csv:2: end_ns is before arrive_ns",
		Header + "\n1,fib,3,G1,23,10,5,12,40,20,1,2,so\n": `f.csv:2: status: "so": allowed: ok, failed`,
	} {
		_, err := ReadCSV("f.csv", strings.NewReader(in))
		require.ErrorContains(t, err, want, "%q", in)
	}
}

func TestJudge(t *testing.T) {
	r := Run{MeanGap: 100 * time.Millisecond, LateP50: 5 * time.Millisecond}
	r.Judge()
	require.True(t, r.Valid)
	r.LateP50++
	r.Failed, r.Lost, r.Broken = 1, 2, []string{"daemon changed in between"}
	r.Judge()
	require.False(t, r.Valid)
	require.Len(t, r.Invalid, 4)
	require.Contains(t, r.Invalid, "daemon changed in between")

	sim := Run{Invocations: 40, Sim: &Sim{Span: time.Minute, Unfinished: 3}}
	sim.Judge()
	require.False(t, sim.Valid)
	require.Equal(t, []string{"3 of 40 invocations had not ended after 1m0s of simulated time: the load does not drain"}, sim.Invalid)
}

// Only a result is replaced, and only what was becoming one is removed.
func TestOthersDirectoriesStay(t *testing.T) {
	root := t.TempDir()
	r := Result{Run: Run{Key: "k", Engine: EngineSim, Errors: []string{}, Invalid: []string{}, Parameters: map[string]any{}}}
	own, theirs := filepath.Join(root, EngineSim, "k"), filepath.Join(root, EngineSim, "cfs")
	require.NoError(t, Write(own, r))
	require.NoError(t, Write(own, r), "a result is replaced")
	torn, alike := filepath.Join(root, EngineSim, partial+"12"), filepath.Join(root, "photos", partial+"34")
	for _, path := range []string{theirs + "/notes.txt", torn + "/invocations.csv", alike + "/invocations.csv"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, nil, 0o644))
	}
	require.ErrorContains(t, Write(theirs, r), theirs+" holds notes.txt, which is no result's: move it away or write elsewhere")
	require.FileExists(t, theirs+"/notes.txt")
	require.NoError(t, RemovePartial(root))
	require.NoDirExists(t, torn)
	require.FileExists(t, alike+"/invocations.csv")
	require.NoError(t, os.WriteFile(filepath.Join(own, "mine.txt"), nil, 0o644))
	require.ErrorContains(t, Write(own, r), "holds mine.txt")
	require.FileExists(t, filepath.Join(own, "run.json"))
}

// A result that is being written, or was torn, is not a result.
func TestHalfAResultIsNone(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "fig06", "k")
	require.NoError(t, Write(dir, Result{Invocations: two}))
	require.NoError(t, os.Remove(filepath.Join(dir, "invocations.csv")))
	_, err := Read(dir)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func FuzzReadCSV(f *testing.F) {
	f.Add(Header + "\n1,fib,3,G1,23,10,5,12,40,20,1,2,ok\n")
	f.Fuzz(func(t *testing.T, in string) {
		rows, err := ReadCSV("f", strings.NewReader(in))
		if err != nil {
			return
		}
		var b strings.Builder
		require.NoError(t, WriteCSV(&b, rows))
		if strings.ContainsAny(in, "\"\r") {
			return // quoting is read but not written
		}
		again, err := ReadCSV("f", strings.NewReader(b.String()))
		require.NoError(t, err)
		require.Equal(t, rows, again)
	})
}

func FuzzReadSlices(f *testing.F) {
	f.Add(slicesHeader + "\nG1,1,1\nG1,4000,12\nG2,0,3\n")
	f.Fuzz(func(t *testing.T, in string) {
		rows, err := readSlices("f", strings.NewReader(in))
		if err != nil {
			require.Nil(t, rows)
			return
		}
		if strings.Contains(in, "\r") {
			return // CSV makes \r\n inside quotes \n
		}
		var b strings.Builder
		require.NoError(t, writeSlices(&b, rows))
		again, err := readSlices("f", strings.NewReader(b.String()))
		require.NoError(t, err)
		require.Equal(t, rows, again)
	})
}

func FuzzTable(f *testing.F) {
	f.Add("records,avg_us\n100,8.1\n200,\"16,2\"\n")
	f.Fuzz(func(t *testing.T, in string) {
		var table, again Table
		if table.read("f", strings.NewReader(in)) != nil {
			require.Empty(t, table)
			return
		}
		for _, row := range table.Rows {
			require.Len(t, row, len(table.Columns))
		}
		if strings.Contains(in, "\r") {
			return
		}
		var b strings.Builder
		require.NoError(t, table.write(&b))
		require.NoError(t, again.read("f", strings.NewReader(b.String())))
		require.Equal(t, table, again)
	})
}
