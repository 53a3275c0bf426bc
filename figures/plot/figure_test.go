// SPDX-License-Identifier: Apache-2.0

package plot

import (
	"fmt"
	"image/color"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/recorder"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/figuretest"
	"github.com/ds2-lab/alps/figures/format"
	"github.com/ds2-lab/alps/figures/paper"
	"github.com/ds2-lab/alps/figures/stats"
)

func TestPercentilesAreHonest(t *testing.T) {
	ref, err := paper.NewReference()
	require.NoError(t, err)
	laneOf := func(rounds ...results.Result) lane {
		var ds []stats.Distribution
		for _, r := range rounds {
			ds = append(ds, dataset.Measure(dataset.Turnaround, "G1", r, nil))
		}
		where := paper.Position{Figure: "fig06", Workload: "huawei", LoadPct: 90, Group: "G1", Series: "cfs"}
		return lane{position: where, dist: stats.Pool(ds), paper: dataset.PaperNumbers(ref, where, dataset.Turnaround)}
	}
	one := laneOf(figuretest.VM("cfs", 1, 2))
	require.Contains(t, barStats(one), "max", "150 samples have no 99th percentile")
	require.NotContains(t, Figure{Kind: barRows}.stats(one), "p99", "nor is there one for the paper's sake")
	require.Equal(t, "", format.Fixed(one.paperOf("max"), 1), "a maximum is not compared with the paper's percentile")
	require.Contains(t, Figure{Kind: barRows}.stats(one), "p90")
	few := stats.New([]stats.Sample{{Value: 1, Count: 12}}, 0)
	require.True(t, few.Has("p75") && few.Has("mean") && few.Has("max"))
	require.False(t, few.Has("p90"), "one in twelve is no ninetieth percentile")
	two := laneOf(figuretest.VM("cfs", 1, 2), figuretest.VM("cfs", 2, 2))
	require.Contains(t, barStats(two), "p99")
	require.EqualValues(t, 300, two.dist.N())
	require.InDelta(t, 521.2, two.paperOf("p99"), 1e-9)
}

// A lane with enough samples for a p99 has no bar above "max", nor the other way round, whichever comes first.
func TestEveryBarStandsAboveItsLabel(t *testing.T) {
	of := func(n int) lane {
		values := make([]float64, n)
		for i := range values {
			values[i] = float64(i + 1)
		}
		return lane{legend: fmt.Sprint(n), position: paper.Position{Group: results.All}, dist: stats.Of(values)}
	}
	few, many, none := of(199), of(200), of(0)
	require.Equal(t, []string{"p50", "p75", "p90", "p99", "mean"}, barLabels([]lane{none, many}))
	require.Equal(t, []string{"p50", "p75", "p90", "max", "mean"}, barLabels([]lane{few, few}))
	require.Equal(t, barStats(none), barLabels([]lane{none}))
	for _, lanes := range [][]lane{{few, many}, {many, few}} {
		require.Equal(t, []string{"p50", "p75", "p90", "p99", "max", "mean"}, barLabels(lanes))
		q, err := Figure{Kind: barRows}.plot(Panel{title: "t", lanes: lanes}, nil)
		require.NoError(t, err)
		require.Equal(t, "t (n = 199–200)", q.Title.Text)
		marks := &Marks{}
		q, err = Figure{Kind: barRows}.plot(Panel{lanes: lanes}, marks)
		require.NoError(t, err)
		q.Draw(draw.NewCanvas(&recorder.Canvas{}, 20*vg.Centimeter, 10*vg.Centimeter))
		at := map[string]vg.Length{}
		for _, m := range *marks {
			at[m.Text] = m.X
		}
		require.Len(t, at, 10, "five bars of each, and no other")
		require.Less(t, at["200: p90 180 ms"], at["200: p99 198 ms"])
		require.Less(t, at["200: p99 198 ms"], at["199: max 199 ms"])
		require.Less(t, at["199: max 199 ms"], at["200: mean 100 ms"])
	}
}

// The series of Fig 6 differ in brightness and in dashes, so that a grey copy can be read, and the colour-blind can
// tell them apart.
func TestStylesDiffer(t *testing.T) {
	seven := []string{"rr", "fifo", "cfs", "sfs", "alps", paper.Artifact, "srpt"}
	seen := map[string]string{}
	for i, a := range seven {
		for _, b := range seven[:i] {
			d := brightness(styles[a].colour) - brightness(styles[b].colour)
			require.Greater(t, d*d, 64.0, "%s and %s", a, b)
		}
		d := fmt.Sprint(styles[a].dashes)
		require.Empty(t, seen[d], "%s has the dashes of", a)
		seen[d] = a
	}
	require.Equal(t, styles["fifo"], styleOf("fifo", "fifo", 3))
	require.NotEqual(t, styles["fifo"], styleOf("fifo", "alps", 1), "an order of ALPS")
}

// brightness is CIE L*, 0 to 100.
func brightness(c color.RGBA) float64 {
	linear := func(v uint8) float64 {
		x := float64(v) / 255
		if x <= 0.04045 {
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	y := 0.2126*linear(c.R) + 0.7152*linear(c.G) + 0.0722*linear(c.B)
	if y <= 0.008856 {
		return 903.3 * y
	}
	return 116*math.Cbrt(y) - 16
}
