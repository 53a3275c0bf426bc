package openlambda

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// python is the system's interpreter, which has igraph; without it these tests
// skip unless MUST_RUN names them.
func python(t *testing.T) string {
	const path = "/usr/bin/python3"
	if err := exec.Command(path, "-c", "import igraph").Run(); err != nil {
		if strings.Contains(os.Getenv("MUST_RUN"), "python") {
			t.Fatalf("%s with igraph: %v", path, err)
		}
		t.Skip("needs python3-igraph")
	}
	return path
}

// startServer runs the container's server on this machine.
func startServer(t *testing.T, mode, handler string) (*http.Client, int) {
	py := python(t)
	dir, err := os.MkdirTemp("", "ol") // short: a socket's path is bounded
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	cmd := exec.Command(py, "sandbox/server.py", mode, handler, filepath.Join(dir, "s"))
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	ready := make([]byte, 6)
	_, err = io.ReadFull(out, ready)
	require.NoError(t, err)
	require.Equal(t, "ready\n", string(ready))
	return socketClient(filepath.Join(dir, "s")), cmd.Process.Pid
}

func post(t *testing.T, c *http.Client, body string) (int, string) {
	resp, err := c.Post("http://x/", "application/json", strings.NewReader(body))
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(data)
}

func TestFunctionsCompute(t *testing.T) {
	py := python(t)
	for name, c := range map[string]struct {
		n, rounds int
		want      string
	}{
		"fib": {20, 2, "13530"}, "graphBfs": {100, 3, "300"}, "graphMst": {8, 2, "510"},
		"graphPagerank": {8, 3, "3"}, "featureExtractor": {1, 1, "468"}, "floatOperation": {1000, 2, "2000"},
	} {
		out, err := exec.Command(py, "-c", fmt.Sprintf("import sys; sys.path.insert(0, 'functions'); sys.dont_write_bytecode = True; import %s as f; print(f.main(%d, %d))", name, c.n, c.rounds)).CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Equal(t, c.want, strings.TrimSpace(string(out)), name)
	}
}

func TestServerAnswers(t *testing.T) {
	for _, mode := range []string{"fork", "exec"} {
		t.Run(mode, func(t *testing.T) {
			c, parent := startServer(t, mode, "functions/fib.py")
			code, body := post(t, c, `{"n": "20", "id": "7", "job": "fib"}`)
			require.Equal(t, 200, code, body)
			lines := strings.Split(body, "\n")
			require.Equal(t, "6765", lines[0])
			f := strings.Fields(lines[1])
			require.Len(t, f, 6)
			require.Equal(t, []string{"7", "20", "fib"}, []string{f[0], f[4], f[5]})
			pid, err := strconv.Atoi(f[3])
			require.NoError(t, err)
			require.NotEqual(t, parent, pid, "a process of its own")

			code, body = post(t, c, `{"n": "x"}`)
			require.Equal(t, 400, code, body)
			code, body = post(t, c, `[]`)
			require.Equal(t, 400, code, body)
			code, body = post(t, c, `not json`)
			require.Equal(t, 400, code, body)
			resp, err := c.Get("http://x/")
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, 405, resp.StatusCode)
			code, _ = post(t, c, `{"n": 10}`) // and it goes on
			require.Equal(t, 200, code)
		})
	}
}

func TestServerSurvivesAHandlerThatFails(t *testing.T) {
	dir := t.TempDir()
	handler := filepath.Join(dir, "f.py")
	require.NoError(t, os.WriteFile(handler, []byte("import os\ndef main(n, rounds):\n    if n == 1: raise KeyError('boom')\n    if n == 2: os._exit(9)\n    return n\n"), 0o644))
	c, _ := startServer(t, "fork", handler)
	code, body := post(t, c, `{"n": 1}`)
	require.Equal(t, 500, code)
	require.Contains(t, body, "KeyError: 'boom'")
	_, err := c.Post("http://x/", "application/json", strings.NewReader(`{"n": 2}`))
	require.Error(t, err, "a process that died must not hang its client")
	code, _ = post(t, c, `{"n": 3}`)
	require.Equal(t, 200, code)
}

func TestServerServesManyAtOnceAndLeavesNoZombies(t *testing.T) {
	c, parent := startServer(t, "fork", "functions/fib.py")
	var wg sync.WaitGroup
	var mu sync.Mutex
	pids := map[string]bool{}
	for i := range 50 {
		wg.Go(func() {
			code, body := post(t, c, fmt.Sprintf(`{"n": "15", "id": "%d", "rounds": "3"}`, i))
			require.Equal(t, 200, code)
			f := strings.Fields(strings.Split(body, "\n")[1])
			require.Equal(t, strconv.Itoa(i), f[0])
			mu.Lock()
			pids[f[3]] = true
			mu.Unlock()
		})
	}
	wg.Wait()
	require.Len(t, pids, 50)
	require.Eventually(t, func() bool {
		kids, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", parent, parent))
		return err == nil && len(bytes.TrimSpace(kids)) == 0
	}, 10*time.Second, 10*time.Millisecond)
}

// The parent only accepts and forks: of a request that computes, little is its.
func TestTheChildCarriesTheWork(t *testing.T) {
	c, parent := startServer(t, "fork", "functions/fib.py")
	cpu := func() (ticks int) {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", parent))
		require.NoError(t, err)
		f := strings.Fields(string(data)[bytes.LastIndexByte(data, ')')+2:])
		for _, i := range []int{11, 12} {
			n, err := strconv.Atoi(f[i])
			require.NoError(t, err)
			ticks += n
		}
		return ticks
	}
	before := cpu()
	for range 20 {
		code, _ := post(t, c, `{"n": "22", "rounds": "2"}`) // a few ms each
		require.Equal(t, 200, code)
	}
	require.LessOrEqual(t, cpu()-before, 10, "ticks of 10 ms for 20 requests")
}

func TestConfigNamesWhatIsWrong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	write := func(v any) {
		data, err := json.Marshal(v)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, data, 0o600))
	}
	write(map[string]any{"Worker_Port": "5999", "unknown": 1, "seal_priority": "3", "function_name": "fib"})
	c, err := ReadConfig(path, []string{"invocation=exec"})
	require.NoError(t, err)
	require.Equal(t, "5999", c.WorkerPort)
	require.Equal(t, "exec", c.Invocation)
	require.Equal(t, []Function{{Name: "fib", UID: "3"}}, c.Functions)
	for want, v := range map[string]map[string]any{
		`sandbox: "sock": allowed: docker`:                 {"sandbox": "sock"},
		`invocation: "thread": allowed: exec, fork`:        {"invocation": "thread"},
		`worker_port: "99999": allowed: 1 to 65535`:        {"worker_port": "99999"},
		`functions[0].name: "../x": allowed`:               {"functions": []Function{{Name: "../x", UID: "1"}}},
		`functions[0].uid: "": a number is needed`:         {"functions": []Function{{Name: "x"}}},
		`functions[0].port: "5000": there twice`:           {"functions": []Function{{Name: "x", UID: "1", Port: "5000"}}},
		`cgroup_parent: "alps": a systemd slice is needed`: {"cgroup_parent": "alps"},
	} {
		write(v)
		_, err := ReadConfig(path, nil)
		require.ErrorContains(t, err, path+": "+want)
	}
	_, err = ReadConfig(filepath.Join(t.TempDir(), "none.json"), nil)
	require.ErrorContains(t, err, "ol init")
}
