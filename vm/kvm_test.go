// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/internal/ours"
	"github.com/ds2-lab/alps/internal/ring"
)

// needKVM is for tests whose guest, stubKernel, runs under any KVM, in software or not.
// Where /dev/kvm is absent they skip. In CI a /dev/kvm that is there must open.
func needKVM(t *testing.T) {
	device := thisHost().device
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err == nil {
		f.Close()
		_, err = exec.LookPath("qemu-system-x86_64")
		if err == nil {
			return
		}
	}
	if _, absent := os.Stat(device); absent == nil && os.Getenv("CI") == "true" {
		t.Fatalf("this host has KVM, and CI tests it: %v", err)
	}
	ring.Need(t, ring.KVM, false, "%v", err)
}

// busy is how long a stub kernel, which needs seconds, may take on a busy host.
const busy = 5 * time.Minute

func TestProbeUnderKVM(t *testing.T) {
	needKVM(t)
	require.Empty(t, probe(t.Context(), stubKernel(t, false), busy))

	none := filepath.Join(t.TempDir(), "bzImage")
	require.NoError(t, os.WriteFile(none, []byte("nothing that boots"), 0o644))
	why := probe(t.Context(), none, busy)
	require.Contains(t, why, "qemu-system-x86_64: exit status 1: ")
	require.Contains(t, why, "kernel", "what QEMU says about it")

	require.Contains(t, probe(t.Context(), stubKernel(t, false), time.Millisecond), "did not boot within 1ms")
}

// A guest that was stopped and written to a file goes on from the file with its
// processor and its memory as they were.
func TestAGuestGoesOnFromAFile(t *testing.T) {
	for _, accel := range []Accel{KVM, TCG} {
		t.Run(string(accel), func(t *testing.T) {
			if accel == KVM {
				needKVM(t)
			}
			_, err := exec.LookPath("qemu-system-x86_64")
			ring.Need(t, ring.QEMU, err == nil, "%v (go run mage.go deps)", err)
			goesOn(t, accel)
		})
	}
}

func goesOn(t *testing.T, accel Accel) {
	// The path is longer than a socket's address may be, and has characters that QEMU's
	// options treat specially.
	t.Setenv("ALPS_CACHE", filepath.Join(t.TempDir(), "a, b:c", strings.Repeat("deep", 40)))
	dir := t.TempDir()
	disk := filepath.Join(dir, "base.qcow2")
	require.NoError(t, command.Run(t.Context(), command.Cmd{Args: []string{"qemu-img", "create", "-q", "-f", "qcow2", disk, "1M"}}))
	c := Config{Kernel: stubKernel(t, true), Disk: disk, Accel: accel, CPUs: 1, MemMiB: 512, silent: true, overlay: filepath.Join(dir, snapshotDisk)}

	// digits is what the guest has counted, once it has printed so many more.
	start := func(c Config) (g *Guest, digits func(more int) string) {
		g, err := Start(t.Context(), c)
		require.NoError(t, err)
		t.Cleanup(g.kill)
		return g, func(more int) string {
			_, err := g.monitor.Do(t.Context(), "cont", nil)
			require.NoError(t, err)
			require.Eventually(t, func() bool {
				console, err := os.ReadFile(g.Console())
				digits, greeted := strings.CutPrefix(string(console), stubHello)
				return err == nil && greeted == (c.from == "") && len(digits) >= more
			}, busy, 10*time.Millisecond)
			require.True(t, cpusRun(t.Context(), g.monitor))
			_, err = g.monitor.Do(t.Context(), "stop", nil)
			require.NoError(t, err)
			require.False(t, cpusRun(t.Context(), g.monitor))
			console, err := os.ReadFile(g.Console())
			require.NoError(t, err)
			return string(console)
		}
	}
	g, digits := start(c)
	before, booted := strings.CutPrefix(digits(20), stubHello)
	require.True(t, booted, "%q", before)
	require.NoError(t, g.lock.Close())
	require.False(t, ours.Abandoned(g.paths.dir), "QEMU uses the folder, whoever started it")
	require.NoError(t, g.migrate(t.Context(), "migrate", "exec:cat >"+Quote(filepath.Join(dir, snapshotMemory))))
	require.NoError(t, g.Close())

	c.from, c.overlay = dir, ""
	g, digits = start(c)
	after := digits(20)
	require.NoError(t, g.Fault())
	count := before + after
	for i := 1; i < len(count); i++ {
		require.Equal(t, "01234567"[(int(count[i-1]-'0')+1)%8], count[i], "after %d of %d digits, %d of them before it was stopped: %q", i, len(count), len(before), count)
	}
}
