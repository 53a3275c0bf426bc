// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/clock"
)

// Slices of invocations whose end was lost do not pile up: they are dropped and
// counted, and an invocation of which some were dropped is not taken for whole.
func TestPendingSlicesAreBounded(t *testing.T) {
	var p pending
	p.add(invocation{1, 7}, 10)
	p.add(invocation{1, 7}, 20)
	require.Equal(t, []uint32{10, 20}, p.take(invocation{1, 7}))
	require.Empty(t, p.take(invocation{1, 7}))
	require.Zero(t, p.size)

	n := 0
	for ; p.since == 0; n++ {
		p.add(invocation{clock.KTime(n + 2), 1}, 5)
		require.LessOrEqual(t, p.size, maxPending+pendingCost)
	}
	require.EqualValues(t, n, p.dropped.Load(), "all are counted")
	require.Zero(t, p.size)
	partly := invocation{clock.KTime(n + 1), 1}
	p.add(partly, 6)
	require.Nil(t, p.take(partly))
	require.EqualValues(t, n+1, p.dropped.Load())
	later := invocation{clock.KTime(n + 3), 1}
	p.add(later, 7)
	require.Equal(t, []uint32{7}, p.take(later))
}
