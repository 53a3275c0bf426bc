package runner

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/vm"
)

// workerTests runs package openlambda's own test binary in a guest.
func workerTests(t *testing.T, accel vm.Accel, cpus int, pattern, must string) {
	p := guestParts(t)
	binary := filepath.Join(t.TempDir(), "openlambda.test")
	build := exec.Command("go", "test", "-c", "-ldflags=-s -w", "-o", binary, "./openlambda")
	build.Dir, build.Env = p.opts.Root, append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	data, err := os.ReadFile(binary)
	require.NoError(t, err)
	cfg := p.VMConfig()
	if accel != "" {
		cfg.Accel, cfg.CPUs = accel, cpus
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 8*time.Minute, errors.New("the guest froze or is far too slow"))
	defer cancel()
	m, err := vm.Start(ctx, cfg)
	require.NoError(t, err)
	defer m.Close()
	require.NoError(t, m.WaitDocker(ctx, 3*time.Minute))
	require.NoError(t, m.Run(ctx, vm.Cmd{Line: "cat > /tmp/openlambda.test && chmod +x /tmp/openlambda.test", Stdin: bytes.NewReader(data)}))
	var log bytes.Buffer
	err = m.Run(ctx, vm.Cmd{Line: "MUST_RUN=docker /tmp/openlambda.test -test.v -test.run '" + pattern + "' -test.timeout 8m", Stdout: &log, Stderr: &log})
	t.Logf("in the guest:\n%s", log.String())
	require.NoError(t, err)
	require.Contains(t, log.String(), "--- PASS: "+must)
}

// The worker on Docker itself: limits, faults, policies, load.
func TestGuestWorker(t *testing.T) {
	workerTests(t, "", 0, "TestGuest(Container|NoProcessLeft|Faults|ImageMissing|WorkerKilled|Sched|Load)", "TestGuestLoad")
}

// What a process per invocation costs, in virtual time.
func TestGuestWorkerForkCost(t *testing.T) {
	workerTests(t, vm.ICount, 1, "TestGuestForkCost", "TestGuestForkCost")
}
