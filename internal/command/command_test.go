// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOutput(t *testing.T) {
	out, err := Output(t.Context(), Cmd{Args: []string{"sh", "-c", "echo $X; pwd"}, Env: []string{"X=1"}, Dir: "/"})
	require.NoError(t, err)
	require.Equal(t, "1\n/\n", string(out))
}

func TestErrorCarriesExitCodeAndLastLine(t *testing.T) {
	err := Run(t.Context(), Cmd{Args: []string{"sh", "-c", "echo one; echo two >&2; exit 3"}})
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 3, exit.ExitCode())
	require.EqualError(t, err, "sh: exit status 3: two")
	var ce *Error
	require.ErrorAs(t, err, &ce)
	require.Contains(t, ce.Tail, "one\n")
}

func TestMissingProgramIsNamed(t *testing.T) {
	err := Run(t.Context(), Cmd{Args: []string{"no-such-program-here"}})
	require.ErrorIs(t, err, exec.ErrNotFound)
	require.ErrorContains(t, err, "no-such-program-here")
}

func TestTailIsBounded(t *testing.T) {
	err := Run(t.Context(), Cmd{Args: []string{"sh", "-c", "seq 100000; exit 1"}})
	var ce *Error
	require.ErrorAs(t, err, &ce)
	require.LessOrEqual(t, len(ce.Tail), tailBytes)
	require.True(t, strings.HasSuffix(ce.Tail, "100000\n"))
}

func TestCancelKillsTheWholeGroup(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, Cmd{Args: []string{"sh", "-c", "sleep 600 & echo $! > " + pidFile + ".new; mv " + pidFile + ".new " + pidFile + "; wait"}})
	}()
	var pid int
	require.Eventually(t, func() bool {
		b, err := os.ReadFile(pidFile)
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(b)))
		return err == nil
	}, 30*time.Second, 5*time.Millisecond)
	cancel()
	err := <-done
	require.ErrorIs(t, err, context.Canceled)
	require.Eventually(t, func() bool {
		return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || zombie(pid)
	}, 30*time.Second, 5*time.Millisecond, "grandchild %d lives on", pid)
}

// zombie reports whether pid has exited but is not reaped; in a container
// without an init an orphan stays one for ever.
func zombie(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(b), ") Z ")
}

// A detached child is in no group or session of ours and has no pipe to us.
func TestDetached(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	defer out.Close()
	p, err := Start(t.Context(), Cmd{Args: []string{"sh", "-c", "ps -o sid= -p $$; readlink /proc/$$/fd/2; echo lost >&2"}, Stdout: out, Detached: true})
	require.NoError(t, err)
	require.NoError(t, p.Wait())
	b, err := os.ReadFile(out.Name())
	require.NoError(t, err)
	require.Equal(t, strconv.Itoa(p.PID)+" /dev/null", strings.Join(strings.Fields(string(b)), " "))
	_, err = Start(t.Context(), Cmd{Args: []string{"no-such-program-here"}})
	require.ErrorIs(t, err, exec.ErrNotFound)
}
