// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments"
	"github.com/ds2-lab/alps/experiments/trace"
)

const like = `name: other
like: w.yaml
burst: {from: 0.25, to: 0.5, factor: 4}
drift:
  at: 0.5
  to:
    - {uid: "6", n: 31, group: G3, cpu: 300ms}
`

func TestLikeAnother(t *testing.T) {
	files := fstest.MapFS{
		"d/w.yaml":    {Data: []byte(strings.Replace(small, "spread: 0.1", "trace: t.csv", 1))},
		"d/t.csv":     {Data: []byte("class,gap\n0,8\n1,8\n")},
		"d/like.yaml": {Data: []byte(like)},
	}
	w, err := LoadWorkload(files, "d/w.yaml")
	require.NoError(t, err)
	o, err := LoadWorkload(files, "d/like.yaml")
	require.NoError(t, err)
	require.Equal(t, "other", o.Name.V)
	require.Equal(t, w.Classes, o.Classes)

	// The trace's own sequence: a quarter comes faster, the second half is another call of uid 6.
	require.Equal(t, []trace.Row{{Class: 0, Gap: 8}, {Class: 1, Gap: 8}, {Class: 0, Gap: 2}, {Class: 1, Gap: 2},
		{Class: 0, Gap: 8}, {Class: 2, Gap: 8}, {Class: 0, Gap: 8}, {Class: 2, Gap: 8}}, o.Rows(8, 1))
	require.Equal(t, []trace.Row{{Class: 0, Gap: 8}, {Class: 1, Gap: 8}}, w.Rows(2, 1), "the other's trace is left alone")

	classes := o.TraceClasses()
	require.Equal(t, w.TraceClasses(), classes[:2])
	require.Equal(t, trace.Class{Function: "fib", UID: "6", Port: "5006", Group: "G3", N: 31, CPU: 300 * time.Millisecond}, classes[2])
	slow := 0
	for _, d := range o.Demands(sameClass(2, 1000), 1) {
		require.Contains(t, []time.Duration{300 * time.Millisecond, 600 * time.Millisecond}, d, "the slow share is the function's")
		if d > 300*time.Millisecond {
			slow++
		}
	}
	require.InDelta(t, 250, slow, 60)
}

// sameClass is n rows of one class.
func sameClass(class, n int) []trace.Row {
	rows := make([]trace.Row, n)
	for i := range rows {
		rows[i].Class = class
	}
	return rows
}

// Rows that are generated have burst and drift as those of a trace, and are
// otherwise those of the workload without.
func TestShapeOfGeneratedRows(t *testing.T) {
	files := fstest.MapFS{"w.yaml": {Data: []byte(small)}, "like.yaml": {Data: []byte(like)}}
	w, err := LoadWorkload(files, "w.yaml")
	require.NoError(t, err)
	o, err := LoadWorkload(files, "like.yaml")
	require.NoError(t, err)
	plain, rows := w.generate(100, 2, 7), o.generate(100, 2, 7)
	drifted := 0
	for i := range rows {
		gap, class := plain[i].Gap, plain[i].Class
		if i >= 25 && i < 50 {
			gap /= 4
		}
		if i >= 50 && class == 1 {
			class = 2
			drifted++
		}
		require.Equal(t, trace.Row{Class: class, Gap: gap}, rows[i], "row %d", i)
	}
	require.NotZero(t, drifted)
	require.Equal(t, rows, o.generate(100, 2, 7))
}

// The repository's workloads drift, burst and rare are as their files say.
func TestShapes(t *testing.T) {
	mean := func(w Workload, rows []trace.Row) float64 {
		sum := time.Duration(0)
		for _, d := range w.Demands(rows, 1) {
			sum += d
		}
		return sum.Seconds() / float64(len(rows))
	}
	w, err := FindWorkload(experiments.Files, "drift", "")
	require.NoError(t, err)
	rows := w.Rows(15000, 1)
	require.InEpsilon(t, mean(w, rows[:7500]), mean(w, rows[7500:]), 0.06, "the load stays")

	w, err = FindWorkload(experiments.Files, "burst", "")
	require.NoError(t, err)
	rows = w.Rows(6000, 1)
	due := trace.Scale(rows, w.Demands(rows, 1), 0.6, 24)
	load := func(from, to int) float64 {
		return mean(w, rows[from:to]) * float64(to-from) / (due[to] - due[from]).Seconds() / 24
	}
	require.InDelta(t, 0.5, load(0, 2400), 0.02)
	require.InDelta(t, 1.5, load(2400, 3899), 0.06)
	require.InDelta(t, 0.5, load(3900, 5999), 0.02)

	w, err = FindWorkload(experiments.Files, "rare", "")
	require.NoError(t, err)
	short := w.Classes[0].CPU.V.Seconds() * 99
	require.InDelta(t, 0.78, short/(short+w.Classes[1].CPU.V.Seconds()), 0.005)
}

func TestShapeComplaints(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"name: other", "name: other\nspread: 0.1", `like.yaml:3:7: like: beside it only name, burst and drift are allowed; the rest is w.yaml's`},
		{"like: w.yaml", "like: like.yaml", `like.yaml:2:7: like: "like.yaml": another is like this one; let it name that`},
		{"like: w.yaml", "like: none.yaml", `like.yaml:2:7: like: workload: open none.yaml: file does not exist: give the path of a workload's YAML, relative to .`},
		{"like: w.yaml", "like: bad.yaml", `bad.yaml:2:9: spread: 0.5 is outside [0, 0.3]`},
		{"from: 0.25", "from: -1", "like.yaml:3:15: burst.from: -1 is outside [0, 1)"},
		{"to: 0.5", "to: 0.2", "like.yaml:3:25: burst.to: 0.2 is outside (from, 1]"},
		{"factor: 4", "factor: 0.5", "like.yaml:3:38: burst.factor: 0.5 is outside (1, 100]"},
		{"at: 0.5", "at: 1", "like.yaml:5:7: drift.at: 1 is outside (0, 1)"},
		{`uid: "6"`, `uid: "7"`, `like.yaml:7:13: drift.to[0].uid: "7": no class has it`},
		{"cpu: 300ms}", "cpu: 300ms}\n    - {uid: \"6\", n: 30, group: G3, cpu: 200ms}", `like.yaml:8:13: drift.to[1].uid: "6" is there twice`},
		{"G3", "G5", `like.yaml:7:32: drift.to[0].group: "G5": allowed: G1, G2, G3, G4`},
		{"300ms", "2m", "like.yaml:7:41: drift.to[0].cpu: 2m0s: allowed: 1ms to 1m"},
		{"drift:", "drift: {at: 0.5}\nburst2:", "like.yaml:5:1: burst2: no such key"},
	} {
		_, err := LoadWorkload(fstest.MapFS{
			"w.yaml":    {Data: []byte(small)},
			"bad.yaml":  {Data: []byte(strings.Replace(small, "0.1", "0.5", 1))},
			"like.yaml": {Data: []byte(strings.Replace(like, c.old, c.new, 1))},
		}, "like.yaml")
		require.ErrorContains(t, err, c.want)
	}
	_, err := LoadWorkload(fstest.MapFS{"w.yaml": {Data: []byte(small + "drift: {at: 0.5}\n")}}, "w.yaml")
	require.ErrorContains(t, err, "w.yaml:7:13: drift.to: missing; give at least one function")
}

// The counts of classes beside a population are multiplied once the other file was
// checked; they are not checked again.
func TestLikeOneWithAPopulation(t *testing.T) {
	w, err := LoadWorkload(fstest.MapFS{
		"w.yaml":    {Data: []byte(strings.ReplaceAll(small, "count: 1", "count: 10001") + "population: {functions: 3, share: 0.5, frequency: equal, from: 4ms, to: 1s, seed: 7}\n")},
		"like.yaml": {Data: []byte(like)},
	}, "like.yaml")
	require.NoError(t, err)
	require.Len(t, w.Classes, 2+3)
	require.Equal(t, "other", w.Name.V)
}
