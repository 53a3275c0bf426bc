// SPDX-License-Identifier: Apache-2.0

package targets

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/vm"
)

// Without -accel, on a host of which nobody knows that KVM works there, experiments are
// planned and run in virtual time; an accelerator that is named is taken.
func TestExperimentsAreInVirtualTimeWithoutKVM(t *testing.T) {
	t.Setenv("ALPS_CACHE", t.TempDir())
	for asked, want := range map[string]vm.Accel{"": vm.VTime, "auto": vm.VTime, "tcg": vm.TCG, "kvm": vm.KVM} {
		o, err := Host{}.runOptions("", "brief", asked, 0)
		require.NoError(t, err)
		accel, cpus := o.Machine()
		require.Equal(t, want, accel, "-accel=%s", asked)
		require.Equal(t, vm.DefaultCPUs(want), cpus)
	}
}
