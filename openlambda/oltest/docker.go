// SPDX-License-Identifier: Apache-2.0

package oltest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/openlambda/sandbox"
)

// Docker answers the Docker Engine API on a unix socket. A container is a plain
// process of this host: the real server, with the container's paths replaced by
// the paths of the directories that are mounted there.
type Docker struct {
	t      testing.TB
	socket string
	python string

	mu         sync.Mutex
	listener   net.Listener
	server     *http.Server
	containers map[string]*Container
	execs      map[string][]string // by id: container, command
	calls      []string            // operations asked for, in order: "create", "pause" and so on
	last       int
	noImage    bool
	late, pid  atomic.Int64 // see Late; ns
}

// Container is one of Docker's.
type Container struct {
	ID     string
	Config container.Config
	host   container.HostConfig
	cmd    *exec.Cmd
	out    *os.File
	ended  chan struct{}
	paused bool
	code   int

	started     atomic.Bool // cmd, out and ended are set
	outOfMemory atomic.Bool // what inspect says
}

// OutOfMemory makes inspect say that the kernel ended the container for want of memory.
func (c *Container) OutOfMemory() { c.outOfMemory.Store(true) }

// Signal sends a signal to the container's processes.
func (c *Container) Signal(s syscall.Signal) error { return syscall.Kill(-c.cmd.Process.Pid, s) }

// Late makes the engine hear of the end of a container late, and say that its process is pid.
func (d *Docker) Late(late time.Duration, pid int) {
	d.late.Store(int64(late))
	d.pid.Store(int64(pid))
}

func (c *Container) running() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// state is Docker's word for what the container does.
func (c *Container) state() container.ContainerState {
	switch {
	case !c.started.Load():
		return container.StateCreated
	case !c.running():
		return container.StateExited
	}
	return container.StateRunning
}

// exitCode is as Docker has it: 128 plus the signal's number if one ended the process.
func (c *Container) exitCode() int {
	if c.ended == nil {
		return 0
	}
	select {
	case <-c.ended:
		if st, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && st.Signaled() {
			return 128 + int(st.Signal())
		}
		return c.code
	default:
		return 0
	}
}

// StartDocker returns an engine that ends with the test.
func StartDocker(t testing.TB) *Docker {
	d := &Docker{t: t, socket: filepath.Join(ShortDir(t), "docker.sock"), python: Python(t, "json"),
		containers: map[string]*Container{}, execs: map[string][]string{}}
	d.Up()
	t.Cleanup(func() {
		d.Down()
		for _, c := range d.List() {
			d.Kill(c)
		}
	})
	return d
}

// Host is what DOCKER_HOST should be.
func (d *Docker) Host() string { return "unix://" + d.socket }

// Up starts the daemon: at first, and again after Down.
func (d *Docker) Up() {
	l, err := net.Listen("unix", d.socket)
	require.NoError(d.t, err)
	d.listener, d.server = l, &http.Server{Handler: d.routes()}
	go d.server.Serve(l)
}

// Down stops the daemon. Containers go on.
func (d *Docker) Down() { d.server.Close() }

// List are the containers that were created and not removed, in no order.
func (d *Docker) List() []*Container {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []*Container
	for _, c := range d.containers {
		out = append(out, c)
	}
	return out
}

// Only is the one container of List. The test fails if there is another number of them.
func (d *Docker) Only() *Container {
	list := d.List()
	require.Len(d.t, list, 1)
	return list[0]
}

// Count is how often an operation was asked for, such as "create".
func (d *Docker) Count(call string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.calls {
		if c == call {
			n++
		}
	}
	return n
}

// Kill ends a container's processes, as from outside.
func (d *Docker) Kill(c *Container) {
	if c.cmd != nil && c.cmd.Process != nil {
		syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
		<-c.ended
	}
}

// matches says whether the container has all of the labels, each as NAME=value.
func (c *Container) matches(labels map[string]bool) bool {
	for label := range labels {
		name, value, _ := strings.Cut(label, "=")
		if have, ok := c.Config.Labels[name]; !ok || have != value {
			return false
		}
	}
	return true
}

// hostPath translates a path in the container to the path on the host that is mounted there.
func (c *Container) hostPath(path string) string {
	for _, b := range c.host.Binds {
		f := strings.Split(b, ":")
		if path == f[1] || strings.HasPrefix(path, f[1]+"/") {
			return f[0] + strings.TrimPrefix(path, f[1])
		}
	}
	return path
}

// run starts Python as the container's process, with the arguments of args after the first.
func (d *Docker) run(c *Container, args []string) error {
	argv := []string{d.python}
	for _, a := range args[1:] {
		argv = append(argv, c.hostPath(a))
	}
	// OpenLambda's worker starts the server that is in the image. Here there is no image.
	if strings.HasPrefix(args[len(args)-1], "/runtimes/") {
		server, err := os.MkdirTemp(filepath.Dir(d.socket), "server")
		if err == nil {
			err = sandbox.Install(server)
		}
		if err != nil {
			return err
		}
		argv = []string{d.python, filepath.Join(server, "server.py"), "auto", "normal", "1", c.hostPath("/handler"), c.hostPath("/host")}
	}
	out, err := os.CreateTemp(filepath.Dir(d.socket), "out")
	if err != nil {
		return err
	}
	c.out, c.ended = out, make(chan struct{})
	c.cmd = exec.Command(argv[0], argv[1:]...)
	c.cmd.Env = slices.Concat(os.Environ(), []string{"PYTHONDONTWRITEBYTECODE=1"}, c.Config.Env)
	c.cmd.Stdout, c.cmd.Stderr = out, out
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := c.cmd.Start(); err != nil {
		return err
	}
	c.started.Store(true)
	go func() {
		c.cmd.Wait()
		c.code = c.cmd.ProcessState.ExitCode()
		time.Sleep(time.Duration(d.late.Load()))
		close(c.ended)
	}()
	return nil
}

func (d *Docker) routes() http.Handler {
	mux := http.NewServeMux()
	fail := func(w http.ResponseWriter, status int, text string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]string{"message": text})
	}
	reply := func(w http.ResponseWriter, status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(v)
	}
	on := func(pattern, call string, handle func(http.ResponseWriter, *http.Request, *Container)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			d.mu.Lock()
			c := d.containers[r.PathValue("id")]
			d.calls = append(d.calls, call)
			d.mu.Unlock()
			if c == nil {
				fail(w, http.StatusNotFound, "No such container: "+r.PathValue("id"))
				return
			}
			handle(w, r, c)
		})
	}
	mux.HandleFunc("/_ping", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Api-Version", "1.44") })
	mux.HandleFunc("GET /containers/json", func(w http.ResponseWriter, r *http.Request) {
		var filters struct{ Label map[string]bool }
		if err := json.Unmarshal([]byte(cmp.Or(r.URL.Query().Get("filters"), "{}")), &filters); err != nil {
			fail(w, 400, err.Error())
			return
		}
		out := []container.Summary{}
		for _, c := range d.List() {
			if c.matches(filters.Label) {
				out = append(out, container.Summary{ID: c.ID, Labels: c.Config.Labels, State: c.state()})
			}
		}
		reply(w, 200, out)
	})
	mux.HandleFunc("POST /containers/create", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			container.Config
			HostConfig container.HostConfig
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			fail(w, 400, err.Error())
			return
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.calls = append(d.calls, "create")
		if d.noImage {
			fail(w, http.StatusNotFound, "No such image: "+body.Image+":latest")
			return
		}
		d.last++
		c := &Container{ID: fmt.Sprintf("%064x", d.last), Config: body.Config, host: body.HostConfig}
		d.containers[c.ID] = c
		reply(w, http.StatusCreated, map[string]any{"Id": c.ID, "Warnings": []string{}})
	})
	mux.HandleFunc("GET /images/{name}/json", func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.noImage {
			fail(w, http.StatusNotFound, "No such image: "+r.PathValue("name"))
			return
		}
		reply(w, 200, map[string]any{"Id": "sha256:1"})
	})
	on("POST /containers/{id}/start", "start", func(w http.ResponseWriter, _ *http.Request, c *Container) {
		// A container of OpenLambda's own worker runs /spin, which only waits; exec starts its server.
		if c.Config.Cmd[0] != "/spin" {
			if err := d.run(c, c.Config.Cmd); err != nil {
				fail(w, 500, err.Error())
				return
			}
		}
		w.WriteHeader(http.StatusNoContent)
	})
	on("POST /containers/{id}/wait", "wait", func(w http.ResponseWriter, r *http.Request, c *Container) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		select {
		case <-c.ended:
			fmt.Fprintf(w, `{"StatusCode":%d}`, c.code)
		case <-r.Context().Done():
		}
	})
	signal := func(sig syscall.Signal, paused bool) func(http.ResponseWriter, *http.Request, *Container) {
		return func(w http.ResponseWriter, _ *http.Request, c *Container) {
			syscall.Kill(-c.cmd.Process.Pid, sig)
			c.paused = paused
			w.WriteHeader(http.StatusNoContent)
		}
	}
	on("POST /containers/{id}/pause", "pause", signal(syscall.SIGSTOP, true))
	on("POST /containers/{id}/unpause", "unpause", signal(syscall.SIGCONT, false))
	on("POST /containers/{id}/kill", "kill", func(w http.ResponseWriter, _ *http.Request, c *Container) {
		d.Kill(c)
		w.WriteHeader(http.StatusNoContent)
	})
	on("GET /containers/{id}/json", "inspect", func(w http.ResponseWriter, _ *http.Request, c *Container) {
		reply(w, 200, map[string]any{"Id": c.ID, "State": map[string]any{"Running": c.running(), "Paused": c.paused, "Pid": d.pid.Load(), "ExitCode": c.exitCode(), "OOMKilled": c.outOfMemory.Load()}})
	})
	on("GET /containers/{id}/logs", "logs", func(w http.ResponseWriter, r *http.Request, c *Container) {
		for sent := 0; ; time.Sleep(5 * time.Millisecond) {
			last := r.URL.Query().Get("follow") != "1" || !c.running()
			text, _ := os.ReadFile(c.out.Name())
			text = text[min(sent, len(text)):]
			sent += len(text)
			w.Write([]byte{1, 0, 0, 0, byte(len(text) >> 24), byte(len(text) >> 16), byte(len(text) >> 8), byte(len(text))})
			w.Write(text)
			if last || r.Context().Err() != nil {
				return
			}
			w.(http.Flusher).Flush()
		}
	})
	on("DELETE /containers/{id}", "remove", func(w http.ResponseWriter, _ *http.Request, c *Container) {
		d.Kill(c)
		d.mu.Lock()
		delete(d.containers, c.ID)
		d.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	})
	on("POST /containers/{id}/exec", "exec", func(w http.ResponseWriter, r *http.Request, c *Container) {
		var body struct{ Cmd []string }
		data, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(data, &body); err != nil {
			fail(w, 400, err.Error())
			return
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		id := fmt.Sprintf("e%d", len(d.execs))
		d.execs[id] = append([]string{c.ID}, body.Cmd...)
		reply(w, http.StatusCreated, map[string]string{"Id": id})
	})
	mux.HandleFunc("POST /exec/{id}/start", func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		e := d.execs[r.PathValue("id")]
		c := d.containers[e[0]]
		d.mu.Unlock()
		if err := d.run(c, e[1:]); err != nil {
			fail(w, 500, err.Error())
		}
	})
	// Every path may begin with the API's version.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := strings.SplitN(r.URL.Path, "/", 3); len(p) == 3 && strings.HasPrefix(p[1], "v1.") {
			r.URL.Path = "/" + p[2]
		}
		mux.ServeHTTP(w, r)
	})
}

// SetNoImage says whether the engine lacks every image.
func (d *Docker) SetNoImage(no bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.noImage = no
}
