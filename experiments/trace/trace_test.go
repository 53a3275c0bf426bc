// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat"
)

var classes = []Class{
	{Function: "fib", Port: "5002", N: 23, Share: 0.7},
	{Function: "fib", Port: "5006", N: 28, Share: 0.29},
	{Function: "fib", Port: "5021", N: 35, Share: 0.01},
}

var gap = Gap{Distribution: Poisson, Mean: 25}

func counts(rows []Row) []int {
	n := make([]int, len(classes))
	for _, r := range rows {
		n[r.Class]++
	}
	return n
}

func TestGenerate(t *testing.T) {
	rows := Generate(classes, 1000, gap, 0, 1)
	require.Equal(t, []int{700, 290, 10}, counts(rows))
	require.Equal(t, rows, Generate(classes, 1000, gap, 0, 1))
	require.NotEqual(t, rows, Generate(classes, 1000, gap, 0, 2))
	require.Equal(t, []int{67, 29, 4}, counts(Generate(classes, 100, gap, 4, 1)), "rare ones are lifted")
	var gaps []float64
	for _, r := range Generate(classes, 15000, gap, 0, 1) {
		gaps = append(gaps, r.Gap)
	}
	mean, sd := stat.MeanStdDev(gaps, nil)
	require.InDelta(t, 25, mean, 0.2) // the file: 25.02
	require.InDelta(t, 5, sd, 0.1)    // the file: 4.99
	gaps = nil
	for _, r := range Generate(classes, 15000, Gap{Distribution: Exponential, Mean: 15}, 0, 1) {
		gaps = append(gaps, r.Gap)
	}
	mean, sd = stat.MeanStdDev(gaps, nil)
	require.InDelta(t, 15, mean, 0.5)
	require.InDelta(t, 15, sd, 0.5)
}

func TestRepeat(t *testing.T) {
	rows := []Row{{0, 1}, {1, 2}, {2, 3}}
	require.Equal(t, []Row{{0, 1}, {1, 2}}, Repeat(rows, 2))
	require.Equal(t, []Row{{0, 1}, {1, 2}, {2, 3}, {0, 1}}, Repeat(rows, 4))
}

func TestReorder(t *testing.T) {
	rows := Generate(classes, 1000, gap, 0, 1)
	for i := range rows {
		rows[i].Gap = float64(i)
	}
	again := Reorder(rows, 2500, 7)
	require.Equal(t, again, Reorder(rows, 2500, 7))
	require.NotEqual(t, again, Reorder(rows, 2500, 8))
	require.Equal(t, counts(rows), counts(again[:1000]), "each time all of them")
	require.NotEqual(t, again[:1000], again[1000:2000], "shuffled anew")
	require.NotEqual(t, rows, again[:1000])
	together := 0
	for i := range 999 {
		at := slices.Index(again[:1000], rows[i])
		if at < 999 && again[at+1] == rows[i+1] && i%100 != 99 {
			together++
		}
	}
	require.Equal(t, 990, together, "neighbours, but at the ends of ten blocks")
	require.Equal(t, rows[:3], Reorder(rows[:3], 3, 7), "one block has one order")
}

func TestReadArtifact(t *testing.T) {
	rows, err := ReadArtifact("t.exp", strings.NewReader("1 28 fib 20 5006\n\n2 35 fib 26.5 5021\n"))
	require.NoError(t, err)
	require.Equal(t, []Entry{{28, "fib", 20, "5006", 1}, {35, "fib", 26.5, "5021", 3}}, rows)
	for in, want := range map[string]string{
		"1 28 fib 20\n":                        "t.exp:1: 4 fields: want id n function gap port",
		"1 28 fib 20 5006\n2 x fib 20 5006\n":  `t.exp:2: n: "x" is not a number`,
		"1 28 fib 20 5006\n3 28 fib 20 5006\n": `t.exp:2: id: "3": want 2, for ids count the rows`,
		"1 28 fib -1 5006\n":                   `t.exp:1: gap: "-1" is outside [0, 1e+09]`,
		"1 28 fib NaN 5006\n":                  `t.exp:1: gap: "NaN" is outside [0, 1e+09]`,
		"":                                     "t.exp: no rows",
	} {
		_, err := ReadArtifact("t.exp", strings.NewReader(in))
		require.EqualError(t, err, want)
	}
}

func TestRead(t *testing.T) {
	rows, err := Read("t.csv", strings.NewReader("# where from\nclass,gap\n1,20\n0,26.5\n"), 2)
	require.NoError(t, err)
	require.Equal(t, []Row{{1, 20}, {0, 26.5}}, rows)
	for in, want := range map[string]string{
		"1,20\n":              `t.csv:1: "1,20": want the header class,gap`,
		"class,gap\n2,20\n":   `t.csv:2: class: "2": allowed: 0 to 1`,
		"class,gap\n-1,20\n":  `t.csv:2: class: "-1": allowed: 0 to 1`,
		"class,gap\n1,2\n0\n": `t.csv:3: "0": want class,gap`,
		"class,gap\n1,\n":     `t.csv:2: gap: "" is outside [0, 1e+09]`,
		"class,gap\n":         "t.csv: no rows",
	} {
		_, err := Read("t.csv", strings.NewReader(in), 2)
		require.EqualError(t, err, want)
	}
}

func TestScaleGivesTheLoad(t *testing.T) {
	rows := Generate(classes, 500, gap, 0, 3)
	var demand []time.Duration
	var work time.Duration
	for _, r := range rows {
		d := []time.Duration{40 * time.Millisecond, 100 * time.Millisecond, 2 * time.Second}[r.Class]
		demand = append(demand, d)
		work += d
	}
	for _, load := range []float64{0.5, 0.9, 1.1} {
		for _, cpus := range []int{1, 23} {
			due := Scale(rows, demand, load, cpus)
			require.Zero(t, due[0])
			require.IsNonDecreasing(t, due)
			require.InEpsilon(t, load, float64(work)/float64(Span(due))/float64(cpus), 1e-6)
		}
	}
	require.Equal(t, []time.Duration{0}, Scale([]Row{{}}, demand[:1], 1, 1))
}

func FuzzRead(f *testing.F) {
	f.Add("# c\nclass,gap\n1,20\n0,26.5\n")
	f.Fuzz(func(t *testing.T, in string) {
		rows, err := Read("t", strings.NewReader(in), len(classes))
		if err != nil {
			require.Nil(t, rows)
			return
		}
		demand := make([]time.Duration, len(rows))
		for i, r := range rows {
			require.True(t, r.Gap >= 0 && r.Class >= 0 && r.Class < len(classes))
			demand[i] = time.Millisecond
		}
		require.IsNonDecreasing(t, append(Scale(rows, demand, 0.9, 2), time.Hour))
	})
}

func FuzzReadArtifact(f *testing.F) {
	f.Add("1 28 fib 20 5006\n2 35 fib 26 5021\n")
	f.Fuzz(func(t *testing.T, in string) {
		rows, err := ReadArtifact("t", strings.NewReader(in))
		if err != nil {
			require.Nil(t, rows)
			return
		}
		for _, r := range rows {
			require.True(t, r.Gap >= 0 && r.Function != "" && r.Port != "")
		}
	})
}

// The artifact's client sleeps int(k × gap) ms, as for a gap of 25: 5 ms at 90 %.
func TestArtifactSendsAsItsClientDoes(t *testing.T) {
	rows := []Row{{Gap: 9}, {Gap: 25}, {Gap: 37}, {Gap: 100}}
	ms := func(x float64) time.Duration { return time.Duration(x * float64(time.Millisecond)) }
	require.Equal(t, []time.Duration{0, ms(5.5), ms(5.5 + 7.5), ms(13 + 21.5)}, Artifact(rows, 0.21, 0.9, 24))
	require.Equal(t, []time.Duration{0, ms(33), ms(33 + 45), ms(78 + 129)}, Artifact(rows, 0.21, 0.9, 4), "fewer CPUs, all times longer alike")
	require.Equal(t, ms(6.5+9.5+27.5), Artifact(rows, 0.21, 0.7, 24)[3], "0.27 × 100 is 27, not 26")
	require.Equal(t, ms(6.5+8.5+24.5), Artifact(rows, 0.21, 0.8, 24)[3], "0.24 × 100 is 24, not 23")
	require.True(t, ArtifactHas(0.8))
	require.False(t, ArtifactHas(0.85))
}
