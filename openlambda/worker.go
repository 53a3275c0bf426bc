// Package openlambda is a worker compatible with OpenLambda's Docker sandbox as
// seen from outside, written for scheduling work.
//
// It runs handlers as OpenLambda does, in a container's server, one request per
// container at a time; or one warm container per function and one process per
// request. Then a container's own process does no more than accept and fork, so
// what an invocation costs is charged to the invocation's process. Every
// container lies under one cgroup parent and carries the labels by which a
// scheduler finds it. compat.md lists what is the same and what is not.
package openlambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ds2-lab/alps/internal/atomicfile"
	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/registry"
)

// drainLimit is how long requests may go on after the signal to end.
const drainLimit = 10 * time.Second

// startsAtOnce bounds how many configured functions start at a time; more only
// make an emulated dockerd slower.
const startsAtOnce = 2

// Worker serves functions over HTTP.
type Worker struct {
	config   config.Config
	pool     pool
	registry *registry.Registry
	log      *slog.Logger
	stats    *stats
	life     context.Context // of everything that outlives a request
	end      context.CancelFunc

	lastDir atomic.Int64 // of scratch

	mu        sync.Mutex
	functions map[config.Function]*function
}

// NewWorker returns a worker on Docker. Serve runs it.
func NewWorker(c config.Config, log *slog.Logger) (*Worker, error) {
	d, err := newDocker(c, log)
	if err != nil {
		return nil, err
	}
	return newWorker(c, d, log), nil
}

func newWorker(c config.Config, p pool, log *slog.Logger) *Worker {
	w := &Worker{config: c, pool: p, log: log, registry: registry.New(c.Registry, codeDir(c)), functions: map[config.Function]*function{}}
	var latencies *slog.Logger
	if c.Trace.Latency {
		latencies = log
	}
	w.stats = newStats(latencies)
	w.stats.registry.MustRegister(gauges{w})
	w.life, w.end = context.WithCancel(context.Background())
	w.lastDir.Store(1000)
	return w
}

// Directories and files of worker_dir; their names are OpenLambda's.
func codeDir(c config.Config) string    { return filepath.Join(c.WorkerDir, "code") }
func scratchDir(c config.Config) string { return filepath.Join(c.WorkerDir, "scratch") }
func pidFile(c config.Config) string    { return filepath.Join(c.WorkerDir, "worker.pid") }
func statsFile(c config.Config) string  { return filepath.Join(c.WorkerDir, "stats.json") }

// address is where the worker listens.
func address(c config.Config) string { return net.JoinHostPort(c.WorkerURL, c.WorkerPort) }

// Serve starts every configured function, then answers on worker_port and the
// functions' own ports until ctx ends. It drains, removes the containers and
// writes stats.json.
func (w *Worker) Serve(ctx context.Context) (err error) {
	defer w.end()
	unmount, err := makeDirs(w.config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unmount()) }()
	if err := w.pool.reap(ctx); err != nil {
		return err
	}
	var servers []*http.Server
	var listeners []net.Listener
	defer func() {
		for _, l := range listeners {
			l.Close()
		}
	}()
	listen := func(port string, only *config.Function) error {
		l, err := net.Listen("tcp", net.JoinHostPort(w.config.WorkerURL, port))
		if err != nil {
			return fmt.Errorf("worker: %w (another worker? see: ol status)", err)
		}
		listeners = append(listeners, l)
		servers = append(servers, &http.Server{Handler: w.routes(only), ReadHeaderTimeout: 10 * time.Second,
			ErrorLog: slog.NewLogLogger(w.log.Handler(), slog.LevelDebug)})
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
	defer func() { err = errors.Join(err, w.removeAll(), w.saveStats()) }()
	if err := w.warm(ctx); ctx.Err() != nil {
		return nil // told to end before it was ready
	} else if err != nil {
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
		w.log.Info("ending: requests may finish", "within", drainLimit)
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainLimit)
		defer cancel()
		var all errgroup.Group
		for _, s := range servers {
			all.Go(func() error {
				if s.Shutdown(drain) != nil {
					s.Close()
				}
				return nil
			})
		}
		return all.Wait()
	})
	return g.Wait()
}

// warm starts the configured functions; one that does not start ends the worker.
func (w *Worker) warm(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(startsAtOnce)
	for _, id := range w.config.Functions {
		g.Go(func() error {
			begun := time.Now()
			f := w.function(id)
			err := f.refresh(ctx)
			var in *instance
			if err == nil {
				in, _, err = f.acquire(ctx)
			}
			if err != nil {
				return fmt.Errorf("function %s: %w", id.Name, err)
			}
			f.release(in)
			w.log.Info("function", "name", id.Name, "uid", f.labels.UID, "port", id.Port, "took", time.Since(begun).Round(time.Millisecond))
			return nil
		})
	}
	return g.Wait()
}

// function returns the function that id names. What is not configured starts
// with its first request.
func (w *Worker) function(id config.Function) *function {
	w.mu.Lock()
	defer w.mu.Unlock()
	f, ok := w.functions[id]
	if !ok {
		f = &function{w: w, id: id, labels: id, min: w.config.Instances.Min}
		if slices.Contains(w.config.Functions, id) {
			f.min = max(1, f.min)
		} else {
			f.labels.UID = w.config.SealPriority
		}
		if f.labels.UID == "" {
			f.labels.UID = "0"
		}
		w.functions[id] = f
	}
	return f
}

// forget drops a function that turned out not to exist, so that names which
// somebody tries do not pile up. It says whether it did.
func (w *Worker) forget(f *function) bool {
	if !f.forget() {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.functions[f.id] == f {
		delete(w.functions, f.id)
	}
	return true
}

// all is every function, in the order of ports and names.
func (w *Worker) all() []*function {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*function
	for _, f := range w.functions {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b *function) int {
		return slices.Compare([]string{a.id.Port, a.id.Name, a.id.UID}, []string{b.id.Port, b.id.Name, b.id.UID})
	})
	return out
}

// create makes a sandbox in a directory of its own.
func (w *Worker) create(f *function, code string) (sandbox, error) {
	defer w.stats.since(stageCreate, time.Now())
	host := filepath.Join(scratchDir(w.config), fmt.Sprintf("%d-%s", w.lastDir.Add(1), f.id.Name))
	if err := os.Mkdir(host, 0o700); err != nil {
		return nil, err
	}
	sb, err := w.pool.start(w.life, spec{function: f.labels, codeDir: code, hostDir: host})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(host))
	}
	return sb, nil
}

// removeAll ends every sandbox, and what a start that was given up left.
func (w *Worker) removeAll() error {
	w.end()
	var g errgroup.Group
	for _, f := range w.all() {
		g.Go(func() error { f.close(); return nil })
	}
	_ = g.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), reapLimit)
	defer cancel()
	return w.pool.reap(ctx)
}

func (w *Worker) saveStats() error {
	data, err := json.MarshalIndent(w.stats.snapshot(), "", "\t")
	if err != nil {
		return err
	}
	if err := atomicfile.Write(statsFile(w.config), data, 0o600); err != nil {
		return fmt.Errorf("save stats: %w", err)
	}
	return nil
}
