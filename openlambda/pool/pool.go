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
	"github.com/ds2-lab/alps/openlambda/olyaml"
	"github.com/ds2-lab/alps/openlambda/registry"
	"github.com/ds2-lab/alps/openlambda/sandbox"
	"github.com/ds2-lab/alps/openlambda/stats"
	"github.com/ds2-lab/alps/openlambda/workdir"
)

// StartsAtOnce bounds how many configured functions start at a time; more only
// make an emulated dockerd slower.
const StartsAtOnce = 2

// ReapLimit bounds the removal of containers that are left when a worker has ended.
const ReapLimit = time.Minute

// Pool is the functions of a worker.
type Pool struct {
	config   config.Config
	maker    sandbox.Maker
	registry *registry.Registry
	log      *slog.Logger
	stats    *stats.Stats
	none     *stats.Function // of functions without code
	life     context.Context // of everything that outlives a request; Close ends it
	end      context.CancelFunc

	lastDir atomic.Int64 // number of the last directory made in scratch

	// OnCode is called with what a function's files say, whenever new code was pulled.
	OnCode func(name string, f olyaml.Function)

	mu        sync.Mutex
	functions map[config.Function]*Function
}

// New returns a pool whose sandboxes m makes. Its gauges are registered in s.
func New(c config.Config, m sandbox.Maker, log *slog.Logger, s *stats.Stats) *Pool {
	p := &Pool{config: c, maker: m, log: log, stats: s, none: s.Function(""), registry: registry.New(c.Registry, workdir.Code(c)), OnCode: func(string, olyaml.Function) {}, functions: map[config.Function]*Function{}}
	s.Registry.MustRegister(gauges{p})
	p.life, p.end = context.WithCancel(context.Background())
	p.lastDir.Store(1000)
	return p
}

// Registry is where the functions' code comes from.
func (p *Pool) Registry() *registry.Registry { return p.registry }

// Check returns an error if no function at all can be served (sandbox.Maker.Check).
func (p *Pool) Check(ctx context.Context) error { return p.maker.Check(ctx) }

// Reap removes the sandboxes that a worker before this one left.
func (p *Pool) Reap(ctx context.Context) error { return p.maker.Reap(ctx) }

type requestKey struct{}

// WithRequest returns ctx with the id of the request that it belongs to.
func WithRequest(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

// RequestID is the id that WithRequest gave, "" if none.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

// Warm starts the configured functions; one that does not start is an error.
func (p *Pool) Warm(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(StartsAtOnce)
	var done atomic.Int32
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
				who := fmt.Sprintf("function %s (uid %s)", id.Name, f.Labels.UID)
				if id.Port != "" {
					who = fmt.Sprintf("function %s (uid %s, port %s)", id.Name, f.Labels.UID, id.Port)
				}
				return fmt.Errorf("%s: %w", who, err)
			}
			f.Release(in)
			p.log.Info("function is ready", "function", id.Name, "uid", f.Labels.UID, "port", id.Port,
				"number", done.Add(1), "of", len(p.config.Functions), "took", time.Since(begun).Round(time.Millisecond))
			return nil
		})
	}
	return g.Wait()
}

// Pulled is the function that id names, with its code. With an error the function may
// have no code: the caller then calls Forget.
func (p *Pool) Pulled(ctx context.Context, id config.Function) (*Function, error) {
	for tries := 0; ; tries++ {
		f := p.function(id)
		err := f.Refresh(ctx)
		// Another request may have forgotten f a moment ago: the next try makes it anew.
		if !errors.Is(err, ErrClosed) || p.life.Err() != nil || tries == 3 {
			return f, err
		}
	}
}

// function returns the function that id names, and makes it if it is not known yet. It
// starts no instance.
func (p *Pool) function(id config.Function) *Function {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, ok := p.functions[id]
	if !ok {
		f = &Function{p: p, ID: id, Labels: id, log: p.log.With("function", id.Name), min: p.config.Instances.Min}
		if slices.Contains(p.config.Functions, id) {
			f.min = max(1, f.min)
		} else {
			f.Labels.UID = p.config.SealPriority
		}
		if f.Labels.UID == "" {
			f.Labels.UID = p.uidOf(id.Name)
		}
		p.functions[id] = f
	}
	return f
}

// uidOf is the first UID made of a function's name (config.UIDOf) that no function of
// another name has. The caller holds mu.
func (p *Pool) uidOf(name string) string {
	taken := map[string]bool{}
	for _, other := range p.functions {
		taken[other.Labels.UID] = taken[other.Labels.UID] || other.ID.Name != name
	}
	for salt := 0; ; salt++ {
		if uid := config.UIDOf(name, salt); !taken[uid] {
			return uid
		}
	}
}

// Forget drops f if it has no code, so that names which somebody tries do not pile up.
// It says whether it dropped f.
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

// create starts a sandbox that has a directory of its own in scratch.
func (p *Pool) create(f *Function, code *codeUse) (sandbox.Sandbox, error) {
	defer f.Stats().Since(stats.Create, time.Now())
	host := filepath.Join(workdir.Scratch(p.config), fmt.Sprintf("%d-%s", p.lastDir.Add(1), f.ID.Name))
	if err := os.Mkdir(host, 0o700); err != nil {
		return nil, err
	}
	sb, err := p.maker.Start(p.life, sandbox.Spec{Function: f.Labels, CodeDir: code.Dir, Env: code.Function.Env(), HostDir: host})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(host))
	}
	return sb, nil
}

// Close ends every sandbox, and removes what starts that were given up have left.
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
