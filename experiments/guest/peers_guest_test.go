// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/internal/ring"
	"github.com/ds2-lab/alps/kernel/peers"
	"github.com/ds2-lab/alps/vm"
)

// The schedulers of others load, decide while they run, and leave the kernel's
// own behind.
func TestGuestPeersSchedule(t *testing.T) {
	p := guestArtifacts(t)
	ring.Need(t, ring.Peers, p.Kernel.Name == peers.Kernel, "the peers are of another kernel: run test:guest -kernel=%s", peers.Kernel)
	p, err := p.InVirtualTime(t.Context())
	require.NoError(t, err)
	c := p.VMConfig()
	c.CPUs = 2
	c.Tools = peersDisk(t)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Minute, errors.New("the guest froze or is far too slow"))
	defer cancel()
	m, err := vm.Start(ctx, c)
	require.NoError(t, err)
	defer m.Close()
	for name, ops := range map[string]string{"scx_simple": "simple", "scx_flatcg": "flatcg", "scx_userland": "userland"} {
		out, err := m.Output(ctx, `systemd-run --quiet --collect --unit=peer `+name+` &&
for i in $(seq 100); do [ "$(cat /sys/kernel/sched_ext/state)" = enabled ] && break; sleep .1; done
cat /sys/kernel/sched_ext/root/ops
sh -c 'for i in 1 2 3; do sh -c "for j in \$(seq 20000); do :; done" & done; wait'
cat /sys/kernel/sched_ext/state
systemctl stop peer
for i in $(seq 100); do [ "$(cat /sys/kernel/sched_ext/state)" = disabled ] && break; sleep .1; done
cat /sys/kernel/sched_ext/state; journalctl -u peer -o cat -n 20 --no-pager >&2`)
		require.NoError(t, err)
		require.Equal(t, ops+"\nenabled\ndisabled", out, name)
	}
}

// peersDisk is a tools disk with the schedulers of others.
func peersDisk(t *testing.T) string {
	built, err := peers.Build(t.Context(), peers.Options{Progress: progress.New(os.Stderr)})
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "bin"), 0o755))
	for _, name := range peers.Names() {
		program, err := os.ReadFile(built.Path(name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "bin", name), program, 0o755))
	}
	disk, err := vm.ToolsDisk(t.Context(), dir)
	require.NoError(t, err)
	return disk
}
