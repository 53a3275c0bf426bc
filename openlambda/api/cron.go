// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/ds2-lab/alps/openlambda/olyaml"
	"github.com/ds2-lab/alps/openlambda/registry"
)

// crons calls functions at the times that their ol.yaml names. If the registry is a
// directory, crons looks every few seconds which functions it has; a function of a web
// registry is called from its first request on.
type crons struct {
	w      *Worker
	c      *cron.Cron
	life   context.Context // of every call
	giveUp context.CancelFunc

	mu      sync.Mutex
	entries map[string]cronEntry // by function
}

type cronEntry struct {
	version string // Registry.Peek's; "" for a web registry
	ids     []cron.EntryID
}

func newCrons(w *Worker) *crons {
	c := &crons{w: w, c: cron.New(), entries: map[string]cronEntry{}}
	c.life, c.giveUp = context.WithCancel(context.Background())
	return c
}

// lookEvery is the shortest time between two looks at the registry for schedules.
const lookEvery = 5 * time.Second

// run looks at the registry and calls functions until ctx ends. Then it gives the calls
// Worker.drain to finish; one that has not is given up: run does not wait for it.
func (c *crons) run(ctx context.Context) {
	c.c.Start()
	defer func() {
		called := c.c.Stop()
		select {
		case <-called.Done():
		case <-time.After(c.w.drain):
			c.w.log.Warn("worker ends; calls by cron that have not finished are given up", "after", c.w.drain)
		}
		c.giveUp()
	}()
	every := time.NewTicker(max(lookEvery, time.Duration(c.w.config.RegistryCacheMS)*time.Millisecond))
	defer every.Stop()
	for {
		c.look()
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

// look sets the schedules of every function that the registry lists, and drops all others.
func (c *crons) look() {
	names, err := c.w.pool.Registry().Names()
	if err != nil {
		if !errors.Is(err, registry.ErrNoList) {
			c.w.log.Warn("cannot look for cron triggers", "err", err)
		}
		return
	}
	seen := map[string]bool{}
	for _, name := range names {
		seen[name] = true
		c.mu.Lock()
		have := c.entries[name].version
		c.mu.Unlock()
		f, version, err := c.w.pool.Registry().Peek(name, have)
		if version == have && err == nil {
			continue
		}
		if err != nil {
			c.w.log.Warn("function has no schedule", "function", name, "err", err)
		}
		c.set(name, version, f)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.entries {
		if !seen[name] {
			c.drop(name)
		}
	}
}

// set replaces a function's schedules.
func (c *crons) set(name, version string, f olyaml.Function) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(name)
	e := cronEntry{version: version}
	for _, s := range f.Cron {
		e.ids = append(e.ids, c.c.Schedule(s.When, cron.FuncJob(func() { c.call(name, s.Text) })))
		c.w.log.Info("function is called by cron", "function", name, "schedule", s.Text, "next", s.When.Next(time.Now()))
	}
	c.entries[name] = e
}

func (c *crons) drop(name string) {
	for _, id := range c.entries[name].ids {
		c.c.Remove(id)
	}
	delete(c.entries, name)
}

// call sends the function a POST of {}, as OpenLambda does.
func (c *crons) call(name, schedule string) {
	r, err := http.NewRequestWithContext(c.life, http.MethodPost, "http://localhost/run/"+name, bytes.NewReader([]byte("{}")))
	if err != nil {
		c.w.log.Error("cron cannot call function", "function", name, "schedule", schedule, "err", err)
		return
	}
	r.Header.Set("Content-Type", "application/json")
	r.RemoteAddr = "cron"
	defer func() {
		// serve panics with it to break a client's connection; here there is no client.
		if e := recover(); e != nil && e != http.ErrAbortHandler {
			panic(e)
		}
	}()
	begun := time.Now()
	sink := &discard{header: http.Header{}, status: http.StatusOK}
	c.w.serve(sink, r, nil, true)
	if c.life.Err() != nil {
		c.w.log.Warn("call by cron was given up", "function", name, "request", sink.header.Get(requestHeader), "schedule", schedule, "took", time.Since(begun).Round(time.Millisecond))
		return
	}
	c.w.log.Info("cron called function", "function", name, "request", sink.header.Get(requestHeader), "schedule", schedule, "status", sink.status, "took", time.Since(begun).Round(time.Millisecond))
}

// discard is an answer that nobody reads.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Flush()                      {}
