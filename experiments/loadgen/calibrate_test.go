// SPDX-License-Identifier: Apache-2.0

package loadgen

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCalibrate(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		took func(rounds int) time.Duration
		want Cost
		err  string
	}{
		"short rounds": {took: func(n int) time.Duration { return 8*ms + time.Duration(n)*200 }, want: Cost{Function: "f", Size: 14, Base: 8 * ms, PerRound: 200}},
		"long rounds":  {took: func(n int) time.Duration { return 8*ms + time.Duration(n)*150*ms }, want: Cost{Function: "f", Size: 14, Base: 8 * ms, PerRound: 150 * ms}},
		"ignores them": {took: func(int) time.Duration { return 8 * ms }, err: "calibrate f: 1048576 rounds took 8ms, one took 8ms: the function ignores how many rounds it is asked for"},
		"fails": {took: func(n int) time.Duration {
			if n > 1 {
				return 0
			}
			return 8 * ms
		}, err: "calibrate f: 502"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := calibrate(Cost{Function: "f", Size: 14}, func(rounds, runs int) (time.Duration, error) {
				require.Positive(t, rounds)
				require.Positive(t, runs)
				if d := c.took(rounds); d > 0 {
					return d, nil
				}
				return 0, errors.New("calibrate f: 502")
			})
			if c.err != "" {
				require.EqualError(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}
