// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ds2-lab/alps/openlambda/docker"
	"github.com/ds2-lab/alps/openlambda/oltest"
	"github.com/ds2-lab/alps/openlambda/workdir"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/ring"
)

// contract is what a client sees of our worker and of OpenLambda's at commit 92fbdfe.
// Where the statuses differ, ours is another on purpose (compat.md).
var contract = []struct {
	name, method, path, body string
	ours, upstream           int
	answer                   string // in both
}{
	{"status", "GET", "/status", "", 200, 200, "ready\n"},
	{"pid", "GET", "/pid", "", 200, 200, "\n"},
	{"stats", "GET", "/stats", "", 200, 200, "{"},
	{"debug", "GET", "/debug", "", 200, 200, "\n"},
	{"echo", "POST", "/run/echo", `{"a":1}`, 200, 200, `"a": 1`},
	{"directory", "POST", "/run/dir", `1`, 200, 200, "7"},
	{"trailing slash", "POST", "/run/echo/", "1", 200, 200, "1"},
	{"again", "POST", "/run/echo", "2", 200, 200, "2"},
	{"bad JSON", "POST", "/run/echo", "{x", 400, 400, "bad POST data"},
	{"exception", "POST", "/run/fails", "1", 500, 500, "KeyError: 'boom'"},
	{"unknown", "POST", "/run/nope", "1", 500, 500, "lambda not found at any of these locations"},
	{"bad name", "POST", "/run/a%20b", "1", 500, 500, "bad lambda name 'a b', can only contain letters, numbers, period, dash, and underscore\n"},
	{"no name", "POST", "/run/", "1", 500, 500, "expected invocation format: /run/<lambda-name>"},
	{"long path", "POST", "/run/echo/x", "1", 200, 500, ""},
	{"GET", "GET", "/run/echo", "", 200, 405, ""},
	{"other", "GET", "/nothing", "", 404, 404, "404 page not found"},
	{"upload", "POST", "/registry/echo", "", 404, 404, "404 page not found"},
	{"kafka", "POST", "/kafka/register/echo", "", 404, 404, "404 page not found"},
}

// useContract asks the worker at base everything above.
func useContract(t *testing.T, base string, status func(i int) int) {
	for i, x := range contract {
		t.Run(x.name, func(t *testing.T) {
			code, body := oltest.Request(t, x.method, base+x.path, x.body)
			require.Equal(t, status(i), code, body)
			require.Contains(t, body, x.answer)
		})
	}
}

// contractFunctions puts the functions of contract into the registry.
func (o *olDir) contractFunctions() {
	oltest.Handler(o.t, o.cfg, "echo", oltest.Echo)
	oltest.Handler(o.t, o.cfg, "fails", "def f(event):\n    raise KeyError('boom')\n")
	require.NoError(o.t, os.Mkdir(o.cfg.Registry+"/dir", 0o755))
	require.NoError(o.t, os.WriteFile(o.cfg.Registry+"/dir/f.py", []byte("import other\ndef f(event):\n    return other.x\n"), 0o644))
	require.NoError(o.t, os.WriteFile(o.cfg.Registry+"/dir/other.py", []byte("x = 7\n"), 0o644))
}

func TestContract(t *testing.T) {
	o := newOlDir(t)
	o.contractFunctions()
	o.up()
	useContract(t, "http://"+o.cfg.Address(), func(i int) int { return contract[i].ours })
}

// OpenLambda's own binary, where OL_UPSTREAM names one: the contract holds for
// it, it runs on our image's server, and our commands work on its directory.
func TestUpstreamBinary(t *testing.T) {
	binary := os.Getenv("OL_UPSTREAM")
	ring.Need(t, ring.Upstream, binary != "", "OL_UPSTREAM names no ol of OpenLambda's")
	o := newOlDir(t)
	o.contractFunctions()
	o.cfg.Limits.MaxRuntimeDefault = 30 // upstream ends an invocation at once if it is 0
	require.NoError(t, o.cfg.Write(o.path+"/config.json"))
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(o.file("worker.out"))
		}
	})
	cmd := exec.Command(binary, "worker", "-p", o.path, "-d")
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+o.d.Host())
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "ready\n")
	pid, _, _ := workdir.Running(o.cfg)
	require.NotZero(t, pid, "its worker.pid is as ours")
	useContract(t, "http://"+o.cfg.Address(), func(i int) int { return contract[i].upstream })

	code, body := oltest.Request(t, http.MethodPost, "http://"+o.cfg.Address()+"/run/fails", "1")
	require.Equal(t, 500, code, body)
	got, errOut, exit := o.ol("status")
	require.Zero(t, exit, errOut)
	require.Contains(t, got, "ready")
	require.Len(t, o.d.List(), 3, "one for each function")
	for _, c := range o.d.List() {
		require.Equal(t, o.cfg.WorkerDir, c.Config.Labels[docker.LabelCluster])
	}
	_, errOut, exit = o.ol("kill")
	require.Zero(t, exit, errOut)
	require.False(t, workdir.Alive(pid))
}

// functions init starts and stops workers of another binary.
func TestFunctionsInitWithAnotherBinary(t *testing.T) {
	binary := os.Getenv("OL_UPSTREAM")
	d := oltest.StartDocker(t)
	if binary == "" { // our own has the same command line
		binary = filepath.Join(t.TempDir(), "ol")
		self, err := os.Executable()
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(binary, []byte("#!/bin/sh\nexec "+self+" \"$@\"\n"), 0o755))
	}
	dir := oltest.ShortDir(t)
	registry, err := filepath.Abs("../../functions")
	require.NoError(t, err)
	t.Cleanup(func() { ol(t, d, "functions", "delete", "-p", dir) })
	args := []string{"functions", "init", "-p", dir, "-registry", registry, "-ports", "5006,5018", "-binary", binary}
	for range 2 {
		out, errOut, code := ol(t, d, args...)
		require.Zero(t, code, errOut)
		require.Equal(t, "ready\n", out)
	}
	require.Len(t, d.List(), 2, "each has its container, and there is one worker for each")
	for _, port := range []string{"5006", "5018"} {
		code, body := oltest.Request(t, http.MethodPost, "http://127.0.0.1:"+port+"/run/fib", `{"n":"20","id":"20","job":"fib"}`)
		require.Equal(t, 200, code, body)
		require.True(t, strings.HasPrefix(body, "6765\n20 "), body)
	}
	_, errOut, code := ol(t, d, "functions", "delete", "-p", dir)
	require.Zero(t, code, errOut)
	require.Empty(t, d.List())
}
