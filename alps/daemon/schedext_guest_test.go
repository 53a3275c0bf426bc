// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/bpf/scx"
	"github.com/ds2-lab/alps/internal/cgrouptest"
	"github.com/ds2-lab/alps/internal/ring"
)

// playAutoDaemon is a daemon that is told nothing of policies and backends.
func playAutoDaemon() {
	err := Run(context.Background(), Config{Socket: guestSocket, Pin: guestPin, Docker: "none", Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// A daemon that is told nothing steers a kernel without hooks by sched_ext: once there
// is a function, also after it was killed, and not where another scheduler is in charge.
func TestGuestDaemonTakesSchedExt(t *testing.T) {
	ring.Need(t, ring.SchedExt, ring.Must(ring.SchedExt), "runs in the guest of the target test:guest")
	t.Cleanup(func() { os.RemoveAll(guestPin) })
	logFile := filepath.Join(t.TempDir(), "log")
	start := func() (*exec.Cmd, *client.Client) {
		out, err := os.Create(logFile)
		require.NoError(t, err)
		defer out.Close()
		c := exec.Command("/proc/self/exe")
		c.Env = append(os.Environ(), "ALPS_PLAY=auto daemon")
		c.Stderr = out
		require.NoError(t, c.Start())
		t.Cleanup(func() { c.Process.Kill(); c.Wait() })
		api := client.New(guestSocket)
		answers := func() bool { _, err := api.Status(t.Context()); return err == nil }
		for begun := time.Now(); !answers(); time.Sleep(50 * time.Millisecond) {
			log, _ := os.ReadFile(logFile)
			require.Less(t, time.Since(begun), time.Minute, "%s", log)
		}
		return c, api
	}
	inCharge := func(want string) {
		require.Eventually(t, func() bool { return scx.InCharge() == want }, time.Minute, 20*time.Millisecond, "want %q in charge, it is %q", want, scx.InCharge())
	}
	p := cgrouptest.NewParent(t)
	f := p.Group("f")

	daemon, api := start()
	s, err := api.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, "scx", s.Backend)
	require.Contains(t, s.BackendWhy, "but it has sched_ext")
	require.Equal(t, client.PolicySteady, s.Mode.Policy)
	require.Empty(t, s.Problems)
	require.Empty(t, scx.InCharge(), "there is no function yet")
	require.NoError(t, api.Register(t.Context(), client.Function{UID: "f", Name: "f", Cgroup: f}))
	inCharge(scx.Name)
	log, err := os.ReadFile(logFile)
	require.NoError(t, err)
	require.Contains(t, string(log), "all tasks of this host but real-time ones")
	s, err = api.Status(t.Context())
	require.NoError(t, err)
	require.True(t, s.Attached)
	require.NoError(t, api.SetMode(t.Context(), client.Mode{Policy: client.PolicyCFS}))
	inCharge("")
	require.NoError(t, api.SetMode(t.Context(), client.Mode{Policy: client.PolicySteady}))
	inCharge(scx.Name)

	require.NoError(t, daemon.Process.Kill())
	_ = daemon.Wait()
	daemon, api = start() // at once: the kernel may not have taken the scheduler out yet
	s, err = api.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, "scx", s.Backend, s.BackendWhy)
	inCharge(scx.Name) // the function was known before
	require.NoError(t, daemon.Process.Kill())
	_ = daemon.Wait()
	inCharge("")

	theirs, err := scx.Load(scx.Options{})
	require.NoError(t, err)
	_, api = start()
	s, err = api.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, "observe", s.Backend)
	require.Contains(t, s.BackendWhy, "the sched_ext scheduler alps is in charge: end it")
	require.Equal(t, client.PolicyCFS, s.Mode.Policy)
	require.ErrorContains(t, api.SetMode(t.Context(), client.Mode{Policy: client.PolicySteady}), "is in charge")
	_, ended := theirs.Ended()
	require.False(t, ended)
	require.NoError(t, theirs.Close())
}
