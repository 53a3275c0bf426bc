// SPDX-License-Identifier: Apache-2.0

package config

import (
	"math"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat"

	"github.com/ds2-lab/alps/experiments"
)

func load(t *testing.T, text string) (Workload, error) {
	t.Helper()
	return LoadWorkload(fstest.MapFS{"w.yaml": {Data: []byte(text)}}, "w.yaml")
}

const oneClass = `name: one
gap: {distribution: exponential, mean: 25}
classes:
  - {function: f, uid: "1", port: "5001", group: G1, n: 1, count: 1, cpu: 40ms, times: {LAW}}
`

// The laws' means and second moments are those of the textbook.
func TestLaws(t *testing.T) {
	// The k-th moment of a Pareto distribution with exponent a on [1, h], in closed form.
	pareto := func(a, h, k float64) float64 {
		return a / (a - k) * (1 - math.Pow(h, k-a)) / (1 - math.Pow(h, -a))
	}
	for law, want := range map[string]struct{ mean, square float64 }{
		"law: exponential":                    {1, 2},
		"law: lognormal, shape: 0.5":          {1, math.Exp(0.25)},
		"law: pareto, shape: 6, max: 40s":     {pareto(6, 1000, 1), pareto(6, 1000, 2)},
		"law: pareto, shape: 1.3, max: 400ms": {pareto(1.3, 10, 1), pareto(1.3, 10, 2)},
		"law: pareto, shape: 0.9, max: 40s":   {pareto(0.9, 1000, 1), pareto(0.9, 1000, 2)},
	} {
		w, err := load(t, strings.ReplaceAll(oneClass, "LAW", law))
		require.NoError(t, err, law)
		require.True(t, w.Varies())
		var x, squares []float64
		for _, d := range w.Demands(w.Draw(200_000, 3), 3) {
			v := d.Seconds() / 0.040
			x, squares = append(x, v), append(squares, v*v)
			require.LessOrEqual(t, d, maxTime)
		}
		// Three standard errors of each, as measured.
		for _, c := range []struct {
			values []float64
			want   float64
		}{{x, want.mean}, {squares, want.square}} {
			mean, sd := stat.MeanStdDev(c.values, nil)
			require.InDelta(t, c.want, mean, 3*sd/math.Sqrt(float64(len(x))), law)
		}
	}
}

func TestFlipAndBatch(t *testing.T) {
	w, err := load(t, strings.ReplaceAll(oneClass, ", times: {LAW}", "")+"flip: {every: 10, n: 2, factor: 3}\n")
	require.NoError(t, err)
	for i, d := range w.Demands(w.Draw(40, 1), 1) {
		want := 40 * time.Millisecond
		if i/10%2 == 0 {
			want *= 3
		}
		require.Equal(t, want, d, "invocation %d", i)
	}
	p, err := FindWorkload(experiments.Files, "pareto", "")
	require.NoError(t, err)
	rows := p.Draw(30_000, 1)
	batches, gaps := 0, 0.0
	for i, r := range rows {
		gaps += r.Gap
		if r.Gap > 0 {
			batches++
		} else {
			require.Equal(t, rows[i-1].Class, r.Class, "a batch is of one function")
		}
	}
	require.InEpsilon(t, 6, 30_000/float64(batches), 0.05)
	require.InEpsilon(t, 25, gaps/30_000, 0.03, "the load stays")
}

func TestPopulation(t *testing.T) {
	z, err := FindWorkload(experiments.Files, "zipf", "")
	require.NoError(t, err)
	require.Len(t, z.Classes, 200)
	calls := map[int]int{}
	for _, r := range z.Draw(50_000, 1) {
		calls[r.Class]++
	}
	require.InEpsilon(t, 10, float64(calls[0])/float64(calls[9]), 0.1)
	for _, c := range z.Classes {
		require.GreaterOrEqual(t, c.CPU.V, 8*time.Millisecond)
		require.LessOrEqual(t, c.CPU.V, 3200*time.Millisecond)
	}
	c, err := FindWorkload(experiments.Files, "cold", "")
	require.NoError(t, err)
	known := 0
	seen := map[int]int{}
	for _, r := range c.Draw(3000, 1) {
		if r.Class < 8 {
			known++
		} else {
			seen[r.Class]++
		}
	}
	require.InDelta(t, 1200, known, 15)
	require.Greater(t, len(seen), 1000, "most are new")
}

func TestLawComplaints(t *testing.T) {
	for text, want := range map[string]string{
		strings.ReplaceAll(oneClass, "LAW", "law: gamma"):                                                                                            `w.yaml:4:94: classes[0].times.law: "gamma": allowed: exponential, pareto, lognormal`,
		strings.ReplaceAll(oneClass, "LAW", "law: pareto, shape: 0, max: 1s"):                                                                        "classes[0].times.shape: 0 is outside (0, 10]",
		strings.ReplaceAll(oneClass, "LAW", "law: pareto, shape: 1"):                                                                                 "classes[0].times.max: 0s is outside (cpu, 1m0s]",
		strings.ReplaceAll(oneClass, "LAW", "law: exponential, shape: 1"):                                                                            "classes[0].times.shape: not for exponential",
		strings.ReplaceAll(oneClass, "LAW", "law: exponential, max: 1s"):                                                                             "classes[0].times.max: only for pareto",
		strings.ReplaceAll(oneClass, ", times: {LAW}", "") + "flip: {every: 0, n: 1, factor: 1}\n":                                                   "flip.n: 1: allowed: 2 to 10000",
		strings.ReplaceAll(oneClass, "cpu: 40ms, times: {LAW}", "cpu: 1m, slow: {share: 0.1, factor: 100}") + "flip: {every: 1, n: 2, factor: 15}\n": "w.yaml:5:32: flip.factor: 15: an invocation of classes[0] may take 25 hours; at most 24 are allowed",
		strings.ReplaceAll(strings.ReplaceAll(oneClass, ", times: {LAW}", ""), "mean: 25", "mean: 25, batch: 0.5"):                                   "gap.batch: 0.5 is outside [1, 100]",
		"name: p\ngap: {distribution: poisson, mean: 1}\npopulation: {functions: 0, share: 0.5, frequency: often, from: 1s, to: 1ms}\n":              "population.functions: 0: allowed: 1 to 10000",
	} {
		_, err := load(t, text)
		require.ErrorContains(t, err, want)
	}
}
