// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/ring"
	"github.com/ds2-lab/alps/vm"
)

// TestSoak runs the soak of package bpf in a guest with the kernel given and lets a
// function be favoured for minutes, or on a kernel without hooks the soak of
// bpf/scx; then it reads the kernel's log. The target kernel:soak calls it; CI does not.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("ALPS_SOAK"))
	ring.Need(t, ring.Long, err == nil, "run by the target kernel:soak")
	p := guestArtifacts(t)
	cfg := p.VMConfig()
	cfg.CPUs = 2 // one goes and comes
	if cfg.Accel == vm.TCG {
		cfg.Accel = vm.Single // patching code under load freezes emulated CPUs otherwise
	}
	// A debug kernel under emulation may need several times the length for what must happen at least.
	ctx, cancel := context.WithTimeoutCause(t.Context(), 6*length+10*time.Minute, errors.New("the guest froze or is far too slow"))
	defer cancel()
	m, err := vm.Start(ctx, cfg)
	require.NoError(t, err)
	defer m.Close()
	pkg, tests, rings := "bpf", "TestSoak|TestGuestFavoursForGood", string(ring.Hook)+","+string(ring.Trace)
	if !hasHooks(t, p) {
		pkg, tests, rings = "bpf/scx", "TestSoak", string(ring.SchedExt)+","+string(ring.Long)
	}
	binary, err := os.ReadFile(buildTests(t, p, pkg))
	require.NoError(t, err)
	require.NoError(t, m.Run(ctx, vm.Cmd{Line: "cat > /tmp/test && chmod +x /tmp/test", Stdin: bytes.NewReader(binary)}))
	var log bytes.Buffer
	out := io.MultiWriter(&log, os.Stdout)
	err = m.Run(ctx, vm.Cmd{Line: ring.EnvMustRun + "=" + rings + " ALPS_SUSTAIN=2m ALPS_SOAK=" + length.String() +
		" /tmp/test -test.v -test.run '" + tests + "' -test.timeout 3h", Stdout: out, Stderr: out})
	kernelLog, logErr := m.Output(ctx, "uname -r; dmesg | grep -E 'WARNING|BUG:|Oops|INFO:|soft lockup|blocked for more' | head -50 || true; dmesg | wc -l")
	config, err2 := os.ReadFile(filepath.Join(filepath.Dir(p.Kernel.BzImage), "config"))
	require.NoError(t, err2)
	for _, check := range []string{"KASAN", "PROVE_LOCKING"} {
		if !bytes.Contains(config, []byte("CONFIG_"+check+"=y")) {
			t.Logf("kernel %s has no CONFIG_%s: what only that finds is not looked for", p.Kernel.Name, check)
		}
	}
	t.Logf("the kernel's log:\n%s", kernelLog)
	require.NoError(t, err)
	require.NoError(t, logErr)
	require.Contains(t, log.String(), "--- PASS: TestSoak")
	require.NotRegexp(t, `WARNING|BUG|Oops|INFO:|lockup|blocked`, kernelLog)
}
