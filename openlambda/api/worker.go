// SPDX-License-Identifier: Apache-2.0

// Package api is the HTTP side of a worker compatible with OpenLambda's Docker
// sandbox, written for work on scheduling.
//
// It runs handlers as OpenLambda does, in a container's server, one request per
// container at a time; or with one warm container per function and one process per
// request. In the second way a container's server only accepts and forks, so the
// CPU time of an invocation is charged to the invocation's process. Every
// container lies under one cgroup parent and carries the labels by which a
// scheduler finds it. compat.md lists what is the same and what is not.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ds2-lab/alps/internal/atomicfile"
	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/olyaml"
	"github.com/ds2-lab/alps/openlambda/pool"
	"github.com/ds2-lab/alps/openlambda/sandbox"
	"github.com/ds2-lab/alps/openlambda/stats"
	"github.com/ds2-lab/alps/openlambda/workdir"
)

// DrainLimit is how long requests, also cron's, may go on after the signal to end.
const DrainLimit = 10 * time.Second

// GCPercent is how much a worker's heap may grow before it is collected, in percent
// of the live heap (runtime/debug.SetGCPercent). However many requests come, the live heap
// is some MB, so that Go's default of 100 would collect every few hundred requests.
const GCPercent = 400

// Worker serves functions over HTTP.
type Worker struct {
	config config.Config
	log    *slog.Logger
	stats  *stats.Stats
	none   *stats.Function // of requests to no function that exists
	pool   *pool.Pool
	crons  *crons
	drain  time.Duration // DrainLimit; tests set it
}

// New returns a worker whose sandboxes m makes. Serve runs it.
func New(c config.Config, m sandbox.Maker, log *slog.Logger) *Worker {
	var latencies *slog.Logger
	if c.Trace.Latency {
		latencies = log
	}
	w := &Worker{config: c, log: log, stats: stats.New(latencies), drain: DrainLimit}
	w.none = w.stats.Function("")
	w.pool = pool.New(c, m, log, w.stats)
	w.crons = newCrons(w)
	if config.IsURL(c.Registry) {
		w.pool.OnCode = func(name string, f olyaml.Function) { w.crons.set(name, "", f) }
	}
	return w
}

// Pool is the functions that the worker serves.
func (w *Worker) Pool() *pool.Pool { return w.pool }

// Serve starts every configured function, then answers on worker_port and the
// functions' own ports until ctx ends. Then it gives requests, also cron's, DrainLimit to
// finish, removes the containers and writes stats.json.
func (w *Worker) Serve(ctx context.Context) (err error) {
	unmount, err := workdir.Make(w.config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unmount()) }()
	if err := w.pool.Reap(ctx); err != nil {
		return err
	}
	if err := w.pool.Check(ctx); err != nil {
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
			return fmt.Errorf("worker: listen for requests: %w (another worker? see: ol status)", err)
		}
		listeners = append(listeners, l)
		servers = append(servers, &http.Server{Handler: w.Handler(only), ReadHeaderTimeout: 10 * time.Second,
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
	defer func() { err = errors.Join(err, w.pool.Close(), w.saveStats()) }()
	if err := w.pool.Warm(ctx); ctx.Err() != nil {
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
	w.log.Info("worker is ready", "address", w.config.Address(), "pid", os.Getpid(), "functions", len(w.config.Functions))
	g.Go(func() error { w.crons.run(ctx); return nil })
	g.Go(func() error {
		<-ctx.Done()
		w.log.Info("worker ends; requests may finish", "within", w.drain)
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.drain)
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

func (w *Worker) saveStats() error {
	data, err := json.MarshalIndent(w.stats.Snapshot(), "", "\t")
	if err != nil {
		return err
	}
	if err := atomicfile.Write(workdir.StatsFile(w.config), data, 0o600); err != nil {
		return fmt.Errorf("save stats: %w", err)
	}
	return nil
}
