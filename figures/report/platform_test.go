// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/plan"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/format"
	"github.com/ds2-lab/alps/figures/paper"
	"github.com/ds2-lab/alps/figures/stats"
	"github.com/ds2-lab/alps/internal/pagetest"
)

// docs/findings.md and README say of runs with two platforms what the published runs say.
func TestThePagesSayWhatThePlatformsRunsSay(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, plan.Restore(filepath.Join("..", "..", "docs", "runs"), root, nil))
	l := dataset.NewLibrary(root)
	// of is the set of an experiment's runs, and a series's position in it.
	of := func(experiment, series, group string) (*dataset.Set, paper.Position) {
		set, err := l.Figure(experiment, results.EngineVM)
		require.NoError(t, err)
		return set, paper.Position{Figure: experiment, Workload: "huawei", LoadPct: 90, Group: group, Series: series}
	}
	mean := func(experiment, series, measure string) (value float64, draws []float64) {
		set, at := of(experiment, series, results.All)
		draws, err := l.Redraw(set, at, dataset.JoinStat(measure, "mean"))
		require.NoError(t, err)
		return l.Distribution(set, at, measure).Mean(), draws
	}
	changes, waits, means := map[string]string{}, map[string]string{}, map[string]string{}
	for _, x := range []struct{ platform, experiment, series, code, base string }{
		{"one after the other", "platform-serial", "cfs", "f40ef82ee093+", ""},
		{"one after the other", "platform-serial", "alps-artifact", "f40ef82ee093+", "platform-serial"},
		{"beside each other", "platform-parallel", "cfs", "45b5cb6dfab2", ""},
		{"beside each other", "platform-parallel", "alps-artifact", "45b5cb6dfab2", "platform-parallel"},
		{"beside each other", "platform-rank", "alps", "a84abda506fc", "platform-parallel"},
		{"beside each other", "platform-rank", "steady", "a84abda506fc", "platform-parallel"},
		{"beside each other", "platform-server", "steady", "d63b4796b5cd", "platform-parallel"}, // its server goes first
		{"beside each other", "platform-lately", "cfs", "11fbe3b97091", ""},
		{"beside each other", "platform-habit", "steady", "805ec0f0872a", "platform-lately"},  // if it uses little by all its sleeps, or by the last ones
		{"beside each other", "platform-lately", "steady", "11fbe3b97091", "platform-lately"}, // by the last ones
		{"beside each other", "platform-wake", "cfs", "8f877f226274", ""},
		{"beside each other", "platform-wake", "steady", "8f877f226274", "platform-wake"}, // whenever a thread wakes
		{"beside each other", "platform-scx", "eevdf", "b93a8e714b82+", ""},
		{"beside each other", "platform-scx", "steady-scx", "74f960702a4d+", "platform-scx"},
	} {
		set, at := of(x.experiment, x.series, results.All)
		i := slices.IndexFunc(set.Series, func(s results.Series) bool { return dataset.IsOf(s, at, x.series) })
		require.GreaterOrEqual(t, i, 0, x.series)
		r := set.Series[i].Result.Run
		require.True(t, r.Valid)
		invocations, base := 5000, "cfs"
		if x.experiment == "platform-scx" {
			invocations, base = 2000, "eevdf"
		}
		require.Equal(t, invocations, r.Invocations)
		require.Equal(t, 24, r.FunctionCPUs)
		require.Equal(t, x.code, r.Revision)
		first, last := waitsBefore(set.Series[i].Result.Invocations)
		waits[x.experiment+" "+x.series] = fmt.Sprintf("%.0f ms in its first three seconds and %.0f ms in its last", first, last)
		row := fmt.Sprintf("| %s | %s | %s |", x.platform, x.series, x.code)
		for _, measure := range []string{dataset.Turnaround, dataset.FromRequest} {
			value, draws := mean(x.experiment, x.series, measure)
			means[x.experiment+" "+x.series+" "+measure] = fmt.Sprintf("%.0f", value)
			row += fmt.Sprintf(" %.0f |", value)
			if x.base == "" {
				row += " |"
				continue
			}
			without, withoutDraws := mean(x.base, base, measure)
			m := stats.RatioMiddle95(draws, withoutDraws)
			require.False(t, math.IsNaN(m.Lo))
			change := format.SignedChange(value / without)
			changes[x.series+" "+measure] = change // of the later platform
			row += fmt.Sprintf(" %s%s |", change, format.Interval(m.Lo, m.Hi, 1))
		}
		t.Log(row)
		pagetest.Says(t, "docs/findings.md", row)
	}
	pagetest.Says(t, "README.md", fmt.Sprintf("On a stock kernel (7.3), by sched_ext, `steady` is %s from the request against EEVDF: one run of 2,000 invocations, 24 CPUs", changes["steady-scx "+dataset.FromRequest]))
	for _, experiment := range []string{"platform-lately", "platform-wake"} {
		pagetest.Says(t, "docs/findings.md", waits[experiment+" steady"])
	}
	pagetest.Says(t, "docs/findings.md", "under CFS "+waits["platform-wake cfs"])
	pagetest.Says(t, "docs/findings.md",
		fmt.Sprintf("was %s ms then in place of %s.", means["platform-serial alps-artifact "+dataset.FromRequest], means["platform-parallel alps-artifact "+dataset.FromRequest]),
		fmt.Sprintf("with the same seed: %s, %s and %s ms.", means["platform-parallel cfs "+dataset.Turnaround], means["platform-lately cfs "+dataset.Turnaround], means["platform-wake cfs "+dataset.Turnaround]))
}

// waitsBefore are the mean times from a request to its process, in ms, of the requests of a run's first three
// seconds and of its last.
func waitsBefore(invocations []results.Invocation) (first, last float64) {
	begin, end := int64(math.MaxInt64), int64(0)
	for _, v := range invocations {
		begin, end = min(begin, v.SendNS), max(end, v.SendNS)
	}
	const span = 3e9
	mean := func(from, to int64) float64 {
		var sum, n float64
		for _, v := range invocations {
			if v.Status == results.OK && v.SendNS >= from && v.SendNS <= to {
				sum += float64(v.ArriveNS - v.SendNS)
				n++
			}
		}
		return sum / n / 1e6
	}
	return mean(begin, begin+span), mean(end-span, end)
}
