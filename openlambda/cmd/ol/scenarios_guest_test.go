// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/oltest"
)

// put puts a function of several files into the registry.
func put(t testing.TB, c config.Config, name string, files map[string]string) {
	for file, text := range files {
		path := filepath.Join(c.Registry, name, file)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
}

const forkBomb = `import os
def down(n):
    if n == 0: return 0
    try:
        pid = os.fork()
    except OSError:
        return 0
    if pid:
        return os.waitpid(pid, 0)[1] >> 8
    os._exit(1 + down(n - 1))
def f(event):
    return down(event["times"])
`

const memoryHog = `import os
def fits(mb):
    pid = os.fork()
    if pid == 0:
        b = b"M" * (mb << 20)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0
def f(event):
    for mb in range(4, 512, 4):
        if not fits(mb): return mb - 4
`

// The scenarios of OpenLambda's own tests that need no packages, with the configuration that
// ol init writes, but for address, port and registry_cache_ms.
func TestGuestScenarios(t *testing.T) {
	inGuest(t)
	c := oltest.Config(t)
	d := config.Default(filepath.Dir(c.WorkerDir))
	d.WorkerPort, d.WorkerURL, d.RegistryCacheMS = c.WorkerPort, c.WorkerURL, 1000
	c = d
	oltest.Handler(t, c, "echo", oltest.Echo)
	oltest.Handler(t, c, "fbomb", forkBomb)
	oltest.Handler(t, c, "hog", memoryHog)
	put(t, c, "env", map[string]string{"main.py": "import os\ndef f(event):\n    return os.environ['MY_VAR']\n",
		"ol.yaml": "triggers:\n  http:\n    - method: GET\n    - method: POST\nenvironment:\n  OL_ENTRY_FILE: main.py\n  MY_VAR: hello\n"})
	put(t, c, "wsgi", map[string]string{"main.py": "def mine(environ, start_response):\n    start_response('418 Teapot', [('A', 'B')])\n    return [environ['PATH_INFO'].encode() + environ['wsgi.input'].read()]\n",
		"ol.yaml": "environment:\n  OL_ENTRY_FILE: main.py\n  OL_WSGI_ENTRY: mine\n"})
	p := oltest.DockerMaker(t, c, oltest.Log())
	s := oltest.Serve(t, c, p)

	begun := time.Now()
	for range 1000 {
		require.Equal(t, "ready\n", s.Get("/status"))
	}
	t.Logf("1000 pings in %s", time.Since(begun).Round(time.Millisecond))

	code, body := s.Run("fbomb", fmt.Sprintf(`{"times": %d}`, 2*c.Limits.Procs))
	require.Equal(t, 200, code, body)
	n, err := strconv.Atoi(body)
	require.NoError(t, err)
	require.True(t, 1 <= n && n <= c.Limits.Procs, "limits.procs is %d: %d", c.Limits.Procs, n)

	code, body = s.Run("hog", "null")
	require.Equal(t, 200, code, body)
	n, err = strconv.Atoi(body)
	require.NoError(t, err)
	require.True(t, c.Limits.MemMB-32 <= n && n <= c.Limits.MemMB, "limits.mem_mb is %d: %d", c.Limits.MemMB, n)

	code, body = oltest.Request(t, http.MethodGet, s.Base+"/run/env", "")
	require.Equal(t, 200, code, body)
	require.Equal(t, `"hello"`, body)
	code, body = oltest.Request(t, http.MethodPut, s.Base+"/run/env", "")
	require.Equal(t, 405, code)
	require.Equal(t, "HTTP method not allowed. Sent: PUT, Allowed: [GET POST]\n", body)
	code, body = oltest.Request(t, http.MethodPost, s.Base+"/run/wsgi/info", "x")
	require.Equal(t, 418, code, body)
	require.Equal(t, "/infox", body)

	// Code that changes is seen once registry_cache_ms has passed.
	for i := range 3 {
		put(t, c, "version", map[string]string{"f.py": fmt.Sprintf("def f(event):\n    return %d\n", i)})
		require.Eventually(t, func() bool { _, body := s.Run("version", "1"); return body == strconv.Itoa(i) }, time.Minute, 100*time.Millisecond)
	}

	// One function under load, then many functions once each.
	for _, clients := range []int{1, 2, 8} {
		var wg sync.WaitGroup
		for i := range clients {
			wg.Go(func() {
				for j := range 25 {
					code, body := s.Run("echo", strconv.Itoa(100*i+j))
					assert.Equal(t, 200, code, body)
					assert.Equal(t, strconv.Itoa(100*i+j), body)
				}
			})
		}
		wg.Wait()
	}
	for i := range 10 {
		oltest.Handler(t, c, fmt.Sprint("L", i), fmt.Sprintf("s = '*' * (1 << 20)\ndef f(event):\n    return %d\n", i))
		code, body := s.Run(fmt.Sprint("L", i), "1")
		require.Equal(t, 200, code, body)
		require.Equal(t, strconv.Itoa(i), body)
	}
}

// The web frameworks and packages of OpenLambda's examples, with an image, tagged
// lambda-web, that has Debian's packages of them.
func TestGuestExamples(t *testing.T) {
	inGuest(t)
	shell(t, "docker load -i /tmp/lambda.tar")
	s := guestServe(t, func(c *config.Config) {
		c.Image, c.Network, c.Invocation, c.Concurrency = "lambda-web", "none", config.Fork, 1
		put(t, *c, "flask", map[string]string{"app.py": "from flask import Flask, Response, request\napp = Flask('hi')\n@app.route('/')\ndef hi():\n    return Response('hi\\n', status=418, headers={'A': 'B'})\n@app.route('/info')\ndef info():\n    return {'entry': 'app.py'}\n@app.route('/echo', methods=['POST'])\ndef echo():\n    return Response(request.get_data(as_text=True), mimetype=request.content_type)\n",
			"ol.yaml": "environment:\n  OL_ENTRY_FILE: app.py\n", "requirements.txt": "flask>=2.2\nwerkzeug\n"})
		put(t, *c, "fastapi", map[string]string{"f.py": "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/')\ndef hello():\n    return {'message': 'hello world'}\n", "requirements.txt": "fastapi\n"})
		put(t, *c, "exact", map[string]string{"f.py": "import flask\ndef f(event):\n    return 1\n", "requirements.txt": "flask==3.1.0\nblinker==1.9.0\n"})
	})
	get := func(path string) (int, string) { return oltest.Request(t, http.MethodGet, s.Base+"/run/"+path, "") }
	code, body := get("flask")
	require.Equal(t, 418, code, body)
	require.Equal(t, "hi\n", body)
	code, body = get("flask/info")
	require.Equal(t, 200, code, body)
	require.JSONEq(t, `{"entry": "app.py"}`, body)
	code, body = s.Run("flask/echo", "some text")
	require.Equal(t, 200, code, body)
	require.Equal(t, "some text", body)
	code, body = get("fastapi")
	require.Equal(t, 200, code, body)
	require.JSONEq(t, `{"message": "hello world"}`, body)
	code, body = s.Run("exact", "1")
	require.Equal(t, 500, code)
	require.Contains(t, body, "refused: requirements.txt:1: flask==3.1.0: the image has flask 2.2.2; requirements.txt:2: blinker==1.9.0: the image has no blinker")
}

// A daemon with its defaults, beside a worker with the configuration that ol init writes,
// tells a short function from a long one.
func TestGuestBesideALPS(t *testing.T) {
	inGuest(t)
	daemon := exec.Command("alps", "run")
	daemon.Stderr = os.Stderr
	require.NoError(t, daemon.Start())
	t.Cleanup(func() { daemon.Process.Signal(os.Interrupt); daemon.Wait() })
	c := oltest.Config(t)
	d := config.Default(filepath.Dir(c.WorkerDir))
	d.WorkerPort = c.WorkerPort
	oltest.Handler(t, d, "short", oltest.Echo)
	oltest.Handler(t, d, "long", "import time\ndef f(event):\n    end = time.process_time() + 0.3\n    while time.process_time() < end: pass\n")
	s := oltest.Serve(t, d, oltest.DockerMaker(t, d, oltest.Log()))
	var status struct {
		Functions []struct {
			UID, Name string
			Steered   bool
		}
		Tables []struct {
			UID     string
			IndexNS int64 `json:"index_ns"`
			Records int
		}
	}
	index := func(name string) int64 {
		for _, x := range status.Tables {
			if x.UID == config.UIDOf(name, 0) && x.Records > 0 {
				return x.IndexNS
			}
		}
		return 0
	}
	// What a container does while it starts counts as busy, too, so it takes some
	// requests until the two are told apart.
	require.Eventually(t, func() bool {
		for _, name := range []string{"short", "short", "long"} {
			code, body := s.Run(name, "1")
			assert.Equal(t, 200, code, body)
		}
		if json.Unmarshal([]byte(shell(t, "alps status -json")), &status) != nil {
			return false
		}
		return index("short") > 0 && 2*index("short") < index("long")
	}, 2*time.Minute, time.Second, "the long one comes later")
	t.Log(shell(t, "alps status"))
	require.Len(t, status.Functions, 2)
	for _, f := range status.Functions {
		require.Equal(t, config.UIDOf(f.Name, 0), f.UID)
		require.True(t, f.Steered, "%+v", f)
	}
	require.NotContains(t, strings.ToLower(shell(t, "alps status")), "refused")
}
