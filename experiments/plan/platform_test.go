// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/pagetest"
)

// docs/findings.md and README say of two platforms what the published runs say.
func TestThePagesSayWhatThePlatformsRunsSay(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, Restore(filepath.Join("..", "..", "docs", "runs"), root, nil))
	percent := func(a, b float64) string {
		return strings.Replace(fmt.Sprintf("%+.0f %%", 100*(b/a-1)), "-", "−", 1)
	}
	// of is a group's summary under cfs and alps-artifact.
	of := func(experiment, code, group string) (both [2]results.Summary) {
		series, err := results.ReadPlan(root, results.EngineVM, experiment)
		require.NoError(t, err)
		for n, name := range []string{"cfs", "alps-artifact"} {
			i := slices.IndexFunc(series, func(s results.Series) bool { return s.Name == name })
			require.GreaterOrEqual(t, i, 0, name)
			r := series[i].Result
			require.True(t, r.Run.Valid)
			require.Len(t, r.Invocations, 5000)
			require.Equal(t, 24, r.Run.FunctionCPUs)
			require.Contains(t, r.Run.Revision, code)
			summaries := results.Summarize(r.Invocations)
			both[n] = summaries[slices.IndexFunc(summaries, func(s results.Summary) bool { return s.Group == group })]
		}
		return both
	}
	row := func(name, experiment, code string) (ofMean, ofRequest string) {
		s := of(experiment, code, results.All)
		ofMean, ofRequest = percent(s[0].Mean, s[1].Mean), percent(s[0].EndToEnd, s[1].EndToEnd)
		pagetest.Says(t, "docs/findings.md", fmt.Sprintf("| measured, %s (code %s) | %.0f | %.0f | %s | %.0f | %.0f | %s |", name, code,
			s[0].Mean, s[1].Mean, ofMean, s[0].EndToEnd, s[1].EndToEnd, ofRequest))
		return ofMean, ofRequest
	}
	row("one request after the other", "platform-serial", "f40ef82")
	ofMean, ofRequest := row("beside each other", "platform-parallel", "45b5cb6")
	pagetest.Says(t, "README.md", fmt.Sprintf("it is %s, and %s from the request", ofMean, ofRequest))
	short, long := of("platform-parallel", "45b5cb6", "G1"), of("platform-parallel", "45b5cb6", "G4")
	pagetest.Says(t, "docs/findings.md", fmt.Sprintf("the median of G1 is %.0f ms under CFS and %.0f ms under ALPS", short[0].P50, short[1].P50))
	pagetest.Says(t, "docs/findings.md", fmt.Sprintf("of G4 %.0f and %.0f ms", long[0].P50, long[1].P50))
}
