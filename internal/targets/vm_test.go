// SPDX-License-Identifier: Apache-2.0

package targets

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// An id names a guest that is running; beside a flag that makes a fresh one it is an error, and nothing starts.
func TestNoFreshGuestHasAnID(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	const want = "-id=vm1 is a guest that is running, and the other flags make a fresh one: leave out -id, or the others"
	require.EqualError(t, Vm{}.Run(ctx, "true", VmRunFlags{ID: "vm1", GuestFlags: GuestFlags{CPUs: 2}}), want)
	require.EqualError(t, Vm{}.Shell(ctx, VmShellFlags{ID: "vm1", GuestFlags: GuestFlags{Keep: "a"}}), want)
	require.EqualError(t, Vm{}.Shell(ctx, VmShellFlags{ID: "vm1", Bare: true}), want)
}
