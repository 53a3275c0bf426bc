// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ds2-lab/alps/openlambda/api"
	"github.com/ds2-lab/alps/openlambda/oltest"
	"github.com/ds2-lab/alps/openlambda/workdir"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/ring"
	"github.com/ds2-lab/alps/openlambda/config"
)

// A container that was killed from outside while it had no request is replaced, and
// no request is lost.
func TestContainerKilled(t *testing.T) {
	for _, mode := range []string{config.Import, config.Fork, config.Exec} {
		t.Run(mode, func(t *testing.T) {
			c := oltest.Config(t)
			oltest.Handler(t, c, "f", oltest.Echo)
			c.Invocation, c.Concurrency = mode, 0
			s, d := oltest.OnDocker(t, c)
			for range 3 {
				code, body := s.Run("f", "1")
				require.Equal(t, 200, code, body)
				d.Kill(d.Only())
			}
			code, _ := s.Run("f", "1")
			require.Equal(t, 200, code)
			require.Equal(t, 4, d.Count("create"))
			oltest.Eventually(t, func() bool { return len(d.List()) == 1 }, "the dead ones are removed")
		})
	}
}

// If a container is killed while it serves a request, that request's answer says so,
// and the next request is served.
func TestContainerKilledUnderARequest(t *testing.T) {
	c := oltest.Config(t)
	oltest.Handler(t, c, "f", "import time\ndef f(event):\n    time.sleep(event)\n    return 1\n")
	s, d := oltest.OnDocker(t, c)
	code, _ := s.Run("f", "0")
	require.Equal(t, 200, code)
	only := d.Only()
	go func() {
		time.Sleep(100 * time.Millisecond)
		d.Kill(only)
	}()
	code, body := s.Run("f", "30")
	require.Equal(t, http.StatusBadGateway, code)
	require.Contains(t, body, "function f: ended without an answer: it was ended by signal 9 (SIGKILL)")
	code, _ = s.Run("f", "0")
	require.Equal(t, 200, code)
}

// A configured function keeps one instance, also without requests.
func TestDeadInstanceIsReplacedWithoutARequest(t *testing.T) {
	c := oltest.Config(t)
	oltest.Handler(t, c, "f", oltest.Echo)
	c.Functions = []config.Function{{Name: "f", UID: "1"}}
	s, d := oltest.OnDocker(t, c)
	d.Kill(d.Only())
	oltest.Eventually(t, func() bool { return d.Count("create") == 2 && strings.Contains(s.Get("/debug"), "running") }, "a new one runs")
}

func TestProcessKilledUnderARequest(t *testing.T) {
	c := oltest.Config(t)
	c.Invocation = config.Fork
	oltest.Handler(t, c, "f", "import os, signal\ndef f(event):\n    if event: os.kill(os.getpid(), signal.SIGKILL)\n    return 1\n")
	s, d := oltest.OnDocker(t, c)
	code, body := s.Run("f", "1")
	require.Equal(t, http.StatusBadGateway, code)
	require.Contains(t, body, "ended without an answer")
	code, _ = s.Run("f", "0")
	require.Equal(t, 200, code)
	require.Equal(t, 1, d.Count("create"), "the container goes on")
}

func TestTimeLimit(t *testing.T) {
	for _, mode := range []string{config.Import, config.Fork, config.Exec} {
		t.Run(mode, func(t *testing.T) {
			c := oltest.Config(t)
			c.Invocation = mode
			limit := map[string]int{config.Import: 1, config.Fork: 1, config.Exec: 5}[mode] // exec starts an interpreter first
			c.Limits.MaxRuntimeDefault = limit
			pidFile := oltest.ShortDir(t) + "/pid"
			oltest.Handler(t, c, "f", fmt.Sprintf("import os, time\ndef f(event):\n    if event:\n        open(%q, 'w').write(str(os.getpid()))\n        time.sleep(60)\n    return 1\n", pidFile))
			s, d := oltest.OnDocker(t, c)
			code, body := s.Run("f", "true")
			require.Equal(t, http.StatusBadGateway, code)
			require.Contains(t, body, fmt.Sprintf("function f: no answer within limits.max_runtime_default, %ds", limit))
			pid := readPID(t, pidFile)
			oltest.Eventually(t, func() bool { return oltest.Killed(pid) }, "the invocation is gone")
			code, _ = s.Run("f", "false")
			require.Equal(t, 200, code)
			creates := map[string]int{config.Import: 2}[mode]
			require.Equal(t, max(1, creates), d.Count("create"), "only in import mode the sandbox goes with it")
		})
	}
}

func readPID(t testing.TB, path string) (pid int) {
	oltest.Eventually(t, func() bool {
		data, err := os.ReadFile(path)
		if err != nil {
			return false
		}
		n, err := fmt.Sscan(string(data), &pid)
		return n == 1 && err == nil
	}, path)
	return pid
}

// When the client goes, its invocation ends, if that is a process.
func TestClientGone(t *testing.T) {
	for _, mode := range []string{config.Fork, config.Exec} {
		t.Run(mode, func(t *testing.T) {
			c := oltest.Config(t)
			c.Invocation = mode
			pidFile := oltest.ShortDir(t) + "/pid"
			oltest.Handler(t, c, "f", fmt.Sprintf("import os\ndef f(event):\n    if event:\n        open(%q, 'w').write(str(os.getpid()))\n        while True: pass\n    return 1\n", pidFile))
			s, _ := oltest.OnDocker(t, c)
			ctx, cancel := context.WithCancel(t.Context())
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Base+"/run/f", strings.NewReader("true"))
			require.NoError(t, err)
			failed := make(chan error, 1)
			go func() { _, err := http.DefaultClient.Do(req); failed <- err }()
			pid := readPID(t, pidFile)
			cancel()
			require.ErrorIs(t, <-failed, context.Canceled)
			oltest.Eventually(t, func() bool { return oltest.Killed(pid) }, "the invocation is gone")
			code, _ := s.Run("f", "false")
			require.Equal(t, 200, code)
			require.Contains(t, s.Get("/metrics"), `ol_invocations_total{function="f",status="499"} 1`)
		})
	}
}

// In import mode the handler cannot be stopped; its slot stays taken until it
// is done, so the next request does not run beside it.
func TestClientGoneInImportMode(t *testing.T) {
	c := oltest.Config(t)
	oltest.Handler(t, c, "f", oltest.Echo)
	enter, leave := make(chan struct{}, 9), make(chan struct{})
	p := &oltest.Pool{Answer: func(_ *oltest.Sandbox, body string) string {
		if body == "slow" {
			enter <- struct{}{}
			<-leave
		}
		return "ok"
	}}
	s := oltest.Serve(t, c, p)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Base+"/run/f", strings.NewReader("slow"))
	require.NoError(t, err)
	go http.DefaultClient.Do(req)
	<-enter
	cancel()
	second := make(chan int, 1)
	go func() { code, _ := s.Run("f", "1"); second <- code }()
	oltest.Eventually(t, func() bool { return strings.Contains(s.Get("/metrics"), `ol_queue_length{function="f"} 1`) }, "the second waits")
	close(leave)
	require.Equal(t, 200, <-second)
	require.Len(t, p.Sandboxes(), 1)
}

// In import mode a handler that is over its limit goes with its sandbox, also if its client
// has gone or has begun to get its answer: the next request does not wait behind it.
func TestTimeLimitOfAHandlerThatNobodyHears(t *testing.T) {
	entered := oltest.ShortDir(t) + "/entered"
	handler := fmt.Sprintf(`import time
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/silent":
        open(%q, "w").close()
        time.sleep(60)
    start_response("200 OK", [])
    yield b"first"
    if path == "/begun": time.sleep(60)
`, entered)
	for path, leave := range map[string]bool{"/silent": true, "/begun": false} {
		t.Run(path, func(t *testing.T) {
			c := oltest.Config(t)
			c.Limits.MaxRuntimeDefault = 2
			oltest.Handler(t, c, "f", handler)
			s, d := oltest.OnDocker(t, c)
			code, _ := s.Run("f", "")
			require.Equal(t, 200, code)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if leave {
				go func() {
					for ctx.Err() == nil {
						if _, err := os.Stat(entered); err == nil {
							cancel()
						}
						time.Sleep(5 * time.Millisecond)
					}
				}()
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Base+"/run/f"+path, nil)
			require.NoError(t, err)
			resp, err := http.DefaultClient.Do(req)
			if leave {
				require.ErrorIs(t, err, context.Canceled)
			} else {
				require.NoError(t, err)
				defer resp.Body.Close()
				_, err = io.ReadAll(resp.Body)
				require.ErrorIs(t, err, io.ErrUnexpectedEOF, "it breaks off")
			}
			code, body := s.Run("f", "")
			require.Equal(t, 200, code, body)
			require.Equal(t, "first", body)
			require.Equal(t, 2, d.Count("create"))
		})
	}
}

// When the client leaves in the middle of an answer, the handler's next write fails. In import
// mode its slot stays taken until the handler has ended, and the sandbox stays.
func TestClientLeavesInTheMiddleOfAnAnswer(t *testing.T) {
	for name, headers := range map[string]string{"chunked": "", "with a length": `("Content-Length", str(1 << 40))`} {
		t.Run(name, func(t *testing.T) {
			c := oltest.Config(t)
			failed, end := oltest.ShortDir(t)+"/failed", oltest.ShortDir(t)+"/end"
			oltest.Handler(t, c, "f", fmt.Sprintf(`import os, time
def app(environ, start_response):
    if environ["PATH_INFO"] == "/":
        start_response("200 OK", [])
        yield b"ok"
        return
    start_response("200 OK", [%s])
    try:
        while True: yield b"x" * 65536
    finally:
        open(%q, "w").close()
        while not os.path.exists(%q): time.sleep(0.01)
`, headers, failed, end))
			s, d := oltest.OnDocker(t, c)
			resp, err := http.Get(s.Base + "/run/f/endless")
			require.NoError(t, err)
			_, err = io.ReadFull(resp.Body, make([]byte, 1<<20))
			require.NoError(t, err)
			resp.Body.Close() // closes the connection
			oltest.Eventually(t, func() bool { _, err := os.Stat(failed); return err == nil }, "the handler cannot write")
			second := make(chan int, 1)
			go func() { code, _ := s.Run("f", ""); second <- code }()
			oltest.Eventually(t, func() bool { return strings.Contains(s.Get("/metrics"), `ol_queue_length{function="f"} 1`) }, "the second waits")
			require.NoError(t, os.WriteFile(end, nil, 0o600))
			require.Equal(t, 200, <-second)
			require.Equal(t, 1, d.Count("create"))
			require.Contains(t, s.Get("/metrics"), `ol_invocations_total{function="f",status="499"} 1`)
		})
	}
}

func TestImageMissing(t *testing.T) {
	c := oltest.Config(t)
	oltest.Handler(t, c, "f", oltest.Echo)
	s, d := oltest.OnDocker(t, c)
	d.SetNoImage(true)
	code, body := s.Run("f", "1")
	require.Equal(t, 500, code)
	require.Contains(t, body, `could not create Sandbox: docker: image "lambda" is not loaded`)
	require.Contains(t, body, "openlambda:build")
	d.SetNoImage(false)
	code, _ = s.Run("f", "1")
	require.Equal(t, 200, code)
}

// While dockerd does not answer, warm functions are served; a cold start says that Docker is not up.
func TestDockerGone(t *testing.T) {
	c := oltest.Config(t)
	oltest.Handler(t, c, "warm", oltest.Echo)
	oltest.Handler(t, c, "cold", oltest.Echo)
	c.Concurrency = 2 // its instances are never paused
	s, d := oltest.OnDocker(t, c)
	code, _ := s.Run("warm", "1")
	require.Equal(t, 200, code)
	d.Down()
	code, _ = s.Run("warm", "1")
	require.Equal(t, 200, code)
	code, body := s.Run("cold", "1")
	require.Equal(t, 500, code)
	require.Contains(t, body, "could not create Sandbox: docker: not up at "+d.Host())
	// dockerd comes back and its containers have ended, as if live-restore were off.
	d.Kill(d.Only())
	d.Up()
	for _, name := range []string{"cold", "warm"} {
		code, body := s.Run(name, "1")
		require.Equal(t, 200, code, body)
	}
	require.NoError(t, s.Stop())
	require.Empty(t, d.List())
}

// While the disk is full, requests are answered with 500 and the reason; once there is room
// they are served again.
func TestDiskFull(t *testing.T) {
	ring.Need(t, ring.Root, os.Getuid() == 0, "root is needed to mount")
	c := oltest.Config(t)
	oltest.Handler(t, c, "f", oltest.Echo)
	oltest.SmallDisk(t, c.WorkerDir)
	s, d := oltest.OnDocker(t, c)
	filler := c.WorkerDir + "/filler"
	oltest.Fill(t, filler)
	code, body := s.Run("f", "1")
	require.Equal(t, 500, code)
	require.Contains(t, body, "no space left on device")
	dirs, err := os.ReadDir(workdir.Code(c))
	require.NoError(t, err)
	require.Empty(t, dirs, "nothing half is left")
	require.NoError(t, os.Remove(filler))
	code, body = s.Run("f", "1")
	require.Equal(t, 200, code, body)

	// The code is there, the sandbox needs room.
	d.Kill(d.Only())
	oltest.Eventually(t, func() bool { return strings.TrimSpace(s.Get("/debug")) == "" && len(d.List()) == 0 }, "the dead one is removed")
	scratch := func() int {
		dirs, err := os.ReadDir(workdir.Scratch(c))
		require.NoError(t, err)
		return len(dirs)
	}
	oltest.Eventually(t, func() bool { return scratch() == 0 }, "with its directory")
	oltest.Fill(t, filler)
	code, body = s.Run("f", "1")
	require.Equal(t, 500, code)
	require.Contains(t, body, "could not create Sandbox")
	require.Contains(t, body, "no space left on device")
	require.NoError(t, os.Remove(filler))
	code, body = s.Run("f", "1")
	require.Equal(t, 200, code, body)
}

// A function that must be warm and does not start ends the worker with the reason.
func TestConfiguredFunctionThatDoesNotStart(t *testing.T) {
	c := oltest.Config(t)
	oltest.Handler(t, c, "f", oltest.Echo)
	c.Functions = []config.Function{{Name: "f", UID: "1"}}
	p := &oltest.Pool{}
	reason := errors.New("no room")
	p.Fail.Store(&reason)
	w := api.New(oltest.Parsed(t, c), p, oltest.Log())
	require.ErrorContains(t, w.Serve(t.Context()), "function f (uid 1): could not create Sandbox: no room")
}

// If a configured function's starts fail again and again, attempts without a request get
// rarer, and a request is answered at once.
func TestFailingStartsAreNotRepeatedInALoop(t *testing.T) {
	c := oltest.Config(t)
	oltest.Handler(t, c, "f", oltest.Echo)
	c.Functions = []config.Function{{Name: "f", UID: "1"}}
	p := &oltest.Pool{}
	s := oltest.Serve(t, c, p)
	reason := errors.New("no room")
	p.Fail.Store(&reason)
	p.Sandboxes()[0].Die()
	oltest.Eventually(t, func() bool { return p.Starts.Load() == 2 }, "a second attempt")
	code, body := s.Run("f", "1")
	require.Equal(t, 500, code)
	require.Contains(t, body, "no room")
	require.LessOrEqual(t, p.Starts.Load(), int32(5))
	p.Fail.Store(nil)
	code, _ = s.Run("f", "1")
	require.Equal(t, 200, code)
}
