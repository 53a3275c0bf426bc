// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/internal/ring"
)

// The clocks of guests in virtual time, with one CPU and with several, pass the tests of
// package smptest, which run in the guests.
func TestGuestVirtualTime(t *testing.T) {
	c := guestConfig(t)
	c.Accel, c.QEMU = VTime, builtQEMU(t)
	binary := smpTests(t)
	for _, cpus := range []int{1, 2, 4, 8} {
		t.Run(fmt.Sprint(cpus), func(t *testing.T) { virtualTime(t, c, cpus, binary) })
	}
}

// The same with as many CPUs as the paper's functions have.
func TestGuestVirtualTimeWith24CPUs(t *testing.T) {
	c := guestConfig(t)
	ring.Need(t, ring.Long, ring.Must(ring.Long), "takes minutes: the target test:weekly")
	c.Accel, c.QEMU = VTime, builtQEMU(t)
	virtualTime(t, c, 24, smpTests(t))
}

func smpTests(t *testing.T) []byte {
	path := filepath.Join(t.TempDir(), "smptest")
	build := exec.Command("go", "test", "-c", "-trimpath", "-ldflags=-s -w", "-o", path, "../internal/smptest")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	binary, err := os.ReadFile(path)
	require.NoError(t, err)
	return binary
}

func virtualTime(t *testing.T, c Config, cpus int, binary []byte) {
	c.CPUs = cpus
	begun := time.Now()
	g := startGuest(t, c)
	require.NoError(t, g.Run(t.Context(), Cmd{Line: "cat >/tmp/smptest && chmod +x /tmp/smptest && sync", Stdin: bytes.NewReader(binary)}))
	// What boots beside the loops would take their time.
	require.NoError(t, g.WaitDocker(t.Context(), 2*time.Minute))
	require.NoError(t, g.Run(t.Context(), Cmd{Line: "systemctl is-system-running --wait >/dev/null; systemctl stop '*.timer' docker.socket docker containerd"}))
	var log bytes.Buffer
	err := g.Run(t.Context(), Cmd{Line: "MUST_RUN=smp /tmp/smptest -test.v -test.run TestGuest -test.timeout 10m 2>&1", Stdout: &log})
	t.Logf("%s of the host, in the guest:\n%s", progress.Round(time.Since(begun)), log.String())
	require.NoError(t, err)
	require.Contains(t, log.String(), "--- PASS: TestGuestEqualLoops")
	g.Close()
}
