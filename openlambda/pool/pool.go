// SPDX-License-Identifier: Apache-2.0

// Package pool holds the functions of a worker: the code of each, its
// instances, the requests that wait for one, and how many instances there are.
package pool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/registry"
	"github.com/ds2-lab/alps/openlambda/sandbox"
	"github.com/ds2-lab/alps/openlambda/stats"
	"github.com/ds2-lab/alps/openlambda/workdir"
)

// StartsAtOnce bounds how many configured functions start at a time; more only
// make an emulated dockerd slower.
const StartsAtOnce = 2

// ReapLimit bounds the removal of what is left at a worker's end.
const ReapLimit = time.Minute

// Pool is the functions of a worker.
type Pool struct {
	config   config.Config
	maker    sandbox.Maker
	registry *registry.Registry
	log      *slog.Logger
	stats    *stats.Stats
	life     context.Context // of everything that outlives a request
	end      context.CancelFunc

	lastDir atomic.Int64 // of scratch

	mu        sync.Mutex
	functions map[config.Function]*Function
}

// New returns a pool whose sandboxes m makes. Its gauges are registered in s.
func New(c config.Config, m sandbox.Maker, log *slog.Logger, s *stats.Stats) *Pool {
	p := &Pool{config: c, maker: m, log: log, stats: s, registry: registry.New(c.Registry, workdir.Code(c)), functions: map[config.Function]*Function{}}
	s.Registry.MustRegister(gauges{p})
	p.life, p.end = context.WithCancel(context.Background())
	p.lastDir.Store(1000)
	return p
}

// Reap removes the sandboxes that a worker before this one left.
func (p *Pool) Reap(ctx context.Context) error { return p.maker.Reap(ctx) }

// Warm starts the configured functions; one that does not start is an error.
func (p *Pool) Warm(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(StartsAtOnce)
	for _, id := range p.config.Functions {
		g.Go(func() error {
			begun := time.Now()
			f := p.function(id)
			err := f.Refresh(ctx)
			var in *Instance
			if err == nil {
				in, _, err = f.Acquire(ctx)
			}
			if err != nil {
				return fmt.Errorf("function %s: %w", id.Name, err)
			}
			f.Release(in)
			p.log.Info("function", "name", id.Name, "uid", f.Labels.UID, "port", id.Port, "took", time.Since(begun).Round(time.Millisecond))
			return nil
		})
	}
	return g.Wait()
}

// Pulled is the function that id names, with its code. With an error it may be
// one that Forget drops.
func (p *Pool) Pulled(ctx context.Context, id config.Function) (*Function, error) {
	for tries := 0; ; tries++ {
		f := p.function(id)
		err := f.Refresh(ctx)
		// One that was forgotten a moment ago may be there now.
		if !errors.Is(err, ErrClosed) || p.life.Err() != nil || tries == 3 {
			return f, err
		}
	}
}

// function returns the function that id names. What is not configured starts
// with its first request.
func (p *Pool) function(id config.Function) *Function {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, ok := p.functions[id]
	if !ok {
		f = &Function{p: p, ID: id, Labels: id, min: p.config.Instances.Min}
		if slices.Contains(p.config.Functions, id) {
			f.min = max(1, f.min)
		} else {
			f.Labels.UID = p.config.SealPriority
		}
		if f.Labels.UID == "" {
			f.Labels.UID = "0"
		}
		p.functions[id] = f
	}
	return f
}

// Forget drops a function that turned out not to exist, so that names which
// somebody tries do not pile up. It says whether it did.
func (p *Pool) Forget(f *Function) bool {
	if !f.forget() {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.functions[f.ID] == f {
		delete(p.functions, f.ID)
	}
	return true
}

// All is every function, in the order of ports and names.
func (p *Pool) All() []*Function {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*Function
	for _, f := range p.functions {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b *Function) int {
		return slices.Compare([]string{a.ID.Port, a.ID.Name, a.ID.UID}, []string{b.ID.Port, b.ID.Name, b.ID.UID})
	})
	return out
}

// create makes a sandbox in a directory of its own.
func (p *Pool) create(f *Function, code string) (sandbox.Sandbox, error) {
	defer p.stats.Since(stats.Create, time.Now())
	host := filepath.Join(workdir.Scratch(p.config), fmt.Sprintf("%d-%s", p.lastDir.Add(1), f.ID.Name))
	if err := os.Mkdir(host, 0o700); err != nil {
		return nil, err
	}
	sb, err := p.maker.Start(p.life, sandbox.Spec{Function: f.Labels, CodeDir: code, HostDir: host})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(host))
	}
	return sb, nil
}

// Close ends every sandbox, and what a start that was given up left.
func (p *Pool) Close() error {
	p.end()
	var g errgroup.Group
	for _, f := range p.All() {
		g.Go(func() error { f.close(); return nil })
	}
	_ = g.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), ReapLimit)
	defer cancel()
	return p.maker.Reap(ctx)
}
