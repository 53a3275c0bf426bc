package openlambda

import (
	"bytes"
	"context"
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

	"github.com/ds2-lab/alps/internal/ring"
	"github.com/ds2-lab/alps/openlambda/config"
)

// This binary is ol itself where a test needs a process.
func TestMain(m *testing.M) {
	if os.Getenv("OL_MAIN") != "" {
		os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// python is the system's interpreter.
func python(t testing.TB, modules string) string {
	const path = "/usr/bin/python3"
	err := exec.Command(path, "-c", "import "+modules).Run()
	ring.Need(t, ring.Python, err == nil, "%s -c 'import %s': %v (go run mage.go deps)", path, modules, err)
	return path
}

// shortDir is a temporary directory with a short name: a socket's path is bounded.
func shortDir(t testing.TB) string {
	dir, err := os.MkdirTemp("", "ol")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func freePorts(t testing.TB, n int) []string {
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

// testConfig is a configuration that a worker can run with.
func testConfig(t testing.TB) config.Config {
	dir := shortDir(t)
	c := config.Default(dir)
	c.WorkerURL, c.WorkerPort = "127.0.0.1", freePorts(t, 1)[0]
	c.RegistryCacheMS, c.Limits, c.LogOutput = 0, config.Limits{}, false
	require.NoError(t, os.MkdirAll(c.Registry, 0o755))
	return c
}

// parsed is c as a worker that reads it would have it.
func parsed(t testing.TB, c config.Config) config.Config {
	c, err := config.Parse("config.json", c.JSON(), nil)
	require.NoError(t, err)
	return c
}

func handler(t testing.TB, c config.Config, name, code string) {
	require.NoError(t, os.WriteFile(filepath.Join(c.Registry, name+".py"), []byte(code), 0o644))
}

// serving is a worker that runs in this process.
type serving struct {
	*Worker
	t      testing.TB
	base   string
	cancel context.CancelFunc
	done   chan error
}

func serve(t testing.TB, c config.Config, p pool) *serving {
	c = parsed(t, c)
	w := newWorker(c, p, testLog())
	ctx, cancel := context.WithCancel(context.Background())
	s := &serving{Worker: w, t: t, base: "http://" + address(c), cancel: cancel, done: make(chan error, 1)}
	go func() { s.done <- w.Serve(ctx) }()
	t.Cleanup(func() { s.stop() })
	s.await()
	return s
}

// await returns when the worker answers, and fails the test if it ended, or does
// not within a minute.
func (s *serving) await() {
	late := time.After(time.Minute)
	for {
		if resp, err := http.Get(s.base + "/status"); err == nil {
			resp.Body.Close()
			return
		}
		select {
		case err := <-s.done:
			s.done <- err
			require.FailNow(s.t, "the worker ended", "%v", err)
		case <-late:
			require.FailNow(s.t, "the worker does not answer")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (s *serving) stop() error {
	s.cancel()
	err := <-s.done
	s.done <- err
	return err
}

// run posts body to a function.
func (s *serving) run(name, body string) (int, string) {
	return request(s.t, http.MethodPost, s.base+"/run/"+name, body)
}

func (s *serving) get(path string) string {
	status, body := request(s.t, http.MethodGet, s.base+path, "")
	require.Equal(s.t, 200, status)
	return body
}

// request may be called in any goroutine: where it fails, so does the test, and
// the status is 0.
func request(t testing.TB, method, url, body string) (int, string) {
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if !assert.NoError(t, err) {
		return 0, ""
	}
	resp, err := http.DefaultClient.Do(req)
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

// ol runs the command line in a process and returns what it wrote and its code.
func ol(t testing.TB, d *fakeDocker, args ...string) (stdout, stderr string, code int) {
	cmd := olCommand(d, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if cmd.ProcessState == nil {
		require.NoError(t, err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

func olCommand(d *fakeDocker, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), "OL_MAIN=1", "DOCKER_HOST="+d.host())
	return cmd
}

// eventually waits for what another goroutine or process does.
func eventually(t testing.TB, cond func() bool, what string) {
	require.Eventually(t, cond, 20*time.Second, 5*time.Millisecond, what)
}

func killed(pid int) bool { return syscall.Kill(pid, 0) != nil }

func testLog() *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(slog.DiscardHandler)
}
