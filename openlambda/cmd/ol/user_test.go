// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/oltest"
)

// status, kill, list, invoke and logs find the worker of PATH, also one that was
// started with another port.
func TestCommandsFindTheWorkerOfThePath(t *testing.T) {
	o := newOlDir(t)
	oltest.Handler(t, o.cfg, "echo", "def f(event):\n    print('got', event)\n    return event\n")
	port := oltest.FreePorts(t, 1)[0]
	o.up("-o", "worker_port="+port)
	out, errOut, code := o.ol("status")
	require.Zero(t, code, errOut)
	require.Contains(t, out, ":"+port+"/status")

	out, errOut, code = o.ol("invoke", "echo", "-d", `{"a": 1}`)
	require.Zero(t, code, errOut)
	require.JSONEq(t, `{"a": 1}`, out)
	body := filepath.Join(o.path, "body")
	require.NoError(t, os.WriteFile(body, []byte("[2]"), 0o600))
	out, errOut, code = o.ol("invoke", "-f", body, "-u", "/x?y=1", "echo")
	require.Zero(t, code, errOut)
	require.Equal(t, "[2]", out)
	_, errOut, code = o.ol("invoke", "nope", "-d", "1")
	require.Equal(t, 1, code)
	require.Regexp(t, `ol invoke: nope: 500 Internal Server Error \(request [0-9a-f]+-\d+; see: ol logs nope -p `, errOut)

	out, errOut, code = o.ol("list")
	require.Zero(t, code, errOut)
	require.Regexp(t, `(?m)^echo +`+config.UIDOf("echo", 0)+` +\* +(1 +0|0 +1) +0`, out, "one sandbox, which may be paused by now")

	out, errOut, code = o.ol("logs", "echo")
	require.Zero(t, code, errOut)
	require.Contains(t, out, `msg="sandbox is ready" function=echo request=`, "the worker's lines")
	require.Contains(t, out, "got {'a': 1}\ngot [2]\n", "and the function's")

	out, errOut, code = o.ol("kill")
	require.Zero(t, code, errOut)
	require.Contains(t, out, "stopped successfully")
	// A start without -o has what config.json says.
	o.up()
	out, _, code = o.ol("status")
	require.Zero(t, code)
	require.Contains(t, out, ":"+o.cfg.WorkerPort+"/status")
}

// ol invoke shows the function's own answer, also if that sends the client elsewhere.
func TestInvokeShowsARedirect(t *testing.T) {
	o := newOlDir(t)
	oltest.Handler(t, o.cfg, "moved", `def app(environ, start_response):
    if environ["PATH_INFO"] != "/":
        start_response("200 OK", [])
        return [b"the target"]
    start_response("302 Found", [("Location", "/run/moved/there")])
    return [b"moved by " + environ["REQUEST_METHOD"].encode()]
`)
	o.up()
	out, errOut, code := o.ol("invoke", "moved")
	require.Zero(t, code, errOut)
	require.Equal(t, "moved by POST", out)
	require.Equal(t, "moved: 302 Found: Location: /run/moved/there\n", errOut)
}

// ol logs -f shows what comes after its start: from the worker, and from containers that did
// not exist then. It ends by a signal, without an error.
func TestLogsFollow(t *testing.T) {
	o := newOlDir(t)
	oltest.Handler(t, o.cfg, "echo", "def f(event):\n    print('got', event, flush=True)\n    return event\n")
	oltest.Handler(t, o.cfg, "other", oltest.Echo)
	cmd := olCommand(o.d, "logs", "-f", "echo", "-p", o.path)
	file, err := os.Create(filepath.Join(o.path, "followed"))
	require.NoError(t, err)
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill() })
	o.up()
	shows := func(want string) {
		oltest.Eventually(t, func() bool { return strings.Contains(o.file("followed"), want) }, want)
	}
	for _, body := range []string{"1", "2"} {
		for _, name := range []string{"echo", "other"} {
			status, _ := o.run(name, body)
			require.Equal(t, 200, status)
		}
		shows("got " + body + "\n")
	}
	shows(`msg="sandbox is ready" function=echo request=`)
	for _, c := range o.d.List() {
		o.d.Kill(c)
	}
	shows(`msg="sandbox died" function=echo`)
	status, _ := o.run("echo", "3")
	require.Equal(t, 200, status)
	shows("got 3\n")
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	require.NoError(t, cmd.Wait(), o.file("followed"))
	require.NotContains(t, o.file("followed"), "function=other")
	require.Equal(t, 1, strings.Count(o.file("followed"), "got 1\n"))
}

// A line of the worker may have any length.
func TestLogsWithALongLine(t *testing.T) {
	o := newOlDir(t)
	write(t, o.path+"/worker.out", "function=echo "+strings.Repeat("x", 3<<20)+"\nlast function=echo\n")
	out, errOut, code := o.ol("logs", "echo")
	require.Zero(t, code, errOut)
	require.True(t, strings.HasSuffix(out, "xxx\nlast function=echo\n"))
}

// ol kill finds the container of a killed worker by the config.json.overrides that it left.
func TestKillFindsWhatAWorkerWithOverridesLeft(t *testing.T) {
	o := newOlDir(t)
	oltest.Handler(t, o.cfg, "echo", oltest.Echo)
	dir := filepath.Join(oltest.ShortDir(t), "w")
	_, errOut, code := o.ol("worker", "-d", "-o", "worker_dir="+dir)
	require.Zero(t, code, errOut)
	_, _, code = o.ol("invoke", "echo")
	require.Zero(t, code)
	var pid int
	data, err := os.ReadFile(dir + "/worker.pid")
	require.NoError(t, err)
	_, err = fmt.Sscan(string(data), &pid)
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	oltest.Eventually(t, func() bool { return oltest.Killed(pid) }, "it is dead")
	_, errOut, code = o.ol("kill")
	require.Zero(t, code, errOut)
	require.Empty(t, o.d.List())
}

func TestListWithoutAWorker(t *testing.T) {
	o := newOlDir(t)
	oltest.Handler(t, o.cfg, "a", oltest.Echo)
	write(t, o.cfg.Registry+"/b/f.py", oltest.Echo)
	write(t, o.cfg.Registry+"/b/ol.yaml", "triggers:\n  http:\n    - method: GET\n  cron:\n    - schedule: \"@every 1h\"\n")
	write(t, o.cfg.Registry+"/c/f.py", oltest.Echo)
	write(t, o.cfg.Registry+"/c/ol.yaml", "nonsense: 1\n")
	out, errOut, code := o.ol("list")
	require.Zero(t, code, errOut)
	require.Contains(t, errOut, "no worker of "+o.path+" answers")
	require.Regexp(t, `(?m)^a +\d+ +\* `, out)
	require.Regexp(t, `(?m)^b +\d+ +GET +@every 1h`, out)
	require.Regexp(t, `(?m)^c .*ol.yaml:1:1: nonsense: no such key`, out)
}

// admin install packs a directory if the worker can run the function in it.
func TestAdminInstall(t *testing.T) {
	o := newOlDir(t)
	dir := filepath.Join(oltest.ShortDir(t), "web")
	write(t, dir+"/app.py", "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [environ['PATH_INFO'].encode()]\n")
	_, errOut, code := o.ol("admin", "install", dir)
	require.Equal(t, 1, code)
	require.Contains(t, errOut, dir+": no f.py in it (if another file is its entry, say so in ol.yaml: environment: OL_ENTRY_FILE: app.py)")
	yaml := filepath.Join(oltest.ShortDir(t), "my.yaml")
	write(t, yaml, "environment:\n  OL_ENTRY_FILE: app.py\n")
	out, errOut, code := o.ol("admin", "install", "-c", yaml, dir+"/", "-n", "shop")
	require.Zero(t, code, errOut)
	require.Equal(t, "Successfully installed lambda function: shop\n", out)
	require.NoFileExists(t, dir+"/ol.yaml", "the source stays as it was")
	o.up()
	status, body := oltest.Request(t, http.MethodGet, "http://"+o.cfg.Address()+"/run/shop/a/b", "")
	require.Equal(t, 200, status, body)
	require.Equal(t, "/a/b", body)
	write(t, yaml, "triggers:\n  kafka:\n    - topics: [a]\n")
	_, errOut, code = o.ol("admin", "install", "-c", yaml, dir)
	require.Equal(t, 1, code)
	require.Contains(t, errOut, "this worker reads from no Kafka")
	for _, x := range []struct{ arg, want string }{{"https://host/x.git", "git clone"}, {o.path + "/config.json", "is no directory"}, {"/no/such", "no such file"}} {
		_, errOut, code = o.ol("admin", "install", x.arg)
		require.Equal(t, 1, code)
		require.Contains(t, errOut, x.want)
	}
}

// The image is looked at before anything else: a worker without one does not start.
func TestImageMissingAtTheStart(t *testing.T) {
	o := newOlDir(t)
	o.d.SetNoImage(true)
	_, errOut, code := o.ol("worker", "-d", "-o", "image=nosuch")
	require.Equal(t, 1, code)
	require.Contains(t, errOut, `docker: image "nosuch" is not loaded`)
	require.Contains(t, errOut, "openlambda:build")
}

// Every line of the log has the format that log_format names.
func TestOneLogFormat(t *testing.T) {
	for format, line := range map[string]string{"text": `^time=\S+ level=(DEBUG|INFO|WARN|ERROR) msg=`, "json": `^\{"time":"[^"]+","level":"(DEBUG|INFO|WARN|ERROR)","msg":`} {
		o := newOlDir(t)
		oltest.Handler(t, o.cfg, "f", "def f(event):\n    raise KeyError('boom')\n")
		o.up("-o", "log_level=debug,log_format="+format)
		status, _ := o.run("f", "1")
		require.Equal(t, 500, status)
		_, _, code := o.ol("kill")
		require.Zero(t, code)
		log := strings.TrimSpace(o.file("worker.out"))
		for l := range strings.SplitSeq(log, "\n") {
			require.Regexp(t, line, l)
		}
		require.Contains(t, log, "KeyError: 'boom'")
	}
}
