// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
)

// screen is what came out of a terminal.
type screen struct {
	mu  sync.Mutex
	b   bytes.Buffer
	pty *os.File
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// ask types and waits for the answer.
func (s *screen) ask(t *testing.T, keys, answer string) {
	s.mu.Lock()
	s.b.Reset()
	s.mu.Unlock()
	_, err := s.pty.WriteString(keys)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return bytes.Contains([]byte(s.text()), []byte(answer)) }, time.Minute, 20*time.Millisecond,
		"typed %q, want %q", keys, answer)
}

// A person at a terminal: size, Ctrl-C, Ctrl-Z, jobs, exit code. The quotes
// keep what is typed from looking like what is answered.
func testTerminal(t *testing.T, g *Guest) {
	host, tty, err := pty.Open()
	require.NoError(t, err)
	defer host.Close()
	defer tty.Close()
	require.NoError(t, pty.Setsize(host, &pty.Winsize{Rows: 30, Cols: 100}))
	s := &screen{pty: host}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := host.Read(buf)
			if err != nil {
				return
			}
			s.Write(buf[:n])
		}
	}()
	ended := make(chan error, 1)
	go func() { ended <- g.Shell(t.Context(), tty, tty, tty) }()
	s.ask(t, "stty size\n", "30 100")
	s.ask(t, "echo l''ogin $0\n", "login -bash")
	require.NoError(t, pty.Setsize(host, &pty.Winsize{Rows: 41, Cols: 123}))
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGWINCH))
	s.ask(t, "sleep 1; stty size\n", "41 123")
	// The job itself says that it has begun: what is typed while the shell has yet to start it may be lost.
	const job = "sh -c 'echo be\"\"gun; exec sleep 1000'\n"
	s.ask(t, job, "begun")
	s.ask(t, "\x03", "# ") // at its prompt the shell reads again
	s.ask(t, "echo co''de $?\n", "code 130")
	s.ask(t, job, "begun")
	s.ask(t, "\x1a", "Stopped")
	s.ask(t, "jobs -l\n", "Stopped")
	s.ask(t, "kill %1; wait; echo do''ne\n", "done")
	_, err = host.WriteString("exit 7\n")
	require.NoError(t, err)
	var exit *ExitError
	require.ErrorAs(t, <-ended, &exit)
	require.Equal(t, 7, exit.Code)
}
