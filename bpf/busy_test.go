// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/clock"
)

// A busy period is over once all have slept for idle; not one whose last thread
// falls asleep on another CPU after the clock was read, nor one that is awake.
func TestSettle(t *testing.T) {
	b, _ := backend(t)
	now := clock.Now()
	for key, x := range map[uint32]struct {
		awake int32
		slept time.Duration // ago
		over  bool
	}{
		keyFunction:     {0, time.Second, true},
		keyFunction | 1: {0, -time.Minute, false},
		keyFunction | 2: {1, time.Second, false},
		keyFunction | 3: {0, 0, false},
		keyThread | 9:   {-1, time.Second, true},
	} {
		period := alpsPeriod{Awake: x.awake, SleptNs: uint64(now.Add(-x.slept)), IdleNs: uint64(time.Minute)}
		if x.over {
			period.IdleNs = uint64(DefaultIdle)
		}
		require.NoError(t, b.maps.Periods.Put(key, period))
		require.NoError(t, b.maps.Running.Put(key, alpsEvent{CgroupId: 1, ArriveNs: uint64(now.Add(-2 * time.Second)), Busy: 1}))
		require.NoError(t, b.settle(0))
		var e alpsEvent
		require.NoError(t, b.maps.Running.Lookup(key, &e))
		require.Equal(t, x.over, e.ArriveNs == 0, "%x: %+v", key, x)
	}
}
