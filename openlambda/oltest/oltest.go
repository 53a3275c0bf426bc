// SPDX-License-Identifier: Apache-2.0

// Package oltest is what the tests of the worker's packages share: a worker in
// this process, sandboxes that only answer, and a Docker Engine whose containers
// are plain processes.
package oltest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/internal/ring"
	"github.com/ds2-lab/alps/openlambda/api"
	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/docker"
	"github.com/ds2-lab/alps/openlambda/sandbox"
)

// Interpreter is the path of the host's Python. It is an error if Python lacks one of
// modules (comma-separated).
func Interpreter(modules string) (path string, err error) {
	path = "/usr/bin/python3"
	if err := exec.Command(path, "-c", "import "+modules).Run(); err != nil {
		return path, fmt.Errorf("%s -c 'import %s': %w (go run mage.go deps)", path, modules, err)
	}
	return path, nil
}

// Python is Interpreter's path. Without it the test is skipped, or fails if its ring must run.
func Python(t testing.TB, modules string) string {
	path, err := Interpreter(modules)
	ring.Need(t, ring.Python, err == nil, "%v", err)
	return path
}

// ShortDir is a temporary directory with a short path, because a socket's may have 107 bytes.
func ShortDir(t testing.TB) string {
	dir, err := os.MkdirTemp("", "ol")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// FreePorts are TCP ports that nobody listens on.
func FreePorts(t testing.TB, n int) []string {
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		_, port, err := net.SplitHostPort(l.Addr().String())
		require.NoError(t, err)
		out = append(out, port)
	}
	return out
}

// Config is a configuration that a worker can run with.
func Config(t testing.TB) config.Config {
	dir := ShortDir(t)
	c := config.Default(dir)
	c.WorkerURL, c.WorkerPort = "127.0.0.1", FreePorts(t, 1)[0]
	c.Invocation, c.Concurrency = config.Import, 0
	c.RegistryCacheMS, c.Limits, c.LogOutput = 0, config.Limits{}, false
	require.NoError(t, os.MkdirAll(c.Registry, 0o755))
	return c
}

// Parsed is c as a worker that reads it would have it.
func Parsed(t testing.TB, c config.Config) config.Config {
	c, err := config.Parse("config.json", c.JSON(), nil)
	require.NoError(t, err)
	return c
}

// Handler puts a function into the registry.
func Handler(t testing.TB, c config.Config, name, code string) {
	require.NoError(t, os.WriteFile(filepath.Join(c.Registry, name+".py"), []byte(code), 0o644))
}

// Serving is a worker that runs in this process.
type Serving struct {
	*api.Worker
	Config config.Config
	Base   string
	T      testing.TB
	cancel context.CancelFunc
	done   chan error
}

// Serve runs a worker until the test ends.
func Serve(t testing.TB, c config.Config, p sandbox.Maker) *Serving { return ServeLog(t, c, p, Log()) }

// ServeLog is Serve with a log.
func ServeLog(t testing.TB, c config.Config, p sandbox.Maker, log *slog.Logger) *Serving {
	c = Parsed(t, c)
	w := api.New(c, p, log)
	ctx, cancel := context.WithCancel(context.Background())
	s := &Serving{Worker: w, Config: c, Base: "http://" + c.Address(), T: t, cancel: cancel, done: make(chan error, 1)}
	go func() { s.done <- w.Serve(ctx) }()
	t.Cleanup(func() { s.Stop() })
	s.await()
	return s
}

// await returns when the worker answers, and fails the test if it ended, or does
// not within a minute.
func (s *Serving) await() {
	late := time.After(time.Minute)
	for {
		if resp, err := http.Get(s.Base + "/status"); err == nil {
			resp.Body.Close()
			return
		}
		select {
		case err := <-s.done:
			s.done <- err
			require.FailNow(s.T, "the worker ended", "%v", err)
		case <-late:
			require.FailNow(s.T, "the worker does not answer")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Stop ends the worker and returns what Serve returned.
func (s *Serving) Stop() error {
	s.cancel()
	err := <-s.done
	s.done <- err
	return err
}

// Run posts body to a function.
func (s *Serving) Run(name, body string) (int, string) {
	return Request(s.T, http.MethodPost, s.Base+"/run/"+name, body)
}

// Get returns the body of one of the worker's paths.
func (s *Serving) Get(path string) string {
	status, body := Request(s.T, http.MethodGet, s.Base+path, "")
	require.Equal(s.T, 200, status)
	return body
}

// Request sends a request and returns the answer's status and body. It may be called in any
// goroutine: after an error it marks the test as failed and returns status 0.
func Request(t testing.TB, method, url, body string) (int, string) {
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if !assert.NoError(t, err) {
		return 0, ""
	}
	resp, err := http.DefaultTransport.RoundTrip(req) // a redirect is an answer
	if !assert.NoError(t, err) {
		return 0, ""
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if !assert.NoError(t, err) {
		return 0, ""
	}
	return resp.StatusCode, string(data)
}

// Eventually waits, up to 20 s, until another goroutine or process has made cond true. what
// says in the test's failure what did not happen.
func Eventually(t testing.TB, cond func() bool, what string) {
	require.Eventually(t, cond, 20*time.Second, 5*time.Millisecond, what)
}

// Killed says whether a process is gone.
func Killed(pid int) bool { return syscall.Kill(pid, 0) != nil }

// Log is a log to stderr if tests are verbose (-v), else to nowhere.
func Log() *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(slog.DiscardHandler)
}

// Echo is a handler that returns its event.
const Echo = "def f(event):\n    return event\n"

// OnDocker serves c with the fake Docker Engine.
func OnDocker(t testing.TB, c config.Config) (*Serving, *Docker) {
	d := StartDocker(t)
	t.Setenv("DOCKER_HOST", d.Host())
	p, err := docker.New(Parsed(t, c), Log())
	require.NoError(t, err)
	return Serve(t, c, p), d
}

// DockerMaker is the maker that DOCKER_HOST names.
func DockerMaker(t testing.TB, c config.Config, log *slog.Logger) sandbox.Maker {
	p, err := docker.New(Parsed(t, c), log)
	require.NoError(t, err)
	return p
}

// SmallDisk mounts a file system of 256 KiB on dir.
func SmallDisk(t testing.TB, dir string) {
	require.NoError(t, os.MkdirAll(dir, 0o700))
	require.NoError(t, unix.Mount("none", dir, "tmpfs", 0, "size=256k"))
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
}

// Fill writes to the file path until its file system is full.
func Fill(t testing.TB, path string) {
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
}
