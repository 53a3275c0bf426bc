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

// A guest that ignores its power button is ended by QEMU; a QEMU that answers
// nobody is killed, by who started it and by who did not.
func TestGuestThatDoesNotStop(t *testing.T) {
	c := guestConfig(t)
	s, err := TakeSnapshot(t.Context(), c, Provision{}, progress.New(os.Stderr))
	require.NoError(t, err)
	start := func(t *testing.T) (*Machine, State) {
		m, err := s.Start(t.Context())
		require.NoError(t, err)
		t.Cleanup(m.kill)
		st, err := Find(m.ID)
		require.NoError(t, err)
		return m, st
	}
	gone := func(t *testing.T, m *Machine) {
		select {
		case <-m.exited:
		case <-time.After(10 * time.Second):
			t.Fatal("QEMU lives")
		}
		require.NoFileExists(t, m.paths.overlay)
		_, err := Find(m.ID)
		require.Error(t, err)
	}
	t.Run("the guest ignores the button", func(t *testing.T) {
		t.Parallel()
		m, st := start(t)
		require.NoError(t, m.Run(t.Context(), Cmd{Line: "mkdir -p /run/systemd/logind.conf.d && printf '[Login]\\nHandlePowerKey=ignore\\n' >/run/systemd/logind.conf.d/t.conf && systemctl restart systemd-logind"}))
		st.Accel = KVM // whose guests are given less time
		how, err := st.Stop(t.Context())
		require.NoError(t, err)
		require.Equal(t, "it did not power off; QEMU ended it", how)
		gone(t, m)
	})
	t.Run("QEMU stands still", func(t *testing.T) {
		t.Parallel()
		m, st := start(t)
		require.NoError(t, syscall.Kill(st.PID, syscall.SIGSTOP))
		how, err := st.Stop(t.Context())
		require.NoError(t, err)
		require.Equal(t, "QEMU did not answer and was killed", how)
		gone(t, m)
	})
	t.Run("our own QEMU stands still", func(t *testing.T) {
		t.Parallel()
		m, st := start(t)
		require.NoError(t, syscall.Kill(st.PID, syscall.SIGSTOP))
		require.NoError(t, m.Close())
		gone(t, m)
	})
}
