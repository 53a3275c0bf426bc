package openlambda

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/internal/ring"
	"github.com/ds2-lab/alps/openlambda/config"
)

// A container that was killed from outside is replaced; no request is lost,
// for none was sent to it.
func TestContainerKilled(t *testing.T) {
	for _, mode := range []string{config.Import, config.Fork, config.Exec} {
		t.Run(mode, func(t *testing.T) {
			c := testConfig(t)
			handler(t, c, "f", echo)
			c.Invocation, c.Concurrency = mode, 0
			s, d := onDocker(t, c)
			for range 3 {
				code, body := s.run("f", "1")
				require.Equal(t, 200, code, body)
				d.kill(d.only())
			}
			code, _ := s.run("f", "1")
			require.Equal(t, 200, code)
			require.Equal(t, 4, d.count("create"))
			eventually(t, func() bool { return len(d.list()) == 1 }, "the dead ones are removed")
		})
	}
}

// The request that a container dies under gets a clear answer, the next one is
// served.
func TestContainerKilledUnderARequest(t *testing.T) {
	c := testConfig(t)
	handler(t, c, "f", "import time\ndef f(event):\n    time.sleep(event)\n    return 1\n")
	s, d := onDocker(t, c)
	code, _ := s.run("f", "0")
	require.Equal(t, 200, code)
	only := d.only()
	go func() {
		time.Sleep(100 * time.Millisecond)
		d.kill(only)
	}()
	code, body := s.run("f", "30")
	require.Equal(t, http.StatusBadGateway, code)
	require.Contains(t, body, "function f: its sandbox or process ended without an answer")
	code, _ = s.run("f", "0")
	require.Equal(t, 200, code)
}

// instances.min is kept without requests.
func TestDeadInstanceIsReplacedWithoutARequest(t *testing.T) {
	c := testConfig(t)
	handler(t, c, "f", echo)
	c.Functions = []config.Function{{Name: "f", UID: "1"}}
	s, d := onDocker(t, c)
	d.kill(d.only())
	eventually(t, func() bool { return d.count("create") == 2 && strings.Contains(s.get("/debug"), "running") }, "a new one runs")
}

func TestProcessKilledUnderARequest(t *testing.T) {
	c := testConfig(t)
	c.Invocation = config.Fork
	handler(t, c, "f", "import os, signal\ndef f(event):\n    if event: os.kill(os.getpid(), signal.SIGKILL)\n    return 1\n")
	s, d := onDocker(t, c)
	code, body := s.run("f", "1")
	require.Equal(t, http.StatusBadGateway, code)
	require.Contains(t, body, "ended without an answer")
	code, _ = s.run("f", "0")
	require.Equal(t, 200, code)
	require.Equal(t, 1, d.count("create"), "the container goes on")
}

func TestTimeLimit(t *testing.T) {
	for _, mode := range []string{config.Import, config.Fork, config.Exec} {
		t.Run(mode, func(t *testing.T) {
			c := testConfig(t)
			c.Invocation = mode
			c.Limits.MaxRuntimeDefault = 1
			pidFile := shortDir(t) + "/pid"
			handler(t, c, "f", fmt.Sprintf("import os, time\ndef f(event):\n    if event:\n        open(%q, 'w').write(str(os.getpid()))\n        time.sleep(60)\n    return 1\n", pidFile))
			s, d := onDocker(t, c)
			code, body := s.run("f", "true")
			require.Equal(t, http.StatusBadGateway, code)
			require.Contains(t, body, "function f: no answer within limits.max_runtime_default, 1s")
			pid := readPID(t, pidFile)
			eventually(t, func() bool { return killed(pid) }, "the invocation is gone")
			code, _ = s.run("f", "false")
			require.Equal(t, 200, code)
			creates := map[string]int{config.Import: 2}[mode]
			require.Equal(t, max(1, creates), d.count("create"), "only in import mode the sandbox goes with it")
		})
	}
}

func readPID(t testing.TB, path string) (pid int) {
	eventually(t, func() bool {
		data, err := os.ReadFile(path)
		if err != nil {
			return false
		}
		n, err := fmt.Sscan(string(data), &pid)
		return n == 1 && err == nil
	}, path)
	return pid
}

// The client's end ends the invocation where that is a process.
func TestClientGone(t *testing.T) {
	for _, mode := range []string{config.Fork, config.Exec} {
		t.Run(mode, func(t *testing.T) {
			c := testConfig(t)
			c.Invocation = mode
			pidFile := shortDir(t) + "/pid"
			handler(t, c, "f", fmt.Sprintf("import os\ndef f(event):\n    if event:\n        open(%q, 'w').write(str(os.getpid()))\n        while True: pass\n    return 1\n", pidFile))
			s, _ := onDocker(t, c)
			ctx, cancel := context.WithCancel(t.Context())
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+"/run/f", strings.NewReader("true"))
			require.NoError(t, err)
			failed := make(chan error, 1)
			go func() { _, err := http.DefaultClient.Do(req); failed <- err }()
			pid := readPID(t, pidFile)
			cancel()
			require.ErrorIs(t, <-failed, context.Canceled)
			eventually(t, func() bool { return killed(pid) }, "the invocation is gone")
			code, _ := s.run("f", "false")
			require.Equal(t, 200, code)
			require.Contains(t, s.get("/metrics"), `ol_invocations_total{function="f",status="499"} 1`)
		})
	}
}

// In import mode the handler cannot be stopped; its slot stays taken until it
// is done, so the next request does not run beside it.
func TestClientGoneInImportMode(t *testing.T) {
	c := testConfig(t)
	handler(t, c, "f", echo)
	enter, leave := make(chan struct{}, 9), make(chan struct{})
	p := &fakePool{answer: func(_ *fakeSandbox, body string) string {
		if body == "slow" {
			enter <- struct{}{}
			<-leave
		}
		return "ok"
	}}
	s := serve(t, c, p)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+"/run/f", strings.NewReader("slow"))
	require.NoError(t, err)
	go http.DefaultClient.Do(req)
	<-enter
	cancel()
	second := make(chan int, 1)
	go func() { code, _ := s.run("f", "1"); second <- code }()
	eventually(t, func() bool { return strings.Contains(s.get("/metrics"), `ol_queue_length{function="f"} 1`) }, "the second waits")
	close(leave)
	require.Equal(t, 200, <-second)
	require.Len(t, p.sandboxes(), 1)
}

func TestImageMissing(t *testing.T) {
	c := testConfig(t)
	handler(t, c, "f", echo)
	s, d := onDocker(t, c)
	d.mu.Lock()
	d.noImage = true
	d.mu.Unlock()
	code, body := s.run("f", "1")
	require.Equal(t, 500, code)
	require.Contains(t, body, `could not create Sandbox: docker: image "lambda" is not loaded`)
	require.Contains(t, body, "openlambda:build")
	d.mu.Lock()
	d.noImage = false
	d.mu.Unlock()
	code, _ = s.run("f", "1")
	require.Equal(t, 200, code)
}

// While dockerd is away, warm functions are served; what needs it says so.
func TestDockerGone(t *testing.T) {
	c := testConfig(t)
	handler(t, c, "warm", echo)
	handler(t, c, "cold", echo)
	c.Concurrency = 2 // is never paused
	s, d := onDocker(t, c)
	code, _ := s.run("warm", "1")
	require.Equal(t, 200, code)
	d.down()
	code, _ = s.run("warm", "1")
	require.Equal(t, 200, code)
	code, body := s.run("cold", "1")
	require.Equal(t, 500, code)
	require.Contains(t, body, "could not create Sandbox: docker: not up at "+d.host())
	// It comes back without its containers, as without live-restore.
	d.kill(d.only())
	d.up()
	for _, name := range []string{"cold", "warm"} {
		code, body := s.run(name, "1")
		require.Equal(t, 200, code, body)
	}
	require.NoError(t, s.stop())
	require.Empty(t, d.list())
}

// smallDisk puts dir on a file system of its own with little room.
func smallDisk(t testing.TB, dir string) {
	require.NoError(t, os.MkdirAll(dir, 0o700))
	require.NoError(t, unix.Mount("none", dir, "tmpfs", 0, "size=256k"))
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
}

// fill writes a file until there is no room.
func fill(t testing.TB, path string) {
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
}

// A disk without room ends in a clear status, and room ends that.
func TestDiskFull(t *testing.T) {
	ring.Need(t, ring.Root, os.Getuid() == 0, "root is needed to mount")
	c := testConfig(t)
	handler(t, c, "f", echo)
	smallDisk(t, c.WorkerDir)
	s, d := onDocker(t, c)
	filler := c.WorkerDir + "/filler"
	fill(t, filler)
	code, body := s.run("f", "1")
	require.Equal(t, 500, code)
	require.Contains(t, body, "no space left on device")
	dirs, err := os.ReadDir(codeDir(c))
	require.NoError(t, err)
	require.Empty(t, dirs, "nothing half is left")
	require.NoError(t, os.Remove(filler))
	code, body = s.run("f", "1")
	require.Equal(t, 200, code, body)

	// The code is there, the sandbox needs room.
	d.kill(d.only())
	eventually(t, func() bool { return strings.TrimSpace(s.get("/debug")) == "" && len(d.list()) == 0 }, "the dead one is removed")
	scratch := func() int {
		dirs, err := os.ReadDir(scratchDir(c))
		require.NoError(t, err)
		return len(dirs)
	}
	eventually(t, func() bool { return scratch() == 0 }, "with its directory")
	fill(t, filler)
	code, body = s.run("f", "1")
	require.Equal(t, 500, code)
	require.Contains(t, body, "could not create Sandbox")
	require.Contains(t, body, "no space left on device")
	require.NoError(t, os.Remove(filler))
	code, body = s.run("f", "1")
	require.Equal(t, 200, code, body)
}

// A function that must be warm and does not start ends the worker with the reason.
func TestConfiguredFunctionThatDoesNotStart(t *testing.T) {
	c := testConfig(t)
	handler(t, c, "f", echo)
	c.Functions = []config.Function{{Name: "f", UID: "1"}}
	p := &fakePool{}
	reason := errors.New("no room")
	p.fail.Store(&reason)
	w := newWorker(parsed(t, c), p, testLog())
	require.ErrorContains(t, w.Serve(t.Context()), "function f: could not create Sandbox: no room")
}

// Starting fails again and again without a request: attempts get rarer, and a
// request is answered at once.
func TestFailingStartsAreNotRepeatedInALoop(t *testing.T) {
	c := testConfig(t)
	handler(t, c, "f", echo)
	c.Functions = []config.Function{{Name: "f", UID: "1"}}
	p := &fakePool{}
	s := serve(t, c, p)
	reason := errors.New("no room")
	p.fail.Store(&reason)
	p.sandboxes()[0].die()
	failures := func() int {
		f := s.function(c.Functions[0])
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.failures
	}
	eventually(t, func() bool { return failures() == 2 }, "a second attempt")
	code, body := s.run("f", "1")
	require.Equal(t, 500, code)
	require.Contains(t, body, "no room")
	require.LessOrEqual(t, failures(), 4)
	p.fail.Store(nil)
	code, _ = s.run("f", "1")
	require.Equal(t, 200, code)
	require.Zero(t, failures())
}

// Where limits.procs leaves no process or thread, the request says so and the
// server goes on.
func TestNoProcessLeft(t *testing.T) {
	for mode, call := range map[string]string{config.Fork: "os.fork", config.Import: "threading.Thread.start"} {
		t.Run(mode, func(t *testing.T) {
			s := startCode(t, fmt.Sprintf(`import os, threading
real, left = %[1]s, [1]
def limited(*args):
    if left:
        left.pop()
        raise {"os.fork": BlockingIOError, "threading.Thread.start": RuntimeError}["%[1]s"]("no room")
    return real(*args)
%[1]s = limited
def f(event):
    return event
`, call), mode, "normal", "4")
			code, body := s.post("1")
			require.Equal(t, http.StatusServiceUnavailable, code)
			require.Contains(t, body, "no room (limits.procs)")
			code, _ = s.post("1")
			require.Equal(t, 200, code)
		})
	}
}
