// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/docker"
	"github.com/ds2-lab/alps/openlambda/oltest"
)

// files puts a function of several files into the registry.
func files(t testing.TB, c config.Config, name string, files map[string]string) {
	for file, text := range files {
		path := filepath.Join(c.Registry, name, file)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
}

// send sends a request with headers and reads the whole answer.
func send(t testing.TB, method, url, body string, header http.Header) (*http.Response, string) {
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(data)
}

const mirror = `import json
def app(environ, start_response):
    start_response("207 Odd", [("Content-Type", "application/x-odd"), ("X-A", "1"), ("X-A", "2"), ("Connection", "keep-alive")])
    out = {k: v for k, v in environ.items() if isinstance(v, str)}
    out["body"] = environ["wsgi.input"].read().hex()
    return [json.dumps(out).encode()]
`

// Path, query, method, headers and body reach the function as they were sent; its
// status, headers and body reach the client.
func TestWholeRequestAndWholeAnswer(t *testing.T) {
	for _, mode := range []string{config.Import, config.Fork} {
		t.Run(mode, func(t *testing.T) {
			c := oltest.Config(t)
			c.Invocation = mode
			oltest.Handler(t, c, "m", mirror)
			s, _ := oltest.OnDocker(t, c)
			const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
			for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
				resp, body := send(t, method, s.Base+"/run/m/a/../b//c%2Fd?x=1&y=%20z", "\x00\xfe\xff", http.Header{"X-One": {"1"}, "Traceparent": {parent}, "X-Request-Id": {"mine"}, "Connection": {"X-Gone"}, "X-Gone": {"1"}})
				require.Equal(t, 207, resp.StatusCode, body)
				require.Equal(t, "application/x-odd", resp.Header.Get("Content-Type"))
				require.Equal(t, []string{"1", "2"}, resp.Header["X-A"])
				require.Empty(t, resp.Header["Connection"])
				require.Equal(t, "mine", resp.Header.Get("X-Request-Id"))
				var got map[string]string
				require.NoError(t, json.Unmarshal([]byte(body), &got), body)
				for k, want := range map[string]string{"REQUEST_METHOD": method, "SCRIPT_NAME": "/run/m", "PATH_INFO": "/a/../b//c/d", "QUERY_STRING": "x=1&y=%20z", "body": "00feff",
					"HTTP_X_ONE": "1", "HTTP_X_REQUEST_ID": "mine", "HTTP_TRACEPARENT": parent, "HTTP_X_GONE": "", "HTTP_HOST": strings.TrimPrefix(s.Base, "http://")} {
					require.Equal(t, want, got[k], k)
				}
			}
			resp, body := send(t, "HEAD", s.Base+"/run/m", "", nil)
			require.Equal(t, 207, resp.StatusCode)
			require.Empty(t, body)
			require.Regexp(t, `^[0-9a-f]{8}-\d+$`, resp.Header.Get("X-Request-Id"))
			resp, _ = send(t, "GET", s.Base+"/run/m", "", http.Header{"X-Request-Id": {"a b\tc"}})
			require.NotContains(t, resp.Header.Get("X-Request-Id"), "a b", "no line of the log is broken")
		})
	}
}

// Parts of an answer arrive when the function sends them.
func TestStreaming(t *testing.T) {
	c := oltest.Config(t)
	next := filepath.Join(oltest.ShortDir(t), "next")
	oltest.Handler(t, c, "s", fmt.Sprintf(`import os, time
def app(environ, start_response):
    start_response("200 OK", [])
    yield b"first\n"
    while not os.path.exists(%q): time.sleep(0.01)
    yield b"second\n"
`, next))
	s, _ := oltest.OnDocker(t, c)
	resp, err := http.Get(s.Base + "/run/s")
	require.NoError(t, err)
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	line, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "first\n", line)
	require.NoError(t, os.WriteFile(next, nil, 0o600))
	line, err = lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "second\n", line)
	_, err = lines.ReadByte()
	require.ErrorIs(t, err, io.EOF)
}

// ol.yaml sets methods, environment and entry file; the answer names what is wrong in it.
func TestOlYamlOfAFunction(t *testing.T) {
	c := oltest.Config(t)
	files(t, c, "env", map[string]string{"app.py": "import os\ndef f(event):\n    return os.environ.get('MY_VAR')\n",
		"ol.yaml": "triggers:\n  http:\n    - method: GET\n    - method: POST\nenvironment:\n  OL_ENTRY_FILE: app.py\n  MY_VAR: \"a b\"\n"})
	files(t, c, "kafka", map[string]string{"f.py": oltest.Echo, "ol.yaml": "triggers:\n  kafka:\n    - topics: [a]\n"})
	files(t, c, "typo", map[string]string{"f.py": oltest.Echo, "ol.yaml": "enviroment:\n  A: b\n"})
	s, _ := oltest.OnDocker(t, c)
	for _, method := range []string{"GET", "POST"} {
		resp, body := send(t, method, s.Base+"/run/env", "", nil)
		require.Equal(t, 200, resp.StatusCode, body)
		require.Equal(t, `"a b"`, body)
	}
	resp, body := send(t, "PUT", s.Base+"/run/env", "", nil)
	require.Equal(t, 405, resp.StatusCode)
	require.Equal(t, "HTTP method not allowed. Sent: PUT, Allowed: [GET POST]\n", body)
	require.Equal(t, "GET, POST", resp.Header.Get("Allow"))
	_, body = s.Run("kafka", "1")
	require.Contains(t, body, "lambda kafka: ol.yaml:3:7: triggers.kafka: this worker reads from no Kafka; remove the trigger")
	_, body = s.Run("typo", "1")
	require.Contains(t, body, "lambda typo: ol.yaml:1:1: enviroment: no such key; allowed: environment, reuse-sandbox, triggers")
}

// Every request is told what the image lacks. One container is asked for that, and another
// one when the code has changed.
func TestRefusedUntilTheCodeIsAnother(t *testing.T) {
	c := oltest.Config(t)
	files(t, c, "web", map[string]string{"f.py": oltest.Echo, "requirements.txt": "no-such-thing==1.0\n"})
	s, d := oltest.OnDocker(t, c)
	for range 5 {
		code, body := s.Run("web", "1")
		require.Equal(t, 500, code)
		require.Contains(t, body, "refused: requirements.txt:1: no-such-thing==1.0: the image has no no-such-thing. Nothing is installed when a function is called: build an image that has them (go run mage.go openlambda:build -packages=python3-no-such-thing")
	}
	require.Equal(t, 1, d.Count("create"))
	require.Contains(t, s.Get("/functions"), "the image has no no-such-thing")
	files(t, c, "web", map[string]string{"requirements.txt": "# none\n"})
	code, body := s.Run("web", "1")
	require.Equal(t, 200, code, body)
}

// reuse-sandbox: false gives each request a sandbox of its own.
func TestFreshSandboxes(t *testing.T) {
	c := oltest.Config(t)
	files(t, c, "f", map[string]string{"f.py": "n = 0\ndef f(event):\n    global n\n    n += 1\n    return n\n", "ol.yaml": "reuse-sandbox: false\n"})
	s, d := oltest.OnDocker(t, c)
	for range 3 {
		code, body := s.Run("f", "1")
		require.Equal(t, 200, code, body)
		require.Equal(t, "1", body)
	}
	require.GreaterOrEqual(t, d.Count("create"), 3)
}

// cron calls a function that no client has called, at the times of its ol.yaml, with {}. The
// methods of its http triggers do not count.
func TestCron(t *testing.T) {
	c := oltest.Config(t)
	marks := oltest.ShortDir(t)
	files(t, c, "tick", map[string]string{"f.py": fmt.Sprintf("import os, json\ndef f(event):\n    open(os.path.join(%q, str(len(os.listdir(%[1]q)))), 'w').write(json.dumps(event))\n", marks),
		"ol.yaml": "triggers:\n  http:\n    - method: GET\n  cron:\n    - schedule: \"@every 1s\"\n"})
	s, _ := oltest.OnDocker(t, c)
	oltest.Eventually(t, func() bool { e, _ := os.ReadDir(marks); return len(e) >= 2 }, "it is called twice")
	oltest.Eventually(t, func() bool { data, _ := os.ReadFile(marks + "/0"); return string(data) == "{}" }, "with an empty object")
	require.Contains(t, s.Get("/metrics"), `ol_invocations_total{function="tick",status="200"}`)
}

// If an answer to cron breaks off, the worker goes on, and cron calls the function again.
func TestCronOfAFunctionThatBreaksOff(t *testing.T) {
	c := oltest.Config(t)
	files(t, c, "tick", map[string]string{"f.py": "def app(environ, start_response):\n    start_response('200 OK', [])\n    yield b'half'\n    raise KeyError('boom')\n",
		"ol.yaml": "triggers:\n  cron:\n    - schedule: \"@every 1s\"\n"})
	s, _ := oltest.OnDocker(t, c)
	oltest.Eventually(t, func() bool {
		return strings.Contains(s.Get("/metrics"), `ol_invocations_total{function="tick",status="598"} 2`)
	}, "it is called again")
}

// syncBuffer may be written and read at once.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// Cold start, failure, death with its reason and replacement each leave a line
// with function and request, and a number in the metrics.
func TestWhatHappensIsLoggedAndCounted(t *testing.T) {
	c := oltest.Config(t)
	oltest.Handler(t, c, "f", "import os\ndef f(event):\n    if event == 'exit': os._exit(3)\n    if event == 'raise': raise KeyError('boom')\n    return 1\n")
	d := oltest.StartDocker(t)
	t.Setenv("DOCKER_HOST", d.Host())
	var log syncBuffer
	lines := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := oltest.ServeLog(t, c, oltest.DockerMaker(t, c, lines), lines)
	post := func(id, body string) (int, string) {
		resp, text := send(t, "POST", s.Base+"/run/f", body, http.Header{"X-Request-Id": {id}, "Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}})
		return resp.StatusCode, text
	}
	code, _ := post("one", "1")
	require.Equal(t, 200, code)
	code, body := post("two", `"exit"`)
	require.Equal(t, http.StatusBadGateway, code)
	require.Equal(t, "function f: ended without an answer: its server ended with exit code 3\n", body)
	code, _ = post("three", `"raise"`)
	require.Equal(t, 500, code)
	first := d.Count("create")
	require.Equal(t, 2, first)
	d.Only().OutOfMemory()
	d.Kill(d.Only())
	code, _ = post("four", "1")
	require.Equal(t, 200, code)
	require.NoError(t, s.Stop())
	for _, want := range []string{
		`level=INFO msg="sandbox is ready" function=f request=one sandbox=000000000000 took=`,
		`level=WARN msg="sandbox died" function=f sandbox=000000000000 reason="its server ended with exit code 3" lived=`,
		`level=ERROR msg="request failed" function=f request=two method=POST path=/run/f status=502 took=\S+ trace=4bf92f3577b34da6a3ce929d0e0e4736 err="function f: ended without an answer: its server ended with exit code 3"`,
		`level=INFO msg="sandbox is ready" function=f (request=three )?replaces=000000000000 `,
		`level=ERROR msg="request failed" function=f request=three .* status=500 .* err="KeyError: 'boom'"`,
		`level=WARN msg="sandbox died" function=f sandbox=000000000000 reason="the host was out of memory, and the kernel ended it"`,
		`level=DEBUG msg="request was served" function=f request=four .* status=200`,
	} {
		require.Regexp(t, want, log.String())
	}
	metrics := httptestGet(s.Handler(nil), "/metrics")
	for _, want := range []string{`ol_cold_starts_total{function="f"} 3`, `ol_deaths_total{function="f",reason="exit"} 1`, `ol_deaths_total{function="f",reason="oom"} 1`,
		`ol_invocations_total{function="f",status="502"} 1`, `ol_invocations_total{function="f",status="500"} 1`, `ol_stage_seconds_count{function="f",stage="Create"} 3`} {
		require.Contains(t, metrics, want)
	}
}

func httptestGet(h http.Handler, path string) string {
	r, err := http.NewRequestWithContext(context.Background(), "GET", path, nil)
	if err != nil {
		return err.Error()
	}
	w := &recorder{header: http.Header{}}
	h.ServeHTTP(w, r)
	return w.b.String()
}

type recorder struct {
	header http.Header
	b      bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) Write(b []byte) (int, error) { return r.b.Write(b) }
func (r *recorder) WriteHeader(int)             {}

// If Docker reports that the container was out of memory, the answer says so, with the limit.
func TestOutOfMemory(t *testing.T) {
	c := oltest.Config(t)
	c.Limits.MemMB = 50
	dir := oltest.ShortDir(t)
	oltest.Handler(t, c, "f", fmt.Sprintf("import os, signal, time\ndef f(event):\n    open(%q, 'w').close()\n    time.sleep(1)\n    os.kill(os.getpid(), signal.SIGKILL)\n", dir+"/began"))
	s, d := oltest.OnDocker(t, c)
	go func() {
		for {
			if _, err := os.Stat(dir + "/began"); err == nil {
				d.Only().OutOfMemory()
				return
			}
		}
	}()
	code, body := s.Run("f", "1")
	require.Equal(t, http.StatusBadGateway, code)
	require.Equal(t, "function f: ended without an answer: it was out of memory: limits.mem_mb is 50\n", body)
}

// A function for which no UID is configured has the UID that its name makes.
func TestEveryFunctionHasItsUID(t *testing.T) {
	c := oltest.Config(t)
	for _, name := range []string{"echo", "cpu"} {
		oltest.Handler(t, c, name, oltest.Echo)
	}
	s, d := oltest.OnDocker(t, c)
	seen := map[string]string{}
	for _, name := range []string{"echo", "cpu"} {
		code, _ := s.Run(name, "1")
		require.Equal(t, 200, code)
	}
	for _, x := range d.List() {
		seen[x.Config.Labels[docker.LabelName]] = x.Config.Labels[docker.LabelUID]
	}
	require.Equal(t, map[string]string{"echo": config.UIDOf("echo", 0), "cpu": config.UIDOf("cpu", 0)}, seen)
}
