package trace

import (
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

func counts(rows []Row) []int {
	n := make([]int, len(classes))
	for _, r := range rows {
		n[r.Class]++
	}
	return n
}

func TestGenerate(t *testing.T) {
	rows := Generate(classes, 1000, 25, 0, 1)
	require.Equal(t, []int{700, 290, 10}, counts(rows))
	require.Equal(t, rows, Generate(classes, 1000, 25, 0, 1))
	require.NotEqual(t, rows, Generate(classes, 1000, 25, 0, 2))
	require.Equal(t, []int{67, 29, 4}, counts(Generate(classes, 100, 25, 4, 1)), "rare ones are lifted")
	var gaps []float64
	for _, r := range Generate(classes, 15000, 25, 0, 1) {
		gaps = append(gaps, r.Gap)
	}
	mean, sd := stat.MeanStdDev(gaps, nil)
	require.InDelta(t, 25, mean, 0.2) // the file: 25.02
	require.InDelta(t, 5, sd, 0.1)    // the file: 4.99
}

func TestRead(t *testing.T) {
	rows, err := Read("t.exp", strings.NewReader("1 28 fib 20 5006\n\n2 35 fib 26.5 5021\n"), classes)
	require.NoError(t, err)
	require.Equal(t, []Row{{1, 20}, {2, 26.5}}, rows)
	for in, want := range map[string]string{
		"1 28 fib 20\n":                       "t.exp:1: 4 fields: want id n function gap port",
		"1 28 fib 20 5006\n2 x fib 20 5006\n": `t.exp:2: n: "x" is not a number`,
		"1 28 fib -1 5006\n":                  `t.exp:1: gap: "-1" is not a number ≥ 0`,
		"1 28 fib NaN 5006\n":                 `t.exp:1: gap: "NaN" is not a number ≥ 0`,
		"1 29 fib 20 5006\n":                  "t.exp:1: the workload has no class fib n=29 port 5006",
		"":                                    "t.exp: no rows",
	} {
		_, err := Read("t.exp", strings.NewReader(in), classes)
		require.EqualError(t, err, want)
	}
}

func TestScaleGivesTheLoad(t *testing.T) {
	rows := Generate(classes, 500, 25, 0, 3)
	demand := []time.Duration{40 * time.Millisecond, 100 * time.Millisecond, 2 * time.Second}
	for _, load := range []float64{0.5, 0.9, 1.1} {
		for _, cpus := range []int{1, 23} {
			due := Scale(rows, demand, load, cpus)
			var work time.Duration
			for i, r := range rows {
				work += demand[r.Class]
				if i > 0 {
					require.GreaterOrEqual(t, due[i], due[i-1])
				}
			}
			require.Zero(t, due[0])
			last := due[len(due)-1]
			span := last + last/time.Duration(len(due)-1)
			require.InEpsilon(t, load, float64(work)/float64(span)/float64(cpus), 1e-6)
		}
	}
	require.Equal(t, []time.Duration{0}, Scale([]Row{{}}, demand, 1, 1))
}

func FuzzRead(f *testing.F) {
	f.Add("1 28 fib 20 5006\n2 35 fib 26 5021\n")
	f.Fuzz(func(t *testing.T, in string) {
		rows, err := Read("t", strings.NewReader(in), classes)
		if err != nil {
			require.Nil(t, rows)
			return
		}
		for _, r := range rows {
			require.True(t, r.Gap >= 0 && r.Class < len(classes))
		}
	})
}
