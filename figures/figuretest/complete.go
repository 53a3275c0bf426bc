// SPDX-License-Identifier: Apache-2.0

package figuretest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/paper"
)

// Complete writes runs of all that the claims ask for.
func Complete(t *testing.T, root string) {
	t.Helper()
	Tables(t, root)
	for figure, at := range map[string]struct {
		load              float64
		workloads, series string
	}{
		"fig01": {0.9, "huawei azure", "cfs fifo rr sfs srpt"},
		"fig02": {0.9, "huawei", "cfs sfs srpt srpt-eb random random40"},
		"fig03": {0.9, "huawei", "srpt"},
		"fig06": {0.9, "huawei azure", "rr fifo cfs sfs alps alps-artifact srpt"},
		"fig07": {0.9, "huawei azure", "rr fifo cfs sfs alps alps-artifact srpt"},
		"fig08": {0.9, "huawei azure", "cfs alps alps-artifact"},
		"fig09": {0.8, "huawei", "both overload unpredictability none"},
		"fig10": {0.7, "huawei", "avg lr rf ewma"},
		"fig11": {0.7, "huawei", "5s 10s 15s 30s"},
		"fig12": {0.7, "huawei", "alpha-1 alpha-2 alpha-5 alpha-10"},
		"fig13": {0.7, "huawei", "beta-0.1 beta-1 beta-2 beta-5"},
		"fig14": {0.7, "huawei", "gamma-1 gamma-2 gamma-5 gamma-10"},
		"fig15": {0.9, "fib15", "cfs alps ghost-cfs ghost-alps"},
		"order": {0.9, "huawei azure", "off fifo strict bounded like-artifact"},
	} {
		var runs []results.Result
		for _, w := range strings.Fields(at.workloads) {
			for _, s := range strings.Fields(at.series) {
				runs = append(runs, Made(results.EngineSim, w, s, 1, 1), Made(results.EngineSim, w, s, 2, 1), Made(results.EngineSim, w, s, 3, 1))
			}
		}
		Shows(t, root, figure, at.load, runs...)
	}
	var series []results.Series
	for _, load := range []float64{0.8, 0.7} {
		for _, w := range []string{"huawei", "azure"} {
			for _, s := range []string{"cfs", "alps", paper.Artifact} {
				for round := 1; round <= 3; round++ {
					series = append(series, results.Series{Name: s, Workload: w, Load: load, Round: round, Key: Made(results.EngineSim, w, s, round, 1).Run.Key})
				}
			}
		}
	}
	require.NoError(t, results.WritePlan(root, results.EngineSim, "fig05", series))
}
