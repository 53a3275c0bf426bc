package vm_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/vm"
)

// guestKernel is the kernel that testVM built. Without one these tests skip,
// unless MUST_RUN names their ring.
func guestKernel(t *testing.T) string {
	kernel := os.Getenv("ALPS_KERNEL")
	if kernel == "" {
		if strings.Contains(os.Getenv("MUST_RUN"), "guest") {
			t.Fatal("ALPS_KERNEL is not set: run the target testVM")
		}
		t.Skip("needs a guest: run the target testVM")
	}
	return kernel
}

func TestGuest(t *testing.T) {
	kernel := guestKernel(t)
	ctx := t.Context()
	accel, why, err := vm.Resolve(ctx, vm.Auto, kernel)
	require.NoError(t, err)
	t.Logf("%s: %s", accel, why)
	image, err := vm.BuildImage(ctx, vm.ImageOptions{Kernel: kernel, Accel: accel, Lambda: os.Getenv("ALPS_LAMBDA"), Progress: progress.New(os.Stderr)})
	require.NoError(t, err)

	tools := t.TempDir()
	require.NoError(t, os.MkdirAll(tools+"/bin", 0o755))
	require.NoError(t, os.WriteFile(tools+"/bin/hello", []byte("#!/bin/sh\necho hello $1\n"), 0o755))
	disk, err := vm.ToolsDisk(ctx, tools)
	require.NoError(t, err)

	begun := time.Now()
	m, err := vm.Start(ctx, vm.Config{Kernel: kernel, Disk: image.Path, Tools: disk, Accel: accel, Shared: true})
	require.NoError(t, err)
	defer m.Close()
	t.Logf("channel after %s", progress.Round(time.Since(begun)))

	t.Run("exit code and streams", func(t *testing.T) {
		var out, errOut bytes.Buffer
		err := m.Run(ctx, vm.Cmd{Line: "cat; echo bad >&2; exit 3", Stdin: strings.NewReader("in"), Stdout: &out, Stderr: &errOut})
		var exit *vm.ExitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, 3, exit.Code)
		require.Equal(t, "in", out.String())
		require.Equal(t, "bad\n", errOut.String())
	})
	t.Run("tools disk is mounted and in PATH", func(t *testing.T) {
		out, err := m.Output(ctx, "hello world")
		require.NoError(t, err)
		require.Equal(t, "hello world", out)
	})
	t.Run("docker", func(t *testing.T) {
		require.NoError(t, m.WaitDocker(ctx, 2*time.Minute))
		t.Logf("Docker after %s", progress.Round(time.Since(begun)))
		out, err := m.Output(ctx, "docker info --format '{{.CgroupVersion}} {{.CgroupDriver}} {{.Driver}}'")
		require.NoError(t, err)
		require.Equal(t, "2 systemd overlay2", out)
		out, err = m.Output(ctx, "systemd-analyze; systemctl --failed --no-legend --plain")
		require.NoError(t, err)
		t.Log(out)
	})
	t.Run("another process finds it", func(t *testing.T) {
		other, err := vm.Running()
		require.NoError(t, err)
		defer other.Detach()
		out, err := other.Output(ctx, "uname -r")
		require.NoError(t, err)
		require.Contains(t, out, "alps")
	})
	t.Run("close leaves nothing", func(t *testing.T) {
		require.NoError(t, m.Close())
		_, err := vm.Running()
		require.ErrorIs(t, err, vm.ErrNoneRunning)
	})
}
