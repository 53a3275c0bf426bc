package results

import (
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
	run := Run{Experiment: "fig06", Key: "cfs-r1-x", Engine: EngineVM, LateP50: time.Millisecond, Valid: true, Invalid: []string{}, Errors: []string{}}
	dir := filepath.Join(root, "fig06", "cfs-r1-x")
	require.NoError(t, Write(dir, run, two))
	got, err := Read(dir)
	require.NoError(t, err)
	require.Equal(t, run, got.Run)
	require.Equal(t, two, got.Invocations)
	require.Equal(t, 30*time.Nanosecond, got.Invocations[0].Turnaround())
	require.Equal(t, 35*time.Nanosecond, got.Invocations[0].EndToEnd())
	left, err := filepath.Glob(filepath.Join(root, "fig06", ".*"))
	require.NoError(t, err)
	require.Empty(t, left)

	require.NoError(t, WritePlan(root, "fig06", []string{"cfs-r1-x", "alps-r1-y"}))
	found, missing, err := ReadPlan(root, "fig06")
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, []string{"alps-r1-y"}, missing)
	all, err := ReadAll(root)
	require.NoError(t, err)
	require.Len(t, all, 1)
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
	r.Failed, r.Lost = 1, 2
	r.Judge()
	require.False(t, r.Valid)
	require.Len(t, r.Invalid, 3)
}

// A result that is being written, or was torn, is not a result.
func TestHalfAResultIsNone(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "fig06", "k")
	require.NoError(t, Write(dir, Run{}, two))
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
