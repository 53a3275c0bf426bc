// SPDX-License-Identifier: Apache-2.0

package api_test

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

	"github.com/ds2-lab/alps/internal/label"
	"github.com/ds2-lab/alps/openlambda/api"
	"github.com/ds2-lab/alps/openlambda/docker"
	"github.com/ds2-lab/alps/openlambda/oltest"
	"github.com/ds2-lab/alps/openlambda/workdir"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/openlambda/client"
	"github.com/ds2-lab/alps/openlambda/config"
)

func TestPaths(t *testing.T) {
	c := oltest.Config(t)
	oltest.Handler(t, c, "echo", oltest.Echo)
	s, _ := oltest.OnDocker(t, c)
	require.Equal(t, "ready\n", s.Get("/status"))
	require.Equal(t, strconv.Itoa(os.Getpid())+"\n", s.Get("/pid"))
	require.JSONEq(t, "{}", s.Get("/stats"))
	require.Equal(t, "\n", s.Get("/debug"))

	code, body := s.Run("echo", `{"a": [1, "ä"]}`)
	require.Equal(t, 200, code, body)
	require.JSONEq(t, `{"a": [1, "ä"]}`, body)

	var stats map[string]int64
	require.NoError(t, json.Unmarshal([]byte(s.Get("/stats")), &stats))
	for _, stage := range []string{"web-request", "LambdaFunc.Invoke", "pull-lambda", "LambdaInstance-WaitSandbox", "Create()", "ServeHTTP"} {
		require.EqualValues(t, 1, stats[stage+".cnt"], stage)
		require.Contains(t, stats, stage+".ms-avg")
	}
	require.Regexp(t, `(?m)^SANDBOX 000000000000 \(DOCKER\) echo uid=`+config.UIDOf("echo", 0)+` running requests=0$`, s.Get("/debug"))
	metrics := s.Get("/metrics")
	for _, want := range []string{`ol_invocations_total{function="echo",status="200"} 1`, `ol_queue_length{function="echo"} 0`,
		`ol_sandboxes{function="echo",state="running"} 1`, `ol_stage_seconds_count{function="echo",stage="ServeHTTP"} 1`, `ol_cold_starts_total{function="echo"} 1`} {
		require.Contains(t, metrics, want)
	}
	require.NoError(t, s.Stop())
	saved, err := os.ReadFile(workdir.StatsFile(c))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(saved, &stats))
	require.EqualValues(t, 1, stats["web-request.cnt"])
}

func TestStatuses(t *testing.T) {
	c := oltest.Config(t)
	oltest.Handler(t, c, "echo", oltest.Echo)
	oltest.Handler(t, c, "fails", "def f(event):\n    raise KeyError('boom')\n")
	oltest.Handler(t, c, "nan", "def f(event):\n    return float('nan')\n")
	oltest.Handler(t, c, "broken", "import nothing_of_this_name\n")
	oltest.Handler(t, c, "needs", "# ol-install: no-such-package\n"+oltest.Echo)
	s, _ := oltest.OnDocker(t, c)
	for _, x := range []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"unknown", "POST", "/run/nope", "{}", 500, "lambda not found at any of these locations: " + filepath.Join(c.Registry, "nope.tar.gz")},
		{"bad name", "POST", "/run/a%20b", "{}", 500, "bad lambda name 'a b', can only contain letters, numbers, period, dash, and underscore"},
		{"path", "POST", "/run/..%2f..%2fetc%2fpasswd", "{}", 500, "bad lambda name '../../etc/passwd'"},
		{"dots", "POST", "/run/%2e%2e", "{}", 500, ""},
		{"no name", "POST", "/run/", "{}", 500, "expected invocation format: /run/<lambda-name>"},
		{"a path of the function's", "POST", "/run/echo/x/../y//z?a=b", "{}", 200, "{}"},
		{"slash", "POST", "/run/echo/", "{}", 200, "{}"},
		{"bad JSON", "POST", "/run/echo", "{x", 400, `bad POST data: "{x"`},
		{"no body", "POST", "/run/echo", "", 200, "{}"},
		{"exception", "POST", "/run/fails", "1", 500, "KeyError: 'boom'"},
		{"does not load", "POST", "/run/broken", "1", 500, "could not create Sandbox: function broken: its server said: error: Traceback"},
		{"ol-install", "POST", "/run/needs", "1", 500, "refused: ol-install: no-such-package: the image has no no-such-package. Nothing is installed when a function is called"},
		{"GET", "GET", "/run/echo", "", 200, "{}"},
		{"NaN", "POST", "/run/nan", "1", 500, "ValueError: Out of range float values are not JSON compliant"},
		{"NaN comes", "POST", "/run/echo", "[NaN]", 400, "NaN is no JSON"},
		{"too large", "POST", "/run/echo", `"` + strings.Repeat("x", api.MaxBody) + `"`, 413, "larger than 8 MiB"},
		{"large", "POST", "/run/echo", `"` + strings.Repeat("x", api.MaxBody-100) + `"`, 200, "xxx"},
		{"other", "GET", "/nothing", "", 404, ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			code, body := oltest.Request(t, x.method, s.Base+x.path, x.body)
			require.Equal(t, x.status, code, body)
			require.Contains(t, body, x.want)
		})
	}
	w, _ := s.Run("echo", "1")
	require.Equal(t, 200, w, "and it goes on")
	// Names that somebody tried are not kept.
	for _, f := range s.Pool().All() {
		require.NotEqual(t, "nope", f.ID.Name)
	}
	require.NotContains(t, s.Get("/metrics"), "nope")
}

// A configured function has a port that serves no other function, and its container has
// its UID and name as labels.
func TestPortsAndLabels(t *testing.T) {
	c := oltest.Config(t)
	oltest.Handler(t, c, "fib", "def main(n, rounds):\n    return n * rounds\n")
	oltest.Handler(t, c, "late", "def main(n, rounds):\n    return n + rounds\n")
	ports := oltest.FreePorts(t, 2)
	c.Functions = []config.Function{{Name: "fib", UID: "3", Port: ports[0]}, {Name: "fib", UID: "6", Port: ports[1]}}
	c.Invocation, c.Concurrency, c.Network = config.Fork, 0, "none"
	s, d := oltest.OnDocker(t, c)
	require.Equal(t, 2, d.Count("create"), "both are warm before the worker answers")

	base := "http://127.0.0.1:" + ports[1]
	r, err := client.Invoke(t.Context(), http.DefaultClient, base, "fib", client.Request{N: "9", ID: "7", Job: "fib", Rounds: "2"})
	require.NoError(t, err)
	require.Equal(t, []string{"7", "9", "fib"}, []string{r.ID, r.N, r.Job})
	require.NotZero(t, r.PID)
	_, err = client.Invoke(t.Context(), http.DefaultClient, base, "late", client.Request{N: "1"})
	require.ErrorContains(t, err, "500 Internal Server Error: lambda not found: late: port "+ports[1]+" serves fib")
	_, err = client.Invoke(t.Context(), http.DefaultClient, base, "fib", client.Request{N: "x"})
	require.ErrorContains(t, err, "400 Bad Request")
	_, err = client.Invoke(t.Context(), http.DefaultClient, s.Base, "late", client.Request{N: "1", ID: "1", Job: "late"})
	require.NoError(t, err)

	labels := map[string]int{}
	for _, x := range d.List() {
		require.Equal(t, c.WorkerDir, x.Config.Labels[docker.LabelCluster])
		labels[x.Config.Labels[docker.LabelUID]+" "+x.Config.Labels[docker.LabelName]]++
	}
	require.Equal(t, map[string]int{"3 fib": 1, "6 fib": 1, config.UIDOf("late", 0) + " late": 1}, labels)
	require.NoError(t, s.Stop())
	require.Empty(t, d.List(), "no container is left")
}

// The artifact's configuration names one function for the whole worker.
func TestSealPriority(t *testing.T) {
	c := oltest.Config(t)
	oltest.Handler(t, c, "fib", "def main(n, rounds):\n    return n\n")
	c.SealPriority, c.FunctionName, c.Invocation = "18", "fib", config.Fork
	s, d := oltest.OnDocker(t, c)
	require.Equal(t, 1, d.Count("create"))
	code, _ := s.Run("fib", `{"n": 1}`)
	require.Equal(t, 200, code)
	require.Equal(t, map[string]string{docker.LabelUID: "18", docker.LabelName: "fib", docker.LabelCluster: c.WorkerDir, label.Source: "process"}, d.Only().Config.Labels)
}

// In mode import the server forks no process for a request: labels of its container tell
// a scheduler that an invocation is a busy period.
func TestLabelsSayWhatAnInvocationIs(t *testing.T) {
	c := oltest.Config(t)
	oltest.Handler(t, c, "f", oltest.Echo)
	c.Invocation, c.Concurrency = config.Import, 3
	c.Functions = []config.Function{{Name: "f", UID: "7"}}
	_, d := oltest.OnDocker(t, c)
	labels := d.Only().Config.Labels
	require.Equal(t, []string{"busy", "3"}, []string{labels[label.Source], labels[label.Concurrency]})
}

func TestTraceLatency(t *testing.T) {
	c := oltest.Config(t)
	oltest.Handler(t, c, "f", oltest.Echo)
	c.Trace.Latency = true
	var log strings.Builder
	w := api.New(oltest.Parsed(t, c), &oltest.Pool{}, slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, errors.Join(os.MkdirAll(workdir.Code(c), 0o700), os.MkdirAll(workdir.Scratch(c), 0o700)))
	rec := httptest.NewRecorder()
	w.Handler(nil).ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/run/f", strings.NewReader("1")))
	require.Equal(t, 200, rec.Code, rec.Body)
	require.NoError(t, w.Pool().Close())
	for _, stage := range []string{"web-request", "ServeHTTP", "Create()"} {
		require.Regexp(t, `"stage took" function=f stage="?`+regexp.QuoteMeta(stage)+`"? ms=\d+`, log.String())
	}
}

// The registry may be a web server. If the server is down, the answer says so.
func TestWebRegistry(t *testing.T) {
	files := t.TempDir()
	require.NoError(t, os.WriteFile(files+"/f.py", []byte(oltest.Echo), 0o644))
	web := httptest.NewServer(http.FileServer(http.Dir(files)))
	defer web.Close()
	c := oltest.Config(t)
	c.Registry = web.URL
	s, d := oltest.OnDocker(t, c)
	for range 2 {
		code, body := s.Run("f", "[1]")
		require.Equal(t, 200, code, body)
	}
	require.Equal(t, 1, d.Count("create"))
	code, body := s.Run("nope", "1")
	require.Equal(t, 500, code)
	require.Contains(t, body, "lambda not found at any of these locations: "+web.URL+"/nope.tar.gz, "+web.URL+"/nope.py")
	web.Close()
	code, body = s.Run("f", "1")
	require.Equal(t, 500, code)
	require.Contains(t, body, "connection refused")
}
