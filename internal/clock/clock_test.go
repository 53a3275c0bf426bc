// SPDX-License-Identifier: Apache-2.0

package clock

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Go's own time.Now has a reading of the same clock, whose begin is unknown, so
// that only differences compare.
func TestNowIsTheMonotonicClock(t *testing.T) {
	before, begun := Now(), time.Now()
	inner := time.Since(begun)
	outer := Now().Sub(before)
	require.LessOrEqual(t, inner, outer)
	require.LessOrEqual(t, Now(), SinceBoot(), "CLOCK_BOOTTIME also counts what the host slept")
}

func TestKTime(t *testing.T) {
	require.Equal(t, KTime(1500), KTime(1000).Add(500))
	require.Equal(t, 500*time.Nanosecond, KTime(1500).Sub(1000))
	require.Equal(t, -500*time.Nanosecond, KTime(1000).Sub(1500))
}
