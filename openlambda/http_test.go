package openlambda

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/openlambda/client"
	"github.com/ds2-lab/alps/openlambda/config"
)

const echo = "def f(event):\n    return event\n"

// onDocker serves c with the fake Docker Engine.
func onDocker(t testing.TB, c config.Config) (*serving, *fakeDocker) {
	d := startDocker(t)
	t.Setenv("DOCKER_HOST", d.host())
	p, err := newDocker(parsed(t, c), testLog())
	require.NoError(t, err)
	return serve(t, c, p), d
}

func TestPaths(t *testing.T) {
	c := testConfig(t)
	handler(t, c, "echo", echo)
	s, _ := onDocker(t, c)
	require.Equal(t, "ready\n", s.get("/status"))
	require.Equal(t, strconv.Itoa(os.Getpid())+"\n", s.get("/pid"))
	require.JSONEq(t, "{}", s.get("/stats"))
	require.Equal(t, "\n", s.get("/debug"))

	code, body := s.run("echo", `{"a": [1, "ä"]}`)
	require.Equal(t, 200, code, body)
	require.JSONEq(t, `{"a": [1, "ä"]}`, body)

	var stats map[string]int64
	require.NoError(t, json.Unmarshal([]byte(s.get("/stats")), &stats))
	for _, stage := range []string{"web-request", "LambdaFunc.Invoke", "pull-lambda", "LambdaInstance-WaitSandbox", "Create()", "ServeHTTP"} {
		require.EqualValues(t, 1, stats[stage+".cnt"], stage)
		require.Contains(t, stats, stage+".ms-avg")
	}
	require.Regexp(t, `(?m)^SANDBOX 000000000000 \(DOCKER\) echo uid=0 running requests=0$`, s.get("/debug"))
	metrics := s.get("/metrics")
	for _, want := range []string{`ol_invocations_total{function="echo",status="200"} 1`, `ol_queue_length{function="echo"} 0`,
		`ol_sandboxes{function="echo",state="running"} 1`, `ol_stage_seconds_count{stage="ServeHTTP"} 1`} {
		require.Contains(t, metrics, want)
	}
	require.NoError(t, s.stop())
	saved, err := os.ReadFile(statsFile(c))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(saved, &stats))
	require.EqualValues(t, 1, stats["web-request.cnt"])
}

func TestStatuses(t *testing.T) {
	c := testConfig(t)
	handler(t, c, "echo", echo)
	handler(t, c, "fails", "def f(event):\n    raise KeyError('boom')\n")
	handler(t, c, "broken", "import nothing_of_this_name\n")
	handler(t, c, "needs", "# ol-install: numpy\n"+echo)
	s, _ := onDocker(t, c)
	for _, x := range []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"unknown", "POST", "/run/nope", "{}", 500, "lambda not found at any of these locations: " + filepath.Join(c.Registry, "nope.tar.gz")},
		{"bad name", "POST", "/run/a%20b", "{}", 500, "bad lambda name 'a b', can only contain letters, numbers, period, dash, and underscore"},
		{"path", "POST", "/run/..%2f..%2fetc%2fpasswd", "{}", 500, "expected invocation format: /run/<lambda-name>"},
		{"dots", "POST", "/run/%2e%2e", "{}", 500, ""},
		{"no name", "POST", "/run/", "{}", 500, "expected invocation format: /run/<lambda-name>"},
		{"too long a path", "POST", "/run/echo/x", "{}", 500, "expected invocation format: /run/<lambda-name>"},
		{"slash", "POST", "/run/echo/", "{}", 200, "{}"},
		{"bad JSON", "POST", "/run/echo", "{x", 400, `bad POST data: "{x"`},
		{"no body", "POST", "/run/echo", "", 400, "bad POST data"},
		{"exception", "POST", "/run/fails", "1", 500, "KeyError: 'boom'"},
		{"does not load", "POST", "/run/broken", "1", 500, "could not create Sandbox: function broken: its server said: error: Traceback"},
		{"ol-install", "POST", "/run/needs", "1", 500, "packages belong in the image"},
		{"GET", "GET", "/run/echo", "", 405, "POST only"},
		{"too large", "POST", "/run/echo", `"` + strings.Repeat("x", maxBody) + `"`, 413, "larger than 8 MiB"},
		{"large", "POST", "/run/echo", `"` + strings.Repeat("x", maxBody-100) + `"`, 200, "xxx"},
		{"other", "GET", "/nothing", "", 404, ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			code, body := request(t, x.method, s.base+x.path, x.body)
			require.Equal(t, x.status, code, body)
			require.Contains(t, body, x.want)
		})
	}
	w, _ := s.run("echo", "1")
	require.Equal(t, 200, w, "and it goes on")
	// Names that somebody tried are not kept.
	require.NotContains(t, s.functions, config.Function{Name: "nope"})
	require.NotContains(t, s.get("/metrics"), "nope")
}

// A function has a port that serves it alone, and the labels of its UID.
func TestPortsAndLabels(t *testing.T) {
	c := testConfig(t)
	handler(t, c, "fib", "def main(n, rounds):\n    return n * rounds\n")
	handler(t, c, "late", "def main(n, rounds):\n    return n + rounds\n")
	ports := freePorts(t, 2)
	c.Functions = []config.Function{{Name: "fib", UID: "3", Port: ports[0]}, {Name: "fib", UID: "6", Port: ports[1]}}
	c.Invocation, c.Concurrency, c.Network = config.Fork, 0, "none"
	s, d := onDocker(t, c)
	require.Equal(t, 2, d.count("create"), "both are warm before the worker answers")

	base := "http://127.0.0.1:" + ports[1]
	r, err := client.Invoke(t.Context(), http.DefaultClient, base, "fib", client.Request{N: "9", ID: "7", Job: "fib", Rounds: "2"})
	require.NoError(t, err)
	require.Equal(t, []string{"7", "9", "fib"}, []string{r.ID, r.N, r.Job})
	require.NotZero(t, r.PID)
	_, err = client.Invoke(t.Context(), http.DefaultClient, base, "late", client.Request{N: "1"})
	require.ErrorContains(t, err, "500 Internal Server Error: lambda not found: late: port "+ports[1]+" serves fib")
	_, err = client.Invoke(t.Context(), http.DefaultClient, base, "fib", client.Request{N: "x"})
	require.ErrorContains(t, err, "400 Bad Request")
	_, err = client.Invoke(t.Context(), http.DefaultClient, s.base, "late", client.Request{N: "1", ID: "1", Job: "late"})
	require.NoError(t, err)

	labels := map[string]int{}
	for _, x := range d.list() {
		require.Equal(t, c.WorkerDir, x.config.Labels[LabelCluster])
		labels[x.config.Labels[LabelUID]+" "+x.config.Labels[LabelName]]++
	}
	require.Equal(t, map[string]int{"3 fib": 1, "6 fib": 1, "0 late": 1}, labels)
	require.NoError(t, s.stop())
	require.Empty(t, d.list(), "no container is left")
}

// The artifact's configuration names one function for the whole worker.
func TestSealPriority(t *testing.T) {
	c := testConfig(t)
	handler(t, c, "fib", "def main(n, rounds):\n    return n\n")
	c.SealPriority, c.FunctionName, c.Invocation = "18", "fib", config.Fork
	s, d := onDocker(t, c)
	require.Equal(t, 1, d.count("create"))
	code, _ := s.run("fib", `{"n": 1}`)
	require.Equal(t, 200, code)
	require.Equal(t, map[string]string{LabelUID: "18", LabelName: "fib", LabelCluster: c.WorkerDir}, d.only().config.Labels)
}

func TestLimitsReachDocker(t *testing.T) {
	c := testConfig(t)
	c.Limits = config.Limits{Procs: 7, MemMB: 64, CPUPercent: 150, MaxRuntimeDefault: 9}
	c.Sched, c.CPUs, c.DockerRuntime, c.Network = "rr", "1-3,5", "runsc", "none"
	c.PkgsDir = c.Registry // any directory that is there
	p, err := newDocker(parsed(t, c), testLog())
	require.NoError(t, err)
	o := p.create(spec{function: config.Function{Name: "f", UID: "4"}, codeDir: "/code", hostDir: "/scratch"})
	h := o.HostConfig
	require.EqualValues(t, 7, *h.PidsLimit)
	require.EqualValues(t, 64<<20, h.Memory)
	require.EqualValues(t, 64<<20, h.MemorySwap, "swappiness 0: no swap")
	require.EqualValues(t, 1.5e9, h.NanoCPUs)
	require.Equal(t, "1-3,5", h.CpusetCpus)
	require.Equal(t, "alps.slice", h.CgroupParent)
	require.Equal(t, "runsc", h.Runtime)
	require.EqualValues(t, "none", h.NetworkMode)
	require.Equal(t, []string{"SYS_NICE"}, h.CapAdd, "for sched")
	require.Equal(t, []string{"/code:/handler:ro", "/scratch:/host", c.Registry + ":/packages:ro"}, h.Binds)
	require.Equal(t, []string{"python3", "/host/server.py", "import", "rr", "1", "/handler", "/host"}, o.Config.Cmd)

	c.Limits, c.Sched = config.Limits{MemMB: 64, Swappiness: 40}, "normal"
	p, err = newDocker(parsed(t, c), testLog())
	require.NoError(t, err)
	h = p.create(spec{}).HostConfig
	require.EqualValues(t, -1, h.MemorySwap)
	require.EqualValues(t, 40, *h.MemorySwappiness)
	require.Nil(t, h.PidsLimit)
	require.Zero(t, h.NanoCPUs)
	require.Empty(t, h.CapAdd)
}

func TestTraceLatency(t *testing.T) {
	c := testConfig(t)
	handler(t, c, "f", echo)
	c.Trace.Latency = true
	var log strings.Builder
	w := newWorker(parsed(t, c), &fakePool{}, slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, errors.Join(os.MkdirAll(codeDir(c), 0o700), os.MkdirAll(scratchDir(c), 0o700)))
	rec := httptest.NewRecorder()
	w.routes(nil).ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/run/f", strings.NewReader("1")))
	require.Equal(t, 200, rec.Code, rec.Body)
	require.NoError(t, w.removeAll())
	for _, stage := range []string{"web-request", "ServeHTTP", "Create()"} {
		require.Regexp(t, `latency stage="?`+regexp.QuoteMeta(stage)+`"? ms=\d+`, log.String())
	}
}

// The registry may be a web server; one that is down is a clear answer.
func TestWebRegistry(t *testing.T) {
	files := t.TempDir()
	require.NoError(t, os.WriteFile(files+"/f.py", []byte(echo), 0o644))
	web := httptest.NewServer(http.FileServer(http.Dir(files)))
	defer web.Close()
	c := testConfig(t)
	c.Registry = web.URL
	s, d := onDocker(t, c)
	for range 2 {
		code, body := s.run("f", "[1]")
		require.Equal(t, 200, code, body)
	}
	require.Equal(t, 1, d.count("create"))
	code, body := s.run("nope", "1")
	require.Equal(t, 500, code)
	require.Contains(t, body, "lambda not found at any of these locations: "+web.URL+"/nope.tar.gz, "+web.URL+"/nope.py")
	web.Close()
	code, body = s.run("f", "1")
	require.Equal(t, 500, code)
	require.Contains(t, body, "connection refused")
}
