// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/alps/trial"
	"github.com/ds2-lab/alps/internal/clock"
)

// A trial of the daemon itself finds in its status the modes that it asked for, so that every
// period counts, and leaves it with the mode of before, whatever that is.
func TestTrialOfTheDaemon(t *testing.T) {
	params, alps := policy.DefaultSteady(), policy.Paper()
	params.Memory, alps.Window = 9, 3*time.Second
	for name, before := range map[string]client.Mode{
		"steady": {Policy: "steady", Steady: &params, FullSlices: true}, "alps": {Policy: "alps", Order: "fifo", Step: "3s", Params: &alps},
		"bare": {Policy: "alps"}, "cfs": {Policy: "cfs"}, "manual": {Policy: "manual", Order: "strict"},
	} {
		t.Run(name, func(t *testing.T) {
			d, _, c := startDaemon(t, before)
			add(t, d, client.Function{UID: "a", Name: "fib", ID: 1})
			rules := []client.Rule{{UID: "a", Rank: 3, Slice: 5 * time.Millisecond}}
			if name == "manual" {
				require.NoError(t, c.SetPolicy(t.Context(), rules))
			}
			entries, err := c.Policy(t.Context())
			require.NoError(t, err)
			now := clock.KTime(time.Hour)
			report, err := trial.Trial{Config: trial.Config{A: "cfs", B: "alps", Rounds: 2, Each: 2 * time.Second, Settle: time.Second}, Daemon: c,
				Default: func(policy string) (client.Mode, error) { return client.Mode{Policy: policy, Params: &alps}, nil },
				Now:     func() clock.KTime { return now },
				Sleep:   func(_ context.Context, d time.Duration) error { now = now.Add(d); return nil }}.Run(t.Context())
			require.NoError(t, err)
			require.Equal(t, 2, report.Counted, "%+v", report.Periods)
			after, err := c.Status(t.Context())
			require.NoError(t, err)
			require.Equal(t, before, after.Mode)
			if name == "manual" {
				require.Equal(t, []policy.Decision{{UID: "a", Rank: 3, Slice: 5 * time.Millisecond}}, after.Decisions)
				now, err := c.Policy(t.Context())
				require.NoError(t, err)
				require.Equal(t, entries, now)
			}
		})
	}
}
