// SPDX-License-Identifier: Apache-2.0

package targets

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
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

// Clean beside an experiment that runs removes nothing; after it, everything.
func TestCleanRefusesWhileAnExperimentRuns(t *testing.T) {
	root := t.TempDir()
	t.Chdir(root)
	require.NoError(t, os.WriteFile(filepath.Join(root, "go.mod"), []byte("module x\n"), 0o644))
	dir, picture := filepath.Join(root, "results"), filepath.Join(root, "report", "index.html")
	unlock, err := results.Lock(dir)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Dir(picture), 0o755))
	require.NoError(t, os.WriteFile(picture, nil, 0o644))
	for range 2 { // the lock is still there the second time
		require.ErrorIs(t, Host{}.Clean(t.Context(), CleanFlags{}), results.ErrBusy)
		require.FileExists(t, picture)
	}
	unlock()
	for range 2 { // the second time nothing is there
		require.NoError(t, Host{}.Clean(t.Context(), CleanFlags{}))
		require.NoDirExists(t, dir)
		require.NoFileExists(t, picture)
	}
}
