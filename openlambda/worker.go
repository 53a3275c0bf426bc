// Package openlambda is a worker compatible with OpenLambda's Docker sandbox as
// seen from outside, written for scheduling work: one warm container per
// function, one process per invocation.
//
// A container's own process does no more than accept and fork, so what an
// invocation costs is charged to the invocation's process. Every container lies
// under one cgroup parent and carries the labels by which a scheduler finds it.
package openlambda

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// maxBody bounds a request.
const maxBody = 1 << 20

// Worker serves functions over HTTP.
type Worker struct {
	config  Config
	sandbox sandbox
	log     *slog.Logger

	mu        sync.Mutex
	instances map[Function]*instance
	served    atomic.Uint64
}

// instance is a function's container, started once by whoever needs it first.
type instance struct {
	ready  chan struct{}
	err    error
	client *http.Client
	stop   func(context.Context) error
}

// NewWorker returns a worker on Docker. Serve runs it.
func NewWorker(c Config, log *slog.Logger) (*Worker, error) {
	d, err := newDocker(c)
	if err != nil {
		return nil, err
	}
	return newWorker(c, d, log), nil
}

func newWorker(c Config, s sandbox, log *slog.Logger) *Worker {
	return &Worker{config: c, sandbox: s, log: log, instances: map[Function]*instance{}}
}

// Serve starts every configured function, then answers on worker_port and the
// functions' own ports until ctx ends. It drains, and removes the containers.
func (w *Worker) Serve(ctx context.Context) error {
	if err := w.sandbox.reap(ctx); err != nil {
		return err
	}
	var listeners []net.Listener
	defer func() {
		for _, l := range listeners {
			l.Close()
		}
	}()
	servers := []*http.Server{}
	listen := func(port string, only *Function) error {
		l, err := net.Listen("tcp", net.JoinHostPort(w.config.WorkerURL, port))
		if err != nil {
			return fmt.Errorf("worker: %w (another worker? see: ol status)", err)
		}
		listeners = append(listeners, l)
		servers = append(servers, &http.Server{Handler: w.routes(only), ReadHeaderTimeout: 10 * time.Second})
		return nil
	}
	if err := listen(w.config.WorkerPort, nil); err != nil {
		return err
	}
	for _, f := range w.config.Functions {
		if f.Port != "" {
			if err := listen(f.Port, &f); err != nil {
				return err
			}
		}
	}
	defer w.removeAll()
	// Two at a time: more only make an emulated dockerd slower.
	warm, warmCtx := errgroup.WithContext(ctx)
	warm.SetLimit(2)
	for _, f := range w.config.Functions {
		warm.Go(func() error {
			begun := time.Now()
			_, err := w.instance(warmCtx, f)
			w.log.Info("function", "name", f.Name, "uid", f.UID, "port", f.Port, "took", time.Since(begun).Round(time.Millisecond), "err", err)
			return err
		})
	}
	if err := warm.Wait(); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for i, s := range servers {
		g.Go(func() error {
			if err := s.Serve(listeners[i]); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
	}
	g.Go(func() error {
		<-ctx.Done()
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		for _, s := range servers {
			s.Shutdown(drain)
		}
		return nil
	})
	return g.Wait()
}

func (w *Worker) removeAll() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	w.mu.Lock()
	all := w.instances
	w.instances = map[Function]*instance{}
	w.mu.Unlock()
	var g errgroup.Group
	for _, in := range all {
		g.Go(func() error {
			<-in.ready
			if in.stop == nil {
				return nil
			}
			return in.stop(ctx)
		})
	}
	if err := g.Wait(); err != nil {
		w.log.Error("remove containers", "err", err)
	}
}

// instance returns f's container, starting it if this is its first request. A
// failed start is forgotten, so the next request tries again.
func (w *Worker) instance(ctx context.Context, f Function) (*instance, error) {
	w.mu.Lock()
	in, ok := w.instances[f]
	if !ok {
		in = &instance{ready: make(chan struct{})}
		w.instances[f] = in
	}
	w.mu.Unlock()
	if !ok {
		var socket string
		socket, in.stop, in.err = w.sandbox.start(ctx, f)
		in.client = socketClient(socket)
		if in.err != nil {
			w.forget(f, in)
		}
		close(in.ready)
	}
	select {
	case <-in.ready:
		return in, in.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (w *Worker) forget(f Function, in *instance) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.instances[f] == in {
		delete(w.instances, f)
	}
}

// socketClient talks HTTP over one unix socket, a connection per request: the
// far side forks at accept.
func socketClient(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
}

// routes are the worker's paths. only restricts /run to one function.
func (w *Worker) routes(only *Function) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/status", func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "ready\n") })
	mux.HandleFunc("/pid", func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, strconv.Itoa(os.Getpid())) })
	mux.HandleFunc("/stats", func(rw http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(rw).Encode(map[string]uint64{"invocations": w.served.Load()})
	})
	mux.HandleFunc("/run/", func(rw http.ResponseWriter, r *http.Request) { w.run(rw, r, only) })
	return mux
}

func (w *Worker) run(rw http.ResponseWriter, r *http.Request, only *Function) {
	if r.Method != http.MethodPost {
		http.Error(rw, "POST only", http.StatusMethodNotAllowed)
		return
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/run/"), "/")
	f, err := w.find(name, only)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxBody))
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	in, err := w.instance(context.WithoutCancel(r.Context()), f)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, "http://container/", bytes.NewReader(body))
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	resp, err := in.client.Do(req)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			// Nobody listens: the container died. The next request gets a new one.
			w.forget(f, in)
		}
		http.Error(rw, fmt.Sprintf("function %s: its sandbox gave no answer: %v", name, err), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	w.served.Add(1)
	rw.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
	rw.WriteHeader(resp.StatusCode)
	io.Copy(rw, resp.Body)
}

// find maps a name to a function: the port's own, a configured one, or one
// that the registry has.
func (w *Worker) find(name string, only *Function) (Function, error) {
	if !nameRE.MatchString(name) || name == "." || name == ".." {
		return Function{}, fmt.Errorf("bad function name %q: letters, digits, '.', '_' and '-' are allowed", name)
	}
	if only != nil {
		if name != only.Name {
			return Function{}, fmt.Errorf("%w: %s: port %s serves %s", ErrNoFunction, name, only.Port, only.Name)
		}
		return *only, nil
	}
	for _, f := range w.config.Functions {
		if f.Name == name {
			return f, nil
		}
	}
	if _, err := handler(w.config.Registry, name); err != nil {
		return Function{}, err
	}
	return Function{Name: name, UID: "0"}, nil
}

// pidFile is worker/worker.pid: decimal, no newline.
func pidFile(c Config) string { return filepath.Join(c.WorkerDir, "worker.pid") }
