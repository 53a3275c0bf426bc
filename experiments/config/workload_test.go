// SPDX-License-Identifier: Apache-2.0

package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat"

	"github.com/ds2-lab/alps/experiments"
	"github.com/ds2-lab/alps/experiments/trace"
)

// The workloads are the artifact's, by the counts of its trace files.
func TestGroups(t *testing.T) {
	for name, want := range map[string]map[string]int{
		"huawei": {"G1": 10461, "G2": 3485, "G3": 904, "G4": 150}, // Table 1: 69.8/23.2/6/1 %
		"azure":  {"G1": 840, "G2": 328, "G3": 484, "G4": 348},
		"fib15":  {"G1": 588, "G2": 172, "G3": 127, "G4": 113},
	} {
		w, err := FindWorkload(experiments.Files, name, "")
		require.NoError(t, err)
		group, n := map[string]int{}, 0
		for _, c := range w.Classes {
			group[c.Group.V] += c.Count.V
			n += c.Count.V
		}
		require.Equal(t, want, group)
		require.Len(t, w.rows, n)
	}
}

func TestRowsOfRounds(t *testing.T) {
	e, err := Load("..", "fig06")
	require.NoError(t, err)
	p, err := LoadProfile("..", "smoke")
	require.NoError(t, err)
	a, b := e.VM.Rows(p, e.VM.Mixes[0], 1, 1), e.VM.Rows(p, e.VM.Mixes[0], 2, 1)
	require.Len(t, a, p.Invocations.V)
	require.NotEqual(t, a, b)
	e.VM.Trace.V = true
	require.Equal(t, e.VM.Rows(p, e.VM.Mixes[0], 1, 1), e.VM.Rows(p, e.VM.Mixes[0], 2, 1))
	require.Equal(t, e.VM.Mixes[0].rows[:p.Invocations.V], e.VM.Rows(p, e.VM.Mixes[0], 1, 1))
}

// The traces here are the artifact's files: written in its form, "id n function
// gap port" per line, each has the digest of the file it came from.
func TestTracesAreTheArtifacts(t *testing.T) {
	for name, want := range map[string]struct{ digest, newline string }{
		"huawei": {"c7b272a9e506d34a329299a0af664970b77d72706190ded5922c91f960c00dca", "\n"},   // huawei.exp
		"azure":  {"7efab73b42910ba6850cfd72a25078766f85a1058a135b59d06e9065a2881bda", "\r\n"}, // azure.exp
		"fib15":  {"f33f8a95cd4c5623f8d44990fb227b504d26dabee0bc6e21f90f22bcf4b6ace0", "\n"},   // fig15.exp
	} {
		w, err := FindWorkload(experiments.Files, name, "")
		require.NoError(t, err)
		file := sha256.New()
		for i, row := range w.rows {
			c := w.Classes[row.Class]
			port := c.Port.V
			if name == "fib15" { // numbered in the artifact, given to the ports that serve fib here
				port = strconv.Itoa(1 + slices.Index([]string{"5002", "5006", "5011", "5018", "5021"}, port))
			}
			fmt.Fprint(file, i+1, " ", c.N.V, " ", c.Function.V, " ", row.Gap, " ", port, want.newline)
		}
		require.Equal(t, want.digest, hex.EncodeToString(file.Sum(nil)), name)
	}
}

const small = `name: small
spread: 0.1
gap: {distribution: exponential, mean: 10}
classes:
  - {function: fib, uid: "3", port: "5002", group: G1, n: 23, count: 1, cpu: 40ms}
  - {function: fib, uid: "6", port: "5006", group: G2, n: 28, count: 1, cpu: 100ms, slow: {share: 0.25, factor: 2}}
`

func TestDemands(t *testing.T) {
	w, err := LoadWorkload(fstest.MapFS{"w.yaml": {Data: []byte(small)}}, "w.yaml")
	require.NoError(t, err)
	rows := w.Rows(20000, 1)
	a := w.Demands(rows, 1)
	require.Equal(t, a, w.Demands(rows, 1))
	require.NotEqual(t, a, w.Demands(rows, 2))
	var plain, slow []float64
	for i, d := range a {
		if ms := float64(d) / 1e6; rows[i].Class == 0 {
			plain = append(plain, ms)
			require.InDelta(t, 40, ms, 12.001, "three standard deviations")
		} else {
			slow = append(slow, ms)
		}
	}
	mean, sd := stat.MeanStdDev(plain, nil)
	require.InDelta(t, 40, mean, 0.2)
	require.InDelta(t, 4, sd, 0.2)
	require.InDelta(t, 125, stat.Mean(slow, nil), 1.5, "a quarter takes twice as long")
	w.Spread.V = 0
	require.Equal(t, 40*time.Millisecond, w.Demands([]trace.Row{{Class: 0}}, 1)[0])
}

func TestWorkloadComplaints(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"name: small", "name: S!", `w.yaml:1:7: name: "S!": `},
		{"0.1", "0.31", "w.yaml:2:9: spread: 0.31 is outside [0, 0.3]"},
		{"spread: 0.1", "load_factor: 3", "w.yaml:2:14: load_factor: 3 is outside [0.5, 2]"},
		{"exponential", "uniform", `w.yaml:3:21: gap.distribution: "uniform": allowed: poisson, exponential`},
		{"mean: 10", "mean: .inf", "w.yaml:3:40: gap.mean: +Inf is outside (0, 1e6]"},
		{"40ms", "0s", "w.yaml:5:78: classes[0].cpu: 0s: allowed: 1ms to 1m"},
		{"G2", "G5", `w.yaml:6:52: classes[1].group: "G5": allowed: G1, G2, G3, G4`},
		{"share: 0.25", "share: 2", "w.yaml:6:99: classes[1].slow.share: 2 is outside [0, 1]"},
		{"factor: 2", "factor: 0", "classes[1].slow.factor: 0 is outside [1, 100]"},
		{"spread: 0.1", "trace: none.csv", "w.yaml:2:8: trace: open none.csv: file does not exist: give the path"},
		{"spread: 0.1", "trace: t.csv", "w.yaml:5:70: classes[0].count: 1: the trace has 2; classes are numbered in this order"},
		{"spread: 0.1", "trace: bad.csv", "bad.csv:2: class: \"2\": allowed: 0 to 1"},
	} {
		_, err := LoadWorkload(fstest.MapFS{
			"w.yaml":  {Data: []byte(strings.Replace(small, c.old, c.new, 1))},
			"t.csv":   {Data: []byte("class,gap\n0,1\n0,1\n")},
			"bad.csv": {Data: []byte("class,gap\n2,1\n")},
		}, "w.yaml")
		require.ErrorContains(t, err, c.want)
	}
}

func TestFindWorkload(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	exp := file("my.exp", "1 28 fib 20 5006\n2 31 fib 26 5018\n3 28 fib 24 5006\n4 28 fib 2 5007\n")
	times := file("times.yaml", "times:\n  - {function: fib, n: 28, cpu: 100ms}\n  - {function: fib, n: 31, cpu: 215ms}\n")
	w, err := FindWorkload(experiments.Files, exp, times)
	require.NoError(t, err)
	require.Equal(t, "my", w.Name.V)
	classes := w.TraceClasses()
	require.Equal(t, trace.Class{Function: "fib", UID: "5006", Port: "5006", Group: "G2", N: 28, CPU: 100 * time.Millisecond, Share: 0.5}, classes[0])
	require.Equal(t, "G3", classes[1].Group)
	require.Equal(t, []trace.Row{{Class: 0, Gap: 20}, {Class: 1, Gap: 26}, {Class: 0, Gap: 24}, {Class: 2, Gap: 2}, {Class: 0, Gap: 20}}, w.Rows(5, 1))
	own := file("own.yaml", small)
	_, err = FindWorkload(experiments.Files, own, "")
	require.NoError(t, err)

	few := file("few.yaml", "times:\n  - {function: fib, n: 28, cpu: 100ms}\n")
	cut := file("cut.exp", "1 28 fib 20 5006\n2 31 fib 2")
	for _, c := range []struct{ name, times, want string }{
		{"huawie", "", `workload "huawie": no such file; allowed: alike, azure, bimodal, burst, cold, drift, fib15, flip, flood, huawei, once, pareto, pool, rare, swap, turncoat, zipf, or the path of a workload's YAML or of a trace`},
		{exp, "", "workload " + exp + ": a trace has no CPU times: give them by -times FILE.yaml"},
		{dir, "", `workload "` + dir + `": a directory; allowed: alike, azure, bimodal, burst, cold, drift, fib15, flip, flood, huawei, once, pareto, pool, rare, swap, turncoat, zipf, or the path of a workload's YAML or of a trace`},
		{dir, few, `workload "` + dir + `": a directory; allowed: alike, azure, bimodal, burst, cold, drift, fib15, flip, flood, huawei, once, pareto, pool, rare, swap, turncoat, zipf, or the path of a workload's YAML or of a trace`},
		{exp, few, exp + ":2: fib n=31 has no CPU time in " + few},
		{cut, times, cut + ":2: 4 fields: want id n function gap port"},
		{own, times, "workload " + own + ": it has CPU times of its own; -times is for a trace"},
		{exp, file("twice.yaml", "times:\n  - {function: fib, n: 28, cpu: 1ms}\n  - {function: fib, n: 28, cpu: 1ms}\n"),
			filepath.Join(dir, "twice.yaml") + ":3:16: times[1].function: fib n=28 is there twice"},
		{exp, file("zero.yaml", "times:\n  - {function: fib, n: 28}\n"), filepath.Join(dir, "zero.yaml") + ": times[0].cpu: 0s: allowed: 1ms to 1m"},
	} {
		_, err := FindWorkload(experiments.Files, c.name, c.times)
		require.EqualError(t, err, c.want)
	}
}

func FuzzWorkload(f *testing.F) {
	f.Add(small)
	f.Fuzz(func(t *testing.T, text string) {
		w, err := LoadWorkload(fstest.MapFS{"w.yaml": {Data: []byte(text)}}, "w.yaml")
		if err != nil {
			return
		}
		rows := w.Rows(50, 1)
		require.Len(t, rows, 50)
		for _, d := range w.Demands(rows, 1) {
			require.Positive(t, d)
		}
	})
}

func FuzzTimes(f *testing.F) {
	f.Add("times:\n  - {function: fib, n: 28, cpu: 100ms}\n")
	f.Fuzz(func(t *testing.T, text string) {
		cpu, err := readTimes("t.yaml", []byte(text))
		if err != nil {
			return
		}
		require.NotEmpty(t, cpu)
		for _, d := range cpu {
			require.Positive(t, d.V)
		}
	})
}
