// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/ds2-lab/alps/openlambda/oltest"
	"github.com/ds2-lab/alps/openlambda/workdir"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/ring"
	"github.com/ds2-lab/alps/openlambda/config"
)

func write(t *testing.T, path, text string) {
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

// olDir is a directory with a configuration, and the command line that uses it.
type olDir struct {
	t    testing.TB
	d    *oltest.Docker
	path string
	cfg  config.Config
}

func newOlDir(t testing.TB) *olDir {
	o := &olDir{t: t, d: oltest.StartDocker(t), cfg: oltest.Config(t)}
	o.path = filepath.Dir(o.cfg.WorkerDir)
	require.NoError(t, o.cfg.Write(o.path+"/config.json"))
	t.Cleanup(func() {
		if pid, _, _ := workdir.Running(o.cfg); pid != 0 {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	return o
}

func (o *olDir) ol(args ...string) (stdout, stderr string, code int) {
	return ol(o.t, o.d, append(args, "-p", o.path)...)
}

// up starts the worker in the background and returns its pid.
func (o *olDir) up(args ...string) int {
	out, errOut, code := o.ol(append([]string{"worker", "-d"}, args...)...)
	require.Zero(o.t, code, errOut)
	require.Equal(o.t, "ready\n", out)
	data, err := os.ReadFile(workdir.PIDFile(o.cfg))
	require.NoError(o.t, err)
	pid, err := strconv.Atoi(string(data)) // no newline
	require.NoError(o.t, err)
	return pid
}

func (o *olDir) run(name, body string) (int, string) {
	return oltest.Request(o.t, http.MethodPost, "http://"+o.cfg.Address()+"/run/"+name, body)
}

func (o *olDir) file(name string) string {
	data, err := os.ReadFile(filepath.Join(o.path, name))
	require.NoError(o.t, err)
	return string(data)
}

func TestInit(t *testing.T) {
	d := oltest.StartDocker(t)
	for _, args := range [][]string{{"init"}, {"new"}, {"worker", "init"}} {
		path := filepath.Join(oltest.ShortDir(t), "x", "ol")
		out, errOut, code := ol(t, d, append(args, "--path="+path, "-i", "my-image")...)
		require.Zero(t, code, errOut)
		require.Contains(t, out, path+"/config.json")
		cfg, err := config.Read(path+"/config.json", nil)
		require.NoError(t, err)
		require.Equal(t, path+"/worker", cfg.WorkerDir)
		require.Equal(t, "my-image", cfg.Image)
		require.Equal(t, config.Import, cfg.Invocation)
		for _, dir := range []string{"worker", "registry"} {
			require.DirExists(t, filepath.Join(path, dir))
		}
		_, errOut, code = ol(t, d, append(args, "-p", path)...)
		require.Equal(t, 1, code)
		require.Contains(t, errOut, "config.json is there already")
	}
	// Without -p it is ./default-ol.
	cmd := olCommand(d, "init")
	cmd.Dir = t.TempDir()
	require.NoError(t, cmd.Run())
	require.FileExists(t, cmd.Dir+"/default-ol/config.json")
}

func TestExitCodesAndErrors(t *testing.T) {
	d := oltest.StartDocker(t)
	dir := oltest.ShortDir(t)
	for _, args := range [][]string{{"nonsense"}, {"functions"}, {"functions", "nonsense"}, {"new-boss"}, {"boss"}, {"bench", "init"}, {"pprof", "mem"}, {"force-cleanup"}, {"gcp-test"}, {"azure-test"}} {
		_, errOut, code := ol(t, d, args...)
		require.Equal(t, 3, code, args)
		require.Contains(t, errOut, "unknown command")
	}
	for _, args := range [][]string{{"kill", "-p", dir}, {"status", "-p", dir}, {"config", "-p", dir}, {"worker", "--no-such-flag"},
		{"worker", "-p", dir, "stray"}, {"worker", "force-cleanup"}, {"init", "-p", dir + "/new", "-b"}, {"functions", "init", "-p", dir, "-ports", "1"}, {"functions", "init", "-p", dir, "-like", "x"}} {
		_, errOut, code := ol(t, d, args...)
		require.Equal(t, 1, code, args)
		require.Regexp(t, `(?m)^ol [a-z ]+: `, errOut, args)
	}
	for _, args := range [][]string{nil, {"help"}, {"-h"}, {"worker", "-h"}} {
		_, _, code := ol(t, d, args...)
		require.Zero(t, code, args)
	}
	// Each command's -h says what it does, then its flags.
	for name := range commands() {
		_, errOut, code := ol(t, d, append(strings.Fields(name), "-h")...)
		require.Zero(t, code, name)
		require.Regexp(t, `^  ol [a-z ]+`, errOut, name)
		require.Contains(t, errOut, "-p ", name)
	}
}

func TestWorkerInTheBackground(t *testing.T) {
	o := newOlDir(t)
	oltest.Handler(t, o.cfg, "echo", oltest.Echo)
	require.NoError(t, os.WriteFile(o.path+"/worker.out", []byte("before\n"), 0o600))
	pid := o.up("-o", "limits.max_runtime_default=7,log_output=true")
	require.NotEqual(t, os.Getpid(), pid)
	require.True(t, strings.HasPrefix(o.file("worker.out"), "before\n"), "appended")
	require.Contains(t, o.file("config.json.overrides"), `"max_runtime_default": 7`)

	out, errOut, code := o.ol("status")
	require.Zero(t, code, errOut)
	require.Equal(t, fmt.Sprintf("Worker Ping:\n  http://%s/status => ready\n [200 OK]\n\n", o.cfg.Address()), out)
	status, body := o.run("echo", "[1]")
	require.Equal(t, 200, status, body)

	// A second one is refused and the first stays.
	for _, args := range [][]string{{"worker", "-d"}, {"worker", "up"}} {
		_, errOut, code = o.ol(args...)
		require.Equal(t, 1, code)
		require.Contains(t, errOut, strconv.Itoa(pid))
	}
	out, errOut, code = o.ol("kill")
	require.Zero(t, code, errOut)
	require.Equal(t, fmt.Sprintf("Killing worker process with PID %d\nOL worker process stopped successfully\n", pid), out)
	require.Empty(t, o.d.List(), "no container is left")
	require.NoFileExists(t, workdir.PIDFile(o.cfg))
	require.Contains(t, o.file("worker/stats.json"), `"web-request.cnt": 1`)
	_, errOut, code = o.ol("kill")
	require.Equal(t, 1, code)
	require.Contains(t, errOut, "no worker")
	_, _, code = o.ol("worker", "down")
	require.Zero(t, code, "down is what it should be already")
}

func TestSignalsEndTheWorkerWell(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		o := newOlDir(t)
		oltest.Handler(t, o.cfg, "slow", "import time\ndef f(event):\n    time.sleep(0.5)\n    return 'done'\n")
		cmd := olCommand(o.d, "worker", "-p", o.path)
		var errOut bytes.Buffer
		cmd.Stderr = &errOut
		require.NoError(t, cmd.Start())
		oltest.Eventually(t, func() bool { _, err := askPID(o.cfg); return err == nil }, "it answers")
		got := make(chan string, 1)
		go func() { _, body := o.run("slow", "1"); got <- body }()
		oltest.Eventually(t, func() bool {
			_, body, err := get(o.cfg, "/debug")
			return err == nil && strings.Contains(string(body), "running requests=1")
		}, "a request runs")
		require.NoError(t, cmd.Process.Signal(sig))
		require.Equal(t, `"done"`, <-got, "it may finish")
		require.NoError(t, cmd.Wait(), "exit 0: %s", &errOut)
		require.Empty(t, o.d.List())
		require.NoFileExists(t, workdir.PIDFile(o.cfg))
		require.Contains(t, o.file("worker/stats.json"), "web-request.cnt")
	}
}

func TestSignalWhileFunctionsStart(t *testing.T) {
	o := newOlDir(t)
	oltest.Handler(t, o.cfg, "slow", "import time\ntime.sleep(60)\n"+oltest.Echo)
	cmd := olCommand(o.d, "worker", "-p", o.path, "-o", "function_name=slow")
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	require.NoError(t, cmd.Start())
	oltest.Eventually(t, func() bool { return o.d.Count("wait") == 1 }, "its container runs")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait(), "exit 0: %s", &errOut)
	require.Empty(t, o.d.List())
	require.NoFileExists(t, workdir.PIDFile(o.cfg))
}

// A worker that was killed leaves pid file and containers; the next start
// clears both.
func TestWorkerKilled(t *testing.T) {
	o := newOlDir(t)
	oltest.Handler(t, o.cfg, "echo", oltest.Echo)
	pid := o.up()
	status, _ := o.run("echo", "1")
	require.Equal(t, 200, status)
	old := o.d.Only()
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	oltest.Eventually(t, func() bool { return !workdir.Alive(pid) }, "it is dead")
	require.FileExists(t, workdir.PIDFile(o.cfg))
	require.Len(t, o.d.List(), 1)

	require.NotEqual(t, pid, o.up())
	require.Empty(t, o.d.List(), "reaped by its label")
	status, _ = o.run("echo", "1")
	require.Equal(t, 200, status)
	require.NotEqual(t, old.ID, o.d.Only().ID)

	// ol kill after such an end clears as well.
	pid, _, _ = workdir.Running(o.cfg)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	oltest.Eventually(t, func() bool { return !workdir.Alive(pid) }, "it is dead")
	_, errOut, code := o.ol("kill")
	require.Zero(t, code, errOut)
	require.Empty(t, o.d.List())
	require.NoFileExists(t, workdir.PIDFile(o.cfg))
}

func TestWorkerThatCannotStartInTheBackground(t *testing.T) {
	o := newOlDir(t)
	_, errOut, code := o.ol("worker", "-d", "-o", "function_name=nope")
	require.Equal(t, 1, code)
	require.Contains(t, errOut, "the worker ended: exit status 1")
	require.Contains(t, errOut, "lambda not found at any of these locations", "with what it said")

	// Somebody else has the port.
	other := newOlDir(t)
	other.up()
	_, errOut, code = o.ol("worker", "-d", "-o", "worker_port="+other.cfg.WorkerPort)
	require.Equal(t, 1, code)
	require.Regexp(t, `expected PID \d+ but found \d+|address already in use`, errOut)
	oltest.Eventually(t, func() bool { pid, _, _ := workdir.Running(o.cfg); return pid == 0 }, "none is left")
}

func TestWorkerMakesItsDirectory(t *testing.T) {
	o := newOlDir(t)
	path := filepath.Join(oltest.ShortDir(t), "fresh")
	port := oltest.FreePorts(t, 1)[0]
	out, errOut, code := ol(t, o.d, "worker", "-d", "-p", path, "-o", "worker_port="+port)
	require.Zero(t, code, errOut)
	require.Contains(t, out, "ready\n")
	_, errOut, code = ol(t, o.d, "kill", "-p", path)
	require.Zero(t, code, errOut)
}

func TestConfigPrintsWhatTakesEffect(t *testing.T) {
	o := newOlDir(t)
	out, _, code := o.ol("config", "-json", "-o", "invocation=fork,limits.procs=5")
	require.Zero(t, code)
	c, err := config.Parse("x", []byte(out), nil)
	require.NoError(t, err)
	require.Equal(t, "fork", c.Invocation)
	require.Equal(t, 5, c.Limits.Procs)
	require.Contains(t, out, `"cgroup_parent": "alps.slice"`)

	// Each key is printed once, with where it comes from; -o goes over the old name
	// that init wrote.
	require.NoError(t, os.WriteFile(o.path+"/config.json", []byte(`{"worker_dir": "/w", "worker_port": "5000", "sandbox": "docker", "server_mode": "lambda",
		"registry": "/r", "limits": {"max_runtime_default": 30}}`), 0o600))
	out, errOut, code := o.ol("config", "-o", "limits.runtime_sec=20")
	require.Zero(t, code, errOut)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, len(config.Keys()))
	for _, want := range []string{`limits.max_runtime_default +20 +-o`, `worker_dir +"/w" +` + o.path + `/config.json`, `queue +32 +default`} {
		require.Regexp(t, "(?m)^"+want+"$", out)
	}
	require.NotContains(t, out, "runtime_sec")
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	o := newOlDir(t)
	oltest.Handler(t, o.cfg, "echo", oltest.Echo)
	o.up("-o", "queue=3")
	status, _ := o.run("echo", "1")
	require.Equal(t, 200, status)
	sockets, err := filepath.Glob(o.path + "/worker/scratch/*/ol.sock")
	require.NoError(t, err)
	require.Len(t, sockets, 1)
	for _, path := range append(sockets, o.path+"/config.json", o.path+"/config.json.overrides", o.path+"/worker.out") {
		st, err := os.Stat(path)
		require.NoError(t, err)
		require.EqualValues(t, 0o600, st.Mode().Perm(), path)
	}
	st, err := os.Stat(filepath.Dir(sockets[0]))
	require.NoError(t, err)
	require.EqualValues(t, 0o700, st.Mode().Perm())
}

func TestLoopbackUnlessToldOtherwise(t *testing.T) {
	c := oltest.Config(t)
	c.WorkerURL = ""
	oltest.Serve(t, c, &oltest.Pool{})
	port, err := strconv.Atoi(c.WorkerPort)
	require.NoError(t, err)
	var listening []string
	for _, table := range []string{"tcp", "tcp6"} {
		data, err := os.ReadFile("/proc/net/" + table)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(fmt.Sprintf(`(?m): ([0-9A-F]+):%04X [0-9A-F:]+ 0A `, port)).FindAllStringSubmatch(string(data), -1) {
			listening = append(listening, m[1])
		}
	}
	require.Equal(t, []string{"0100007F"}, listening)
}

// storage: memory and private are mounts, gone when the worker ends.
func TestStorage(t *testing.T) {
	ring.Need(t, ring.Root, os.Getuid() == 0, "root is needed to mount")
	c := oltest.Config(t)
	oltest.Handler(t, c, "f", oltest.Echo)
	c.Storage = config.Storage{Root: "private", Scratch: "memory", Code: "private"}
	mounts := func() string {
		data, err := os.ReadFile("/proc/self/mountinfo")
		require.NoError(t, err)
		return string(data)
	}
	s := oltest.Serve(t, c, &oltest.Pool{})
	code, _ := s.Run("f", "1")
	require.Equal(t, 200, code)
	require.Regexp(t, regexp.QuoteMeta(workdir.Scratch(c))+` .* tmpfs `, mounts())
	require.Contains(t, mounts(), workdir.Code(c))
	// A worker that was killed leaves its mounts; the next start mounts anew, not on top of them.
	unmount, err := workdir.Make(c)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(mounts(), workdir.Scratch(c)))
	require.NoError(t, unmount())
	require.Error(t, s.Stop(), "its mounts went away under it")
	require.NotContains(t, mounts(), c.WorkerDir)
}
