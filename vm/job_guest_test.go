// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/ds2-lab/alps/internal/digest"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/vm/qemu"
)

// builtQEMU is the program for virtual time.
func builtQEMU(t *testing.T) string {
	built, err := qemu.Build(t.Context(), qemu.Options{Progress: progress.New(os.Stderr)})
	require.NoError(t, err)
	return built.Path
}

// Guests from StartSilent of one snapshot do jobs side by side. In virtual time the same
// job has the same outcome, to the nanosecond and the random byte.
func TestGuestJobs(t *testing.T) {
	c := guestConfig(t)
	if c.CPUs, c.Window = 4, 1; c.Accel == TCG {
		c.Accel, c.QEMU = VTime, builtQEMU(t)
	}
	binary := filepath.Join(t.TempDir(), "serve")
	build := exec.Command("go", "test", "-c", "-trimpath", "-ldflags=-s -w", "-o", binary, "../internal/ivshmem")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	data, err := os.ReadFile(binary)
	require.NoError(t, err)
	key, err := digest.New("job test/2").Str("binary", string(data)).Sum()
	require.NoError(t, err)
	begun := time.Now()
	s, err := TakeSnapshot(t.Context(), c, Provision{Key: key, Run: func(ctx context.Context, g *Guest, dir string) error {
		if err := g.Run(ctx, Cmd{Line: "cat >/run/serve && chmod +x /run/serve", Stdin: bytes.NewReader(data)}); err != nil {
			return err
		}
		return g.Run(ctx, Cmd{Line: NoWriteback + ` && sync && systemd-run -q -E ALPS_WINDOW=1 /run/serve -test.run=TestServe -test.timeout=0 &&
systemd-run -q sh -c 'sleep 2; ip link set eth0 down'`})
	}}, progress.New(os.Stderr))
	require.NoError(t, err)
	t.Logf("snapshot after %s", progress.Round(time.Since(begun)))

	jobs := []string{"the same", "the same", "another"}
	outcomes := make([]string, len(jobs))
	var side errgroup.Group
	for i, job := range jobs {
		side.Go(func() error {
			begun := time.Now()
			g, err := s.StartSilent(t.Context())
			if err != nil {
				return err
			}
			defer g.Close()
			last := 0
			out, err := g.Do(t.Context(), []byte(job), func(done, total int) { last = done })
			outcomes[i] = string(out)
			t.Logf("%s: %s, seen at work %v", job, progress.Round(time.Since(begun)), last > 0)
			return err
		})
	}
	require.NoError(t, side.Wait())
	require.Equal(t, 101, len(strings.Split(outcomes[0], "\n")))
	require.True(t, strings.HasPrefix(outcomes[2], "another\n"))
	if c.Accel == VTime {
		require.Equal(t, outcomes[0], outcomes[1])
	}

	g, err := s.StartSilent(t.Context())
	require.NoError(t, err)
	defer g.Close()
	_, err = g.Do(t.Context(), []byte("fail"), nil)
	require.EqualError(t, err, "asked to")
}
