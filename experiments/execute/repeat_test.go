// SPDX-License-Identifier: Apache-2.0

package execute

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/progress"
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

// A repetition that was interrupted goes on. One that came to its end has nothing to go
// on with, and begins anew: else it would compare the same results for ever.
func TestRepeatRunsAnew(t *testing.T) {
	var log bytes.Buffer
	made, atMost := 0, 100
	r := repetition{experiments: []string{"a"}, dirs: [2]string{t.TempDir(), t.TempDir()}, progress: progress.New(&log)}
	r.run = func(_ context.Context, dir string) error { // as Run does
		unlock, err := results.Lock(dir)
		if err != nil {
			return err
		}
		defer unlock()
		var shown []results.Series
		for _, key := range []string{"cfs", "alps"} {
			shown = append(shown, results.Series{Name: key, Key: key}, results.Series{Name: key + " again", Key: key})
			if old, err := results.ReadRun(results.Dir(dir, results.EngineVM, key)); err == nil && old.Valid {
				continue
			}
			if made++; made > atMost {
				return errors.New("interrupted")
			}
			run := results.Run{Key: key, Engine: results.EngineVM, Errors: []string{}}
			run.Judge()
			invocations := []results.Invocation{{ID: 1, Function: "fib", Group: "G1", EndNS: int64(1e6), Status: results.OK}}
			if err := results.Write(results.Dir(dir, results.EngineVM, key), results.Result{Run: run, Invocations: invocations}); err != nil {
				return err
			}
		}
		return results.WritePlan(dir, results.EngineVM, "a", shown)
	}
	atMost = 3
	require.EqualError(t, r.do(t.Context(), io.Discard), "interrupted")
	made, atMost = 0, 100
	var out bytes.Buffer
	require.NoError(t, r.do(t.Context(), &out))
	require.Equal(t, 1, made, "the others are kept")
	require.Equal(t, 1, bytes.Count(out.Bytes(), []byte("alps  G1 ")), "once, though it is shown twice: %s", out.String())
	require.NotContains(t, log.String(), "anew")

	made = 0
	require.NoError(t, r.do(t.Context(), io.Discard))
	require.Equal(t, 4, made)
	require.Contains(t, log.String(), "both results of all 2 runs were there already: all are made anew")
}
