// SPDX-License-Identifier: Apache-2.0

package execute

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
)

func TestCompare(t *testing.T) {
	run := func(factor int64) results.Result {
		r := results.Result{Run: results.Run{Key: "cfs-r1-abc"}}
		for i := range 100 {
			r.Invocations = append(r.Invocations, results.Invocation{ID: i, Function: "fib", Group: results.Groups[i%2], Status: results.OK, EndNS: 1e6 * factor})
		}
		return r
	}
	var b bytes.Buffer
	require.NoError(t, compare(run(1000), run(1019), &b))
	require.Contains(t, b.String(), "cfs-r1-abc\tG1\t50\t1000.00\t1019.00\t+1.90 %\n")
	require.NotContains(t, b.String(), "G3", "nobody is in it")
	require.NoError(t, compare(run(1000), run(1000), &b))
	require.Contains(t, b.String(), "cfs-r1-abc\tG1\t50\t1000.00\t1000.00\tnone\n")
	require.ErrorContains(t, compare(run(1000), run(1021), &b), "the means of G1 differ by 2.1 %, more than 2 %")
	other := run(1000)
	other.Invocations[7].Function = "graphBfs"
	require.ErrorContains(t, compare(run(1000), other, &b), "different invocations")
	require.ErrorContains(t, compare(run(1000), results.Result{}, &b), "different invocations")
}
