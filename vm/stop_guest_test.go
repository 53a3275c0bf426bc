// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/progress"
)

// A guest that ignores its power button is ended by QEMU. A QEMU that does not answer is
// killed, by the process that started it and by others.
func TestGuestThatDoesNotStop(t *testing.T) {
	c := guestConfig(t)
	s, err := TakeSnapshot(t.Context(), c, Provision{}, progress.New(os.Stderr))
	require.NoError(t, err)
	start := func(t *testing.T) (*Guest, State) {
		g, err := s.Start(t.Context())
		require.NoError(t, err)
		t.Cleanup(g.kill)
		st, err := Find(g.ID)
		require.NoError(t, err)
		return g, st
	}
	gone := func(t *testing.T, g *Guest) {
		select {
		case <-g.exited:
		case <-time.After(10 * time.Second):
			t.Fatal("QEMU lives")
		}
		require.NoFileExists(t, g.paths.overlay)
		_, err := Find(g.ID)
		require.Error(t, err)
	}
	t.Run("the guest ignores the button", func(t *testing.T) {
		t.Parallel()
		g, st := start(t)
		require.NoError(t, g.Run(t.Context(), Cmd{Line: "mkdir -p /run/systemd/logind.conf.d && printf '[Login]\\nHandlePowerKey=ignore\\n' >/run/systemd/logind.conf.d/t.conf && systemctl restart systemd-logind"}))
		st.Accel = KVM // whose guests are given less time
		how, err := st.Stop(t.Context())
		require.NoError(t, err)
		require.Equal(t, "it did not power off; QEMU ended it", how)
		gone(t, g)
	})
	t.Run("QEMU stands still", func(t *testing.T) {
		t.Parallel()
		g, st := start(t)
		require.NoError(t, syscall.Kill(st.PID, syscall.SIGSTOP))
		how, err := st.Stop(t.Context())
		require.NoError(t, err)
		require.Equal(t, "QEMU did not answer and was killed", how)
		gone(t, g)
	})
	t.Run("our own QEMU stands still", func(t *testing.T) {
		t.Parallel()
		g, st := start(t)
		require.NoError(t, syscall.Kill(st.PID, syscall.SIGSTOP))
		require.NoError(t, g.Close())
		gone(t, g)
	})
}
