// SPDX-License-Identifier: Apache-2.0

package paper

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPaperNumbers(t *testing.T) {
	paper, err := NewReference()
	require.NoError(t, err)
	curves := 0
	for at, numbers := range paper {
		if !numbers[0].OfCurve() {
			continue
		}
		curves++
		require.Len(t, numbers, 24)
		last := 0.0
		for _, n := range numbers {
			require.GreaterOrEqual(t, n.Value, last, "%v", at)
			last = n.Value
			require.Regexp(t, `^p\d+(\.5)?$`, n.Stat, "as our own percentiles are named")
		}
		// At 90 % load Fig 5 and Fig 6 plot the same runs.
		if at.LoadPct == BarsLoad {
			p50 := numbers[10]
			require.Equal(t, "p50", p50.Stat)
			at.Figure = Bars
			require.Equal(t, "p50", paper[at][0].Stat)
			require.InEpsilon(t, paper[at][0].Value, p50.Value, 0.06, "%v", at)
		}
	}
	require.Equal(t, 96, curves)
}
