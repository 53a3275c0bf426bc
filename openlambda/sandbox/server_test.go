// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/oltest"
	"github.com/ds2-lab/alps/openlambda/sandbox"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/ring"
)

// pyServer is the container's server as a process of this host.
type pyServer struct {
	t      testing.TB
	socket string
	pid    int
	ended  chan string // gets what the server wrote after its first line
}

// rest is what the server wrote after its first line, once it has ended.
func (s pyServer) rest() string { return <-s.ended }

func write(t testing.TB, path, text string) {
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

// startServer runs the server on a handler's file. args are the server's arguments MODE,
// SCHED and THREADS, then those after the directories.
func startServer(t testing.TB, file string, args ...string) pyServer {
	code, err := os.ReadFile(file)
	require.NoError(t, err)
	return startFiles(t, map[string]string{"f.py": string(code)}, nil, args...)
}

// startFiles runs the server on a function's files, with environment variables.
func startFiles(t testing.TB, files map[string]string, env []string, args ...string) pyServer {
	s, said := tryFiles(t, files, env, args...)
	require.Equal(t, "ready\n", said)
	return s
}

// tryFiles is startFiles for a server that may not start: it returns the server's first line.
func tryFiles(t testing.TB, files map[string]string, env []string, args ...string) (pyServer, string) {
	py := oltest.Python(t, "json")
	dir := oltest.ShortDir(t)
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	for i := len(args); i < 3; i++ {
		args = append(args, []string{"auto", "normal", "1"}[i])
	}
	server := oltest.ShortDir(t)
	require.NoError(t, sandbox.Install(server))
	args = slices.Concat([]string{filepath.Join(server, "server.py")}, args[:3], []string{dir, dir}, args[3:])
	cmd := exec.Command(py, args...)
	cmd.Env = slices.Concat(os.Environ(), []string{"PYTHONDONTWRITEBYTECODE=1"}, env)
	// When a process of the fuzzer ends, its servers end (Pdeathsig). Their stderr is a file:
	// the go command waits until every process has closed the stderr of the test.
	stderr, err := os.Create(filepath.Join(server, "stderr"))
	require.NoError(t, err)
	defer stderr.Close()
	cmd.Stderr = stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	lines := bufio.NewReader(out)
	said, err := lines.ReadString('\n')
	require.NoError(t, err)
	ended := make(chan string, 1)
	go func() {
		rest, _ := io.ReadAll(lines)
		ended <- string(rest)
	}()
	return pyServer{t, filepath.Join(dir, "ol.sock"), cmd.Process.Pid, ended}, said
}

// startCode runs the server on a handler's text.
func startCode(t testing.TB, code string, args ...string) pyServer {
	return startFiles(t, map[string]string{"f.py": code}, nil, args...)
}

func (s pyServer) post(body string) (status int, answer string) {
	status, answer, err := s.try(http.MethodPost, body)
	assert.NoError(s.t, err) // in any goroutine
	return status, answer
}

func (s pyServer) try(method, body string) (int, string, error) {
	resp, data, err := s.do(method, "/run/x", body, nil)
	if err != nil {
		return 0, data, err
	}
	return resp.StatusCode, data, nil
}

// do sends a request and reads the whole answer.
func (s pyServer) do(method, target, body string, header http.Header) (*http.Response, string, error) {
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", s.socket)
	}}}
	req, err := http.NewRequest(method, "http://host:81"+target, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp, string(data), err
}

func TestFunctionsCompute(t *testing.T) {
	py, err := oltest.Interpreter("igraph")
	ring.Need(t, ring.Python, err == nil, "%v", err)
	for name, c := range map[string]struct {
		n, rounds int
		want      string
	}{
		"fib": {20, 2, "13530"}, "graphBfs": {100, 3, "300"}, "graphMst": {8, 2, "510"}, "noop": {1, 1, "0"},
		"graphPagerank": {8, 3, "3"}, "featureExtractor": {1, 1, "468"}, "floatOperation": {1000, 2, "2000"},
	} {
		out, err := exec.Command(py, "-c", fmt.Sprintf("import sys; sys.path.insert(0, '../functions'); sys.dont_write_bytecode = True; import %s as f; print(f.main(%d, %d))", name, c.n, c.rounds)).CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Equal(t, c.want, strings.TrimSpace(string(out)), name)
	}
}

// A handler main(n, rounds) is answered for in the artifact's form in every mode.
func TestServerAnswers(t *testing.T) {
	for _, mode := range []string{"fork", "exec", "import", "auto"} {
		t.Run(mode, func(t *testing.T) {
			s := startServer(t, "../functions/fib.py", mode)
			code, body := s.post(`{"n": "20", "id": "7", "job": "fib"}`)
			require.Equal(t, 200, code, body)
			lines := strings.Split(body, "\n")
			require.Equal(t, "6765", lines[0])
			f := strings.Fields(lines[1])
			require.Len(t, f, 6)
			require.Equal(t, []string{"7", "20", "fib"}, []string{f[0], f[4], f[5]})
			pid, err := strconv.Atoi(f[3])
			require.NoError(t, err)
			require.Equal(t, mode == "import", pid == s.pid, "a process of its own, but for import")

			for _, bad := range []string{`{"n": "x"}`, `[]`, `not json`, ``, `{"n": -1}`, strings.Repeat("[", 100_000), "\xff\xfe"} {
				code, body = s.post(bad)
				require.Equal(t, 400, code, body)
			}
			code, _, err = s.try(http.MethodGet, "")
			require.NoError(t, err)
			require.Equal(t, 400, code, "it lacks n")
			code, _ = s.post(`{"n": 10}`) // and it goes on
			require.Equal(t, 200, code)
		})
	}
}

func TestServerSurvivesAHandlerThatFails(t *testing.T) {
	for _, mode := range []string{"fork", "exec", "import"} {
		t.Run(mode, func(t *testing.T) {
			s := startCode(t, "import os, sys\ndef f(n):\n    if n == 1: raise KeyError('boom')\n    if n == 2: sys.exit(3)\n    if n == 9: os._exit(9)\n    return n\n", mode)
			code, body := s.post("1")
			require.Equal(t, 500, code)
			require.Contains(t, body, "KeyError: 'boom'")
			code, body = s.post("2")
			require.Equal(t, 500, code)
			require.Contains(t, body, "SystemExit: 3")
			if mode != "import" {
				_, _, err := s.try(http.MethodPost, "9")
				require.Error(t, err, "a process that died must not hang its client")
			}
			code, _ = s.post("3")
			require.Equal(t, 200, code)
		})
	}
}

// In exec mode each request loads the handler. If that fails, the client gets the reason.
func TestExecReportsAHandlerThatDoesNotLoad(t *testing.T) {
	s := startCode(t, "import nothing_of_this_name\n", "exec")
	code, body := s.post("1")
	require.Equal(t, 500, code)
	require.Contains(t, body, "nothing_of_this_name")
}

func TestImportServesSeveralAtOnce(t *testing.T) {
	s := startCode(t, "import threading\nall = threading.Barrier(5)\ndef f(n):\n    return all.wait(20)\n", "import", "normal", "5")
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			code, body := s.post("1")
			assert.Equal(t, 200, code, body)
		})
	}
	wg.Wait()
}

func TestServerServesManyAtOnceAndLeavesNoZombies(t *testing.T) {
	s := startServer(t, "../functions/fib.py")
	var wg sync.WaitGroup
	var mu sync.Mutex
	pids := map[string]bool{}
	for i := range 50 {
		wg.Go(func() {
			code, body := s.post(fmt.Sprintf(`{"n": "15", "id": "%d", "rounds": "3"}`, i))
			lines := strings.Split(body, "\n")
			if !assert.Equal(t, 200, code) || !assert.Greater(t, len(lines), 1, body) {
				return
			}
			f := strings.Fields(lines[1])
			assert.Equal(t, strconv.Itoa(i), f[0])
			mu.Lock()
			pids[f[3]] = true
			mu.Unlock()
		})
	}
	wg.Wait()
	require.Len(t, pids, 50)
	oltest.Eventually(t, func() bool {
		kids, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", s.pid, s.pid))
		return err == nil && len(bytes.TrimSpace(kids)) == 0
	}, "no child is left")
}

// cpuTicks is the CPU time that a process has used, in ticks of 10 ms.
func cpuTicks(t testing.TB, pid int) (ticks int) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(t, err)
	f := strings.Fields(string(data)[bytes.LastIndexByte(data, ')')+2:])
	for _, i := range []int{11, 12} {
		n, err := strconv.Atoi(f[i])
		require.NoError(t, err)
		ticks += n
	}
	return ticks
}

// The parent only accepts and forks: little of the CPU time of a request is the parent's.
func TestTheChildUsesTheCPUTime(t *testing.T) {
	s := startServer(t, "../functions/fib.py")
	before := cpuTicks(t, s.pid)
	for range 20 {
		code, _ := s.post(`{"n": "22", "rounds": "2"}`) // a few ms each
		require.Equal(t, 200, code)
	}
	require.LessOrEqual(t, cpuTicks(t, s.pid)-before, 10, "ticks of 10 ms for 20 requests")
}

// Invocations run under the policy asked for. The server, also after an invocation in its
// own process, has the same policy, and with a real-time one a priority above theirs.
func TestSched(t *testing.T) {
	ring.Need(t, ring.Root, exec.Command("chrt", "-f", "1", "true").Run() == nil, "real-time policies may not be set")
	const code = "import os\ndef f(event):\n    return [os.sched_getscheduler(0), os.sched_getparam(0).sched_priority]\n"
	for sched, want := range map[string]string{"normal": "[0, 0]", "fifo": "[1, 1]", "rr": "[2, 1]"} {
		for _, mode := range []string{"fork", "exec", "import"} {
			t.Run(sched+" "+mode, func(t *testing.T) {
				s := startCode(t, code, mode, sched)
				for range 2 {
					_, body := s.post("1")
					require.Equal(t, want, body)
				}
				policy, err := exec.Command("chrt", "-p", strconv.Itoa(s.pid)).Output()
				require.NoError(t, err)
				require.Contains(t, string(policy), map[string]string{"normal": "SCHED_OTHER", "fifo": "SCHED_FIFO", "rr": "SCHED_RR"}[sched])
				require.Contains(t, string(policy), map[string]string{"normal": "priority: 0", "fifo": "priority: 2", "rr": "priority: 2"}[sched])
			})
		}
	}
}

func TestSocketIsTheOwnersAlone(t *testing.T) {
	s := startServer(t, "../functions/fib.py")
	st, err := os.Stat(s.socket)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, st.Mode().Perm())
}

// If requests are processes, a client that sends nothing does not hold up other clients.
func TestSilentClient(t *testing.T) {
	s := startServer(t, "../functions/fib.py")
	conn, err := net.Dial("unix", s.socket)
	require.NoError(t, err)
	defer conn.Close()
	time.Sleep(10 * time.Millisecond)
	code, _ := s.post(`{"n": 1}`)
	require.Equal(t, 200, code)
}

// A client that goes before it is answered, or sends half a request, does not
// end the server.
func TestClientsThatGo(t *testing.T) {
	for _, mode := range []string{"import", "fork", "exec"} {
		t.Run(mode, func(t *testing.T) {
			s := startCode(t, "import time\ndef f(event):\n    time.sleep(0.05)\n    if event: raise KeyError(event)\n    return 1\n", mode)
			for _, sent := range []string{"", "POST", "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n1",
				"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n0", "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n1", "GET / HTTP/1.1\r\n\r\n",
				"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"} {
				conn, err := net.Dial("unix", s.socket)
				require.NoError(t, err)
				_, err = conn.Write([]byte(sent))
				require.NoError(t, err)
				require.NoError(t, conn.Close())
			}
			code, _ := s.post("0")
			require.Equal(t, 200, code)
		})
	}
}

// If limits.procs leaves no process or thread for a request, its answer says so, and the
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
