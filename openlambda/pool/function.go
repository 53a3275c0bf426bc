// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/olyaml"
	"github.com/ds2-lab/alps/openlambda/registry"
	"github.com/ds2-lab/alps/openlambda/stats"
)

// Why a request is refused without being served.
var (
	ErrQueueFull = errors.New("lambda function queue is full")
	ErrClosed    = errors.New("the worker is ending")
)

// codeUse counts who uses a directory of code; the last one removes it.
type codeUse struct {
	registry.Code
	users atomic.Int32
}

func (c *codeUse) drop(log *slog.Logger) {
	if c.users.Add(-1) > 0 {
		return
	}
	if err := os.RemoveAll(c.Dir); err != nil {
		log.Error("remove code", "dir", c.Dir, "err", err)
	}
}

// Function is a function's code, its instances, and the requests that wait for
// one.
type Function struct {
	p      *Pool
	ID     config.Function
	Labels config.Function                // the labels of its containers
	stats  atomic.Pointer[stats.Function] // nil until there is code
	log    *slog.Logger
	min    int // instances kept without requests

	pull sync.Mutex // one look at the registry at a time

	mu        sync.Mutex
	code      *codeUse  // nil until the first pull
	checked   time.Time // when the registry was looked at
	instances []*Instance
	waiting   list.List   // of chan grant
	avg       rolling     // how long instances needed for a request
	scaled    time.Time   // when scale last started or retired an instance
	timer     *time.Timer // calls scale again
	failures  int         // failed starts in a row
	failed    time.Time   // when the last start failed
	refused   error       // why the image cannot run this code
	died      string      // the sandbox whose replacement comes next
	closed    bool
	pending   sync.WaitGroup // starts and destructions under way
}

// grant is an instance with a slot taken, or why there is none.
type grant struct {
	in  *Instance
	err error
}

// Refresh looks at the registry if registry_cache_ms have passed since the last look. If the
// code has changed, the instances are replaced; requests that run end on the old code.
func (f *Function) Refresh(ctx context.Context) error {
	fresh := func() (string, bool) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.code == nil {
			return "", false
		}
		return f.code.Version, time.Since(f.checked) < time.Duration(f.p.config.RegistryCacheMS)*time.Millisecond
	}
	if _, ok := fresh(); ok {
		return nil
	}
	f.pull.Lock()
	defer f.pull.Unlock()
	have, ok := fresh()
	if ok {
		return nil
	}
	begun := time.Now()
	defer func() { f.Stats().Since(stats.Pull, begun) }()
	code, err := f.p.registry.Pull(context.WithoutCancel(ctx), f.ID.Name, have)
	if err != nil {
		return err
	}
	f.stats.CompareAndSwap(nil, f.p.stats.Function(f.ID.Name))
	if code.Version != have {
		f.p.OnCode(f.ID.Name, code.Function)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return errors.Join(ErrClosed, os.RemoveAll(code.Dir))
	}
	f.checked = time.Now()
	if code.Version == have {
		return nil
	}
	f.log.Info("pulled code", "request", RequestID(ctx), "dir", code.Dir)
	f.refused = nil
	old := f.code
	f.code = &codeUse{Code: code}
	f.code.users.Store(1)
	for _, in := range slices.Clone(f.instances) {
		f.retire(in)
	}
	if old != nil {
		old.drop(f.log)
	}
	f.scale("")
	return nil
}

// Stats is the function's statistics; until there is code, those of stats.Stats.Function("").
func (f *Function) Stats() *stats.Function {
	if s := f.stats.Load(); s != nil {
		return s
	}
	return f.p.none
}

// Says is what the function's files say about it.
func (f *Function) Says() olyaml.Function {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.code == nil {
		return olyaml.Function{}
	}
	return f.code.Function
}

// Acquire waits for a slot of an instance and says how long that took. A caller that gets one
// calls Release. The error is ErrQueueFull, ErrClosed, ctx's, or why no sandbox started.
func (f *Function) Acquire(ctx context.Context) (*Instance, time.Duration, error) {
	begun := time.Now()
	in, err := f.wait(ctx)
	return in, f.Stats().Since(stats.Wait, begun), err
}

// refusal is why the image cannot run the code. After refusedFor it is forgotten, and a
// request tries again: another image may have been loaded. The caller holds mu.
func (f *Function) refusal(now time.Time) error {
	if f.refused != nil && now.Sub(f.failed) >= refusedFor {
		f.refused = nil
	}
	return f.refused
}

func (f *Function) wait(ctx context.Context) (*Instance, error) {
	f.mu.Lock()
	err := f.refusal(time.Now())
	if f.closed {
		err = cmp.Or(err, ErrClosed)
	}
	if err != nil {
		f.mu.Unlock()
		return nil, err
	}
	if in := f.free(); in != nil {
		in.take()
		f.scale(RequestID(ctx))
		f.mu.Unlock()
		return in, nil
	}
	if f.waiting.Len() >= f.p.config.Queue+f.coming() {
		f.mu.Unlock()
		return nil, ErrQueueFull
	}
	ready := make(chan grant, 1)
	queued := f.waiting.PushBack(ready)
	f.scale(RequestID(ctx))
	f.mu.Unlock()
	select {
	case g := <-ready:
		return g.in, g.err
	case <-ctx.Done():
	}
	f.mu.Lock()
	select {
	case g := <-ready: // the grant came when ctx ended
		f.mu.Unlock()
		if g.in != nil {
			f.Release(g.in)
		}
	default:
		f.waiting.Remove(queued)
		f.mu.Unlock()
	}
	return nil, ctx.Err()
}

func (in *Instance) take() {
	in.inflight++
	if in.idle != nil {
		in.idle.Stop()
	}
}

// free is the instance with the fewest requests that has a free slot, nil if none has; of
// two with as many requests, one that is not paused.
func (f *Function) free() *Instance {
	var best *Instance
	for _, in := range f.instances {
		if in.SB == nil || in.inflight >= f.slots() {
			continue
		}
		if best == nil || in.inflight < best.inflight || in.inflight == best.inflight && best.paused.Load() && !in.paused.Load() {
			best = in
		}
	}
	return best
}

// Release gives a slot back.
func (f *Function) Release(in *Instance) {
	f.mu.Lock()
	defer f.mu.Unlock()
	in.inflight--
	if in.code.Function.Fresh {
		f.retire(in) // the next request gets a sandbox of its own
	}
	if in.retired && in.inflight == 0 {
		f.end(in)
	}
	f.dispatch()
	f.scale("")
	if in.inflight == 0 && !in.retired && f.slots() == 1 {
		if in.idle == nil {
			in.idle = time.AfterFunc(IdlePause, in.rest)
		} else {
			in.idle.Reset(IdlePause)
		}
	}
}

// dispatch hands free slots to waiting requests, first come, first served.
func (f *Function) dispatch() {
	for f.waiting.Len() > 0 {
		in := f.free()
		if in == nil {
			return
		}
		in.take()
		f.next() <- grant{in: in}
	}
}

func (f *Function) next() chan grant { return f.waiting.Remove(f.waiting.Front()).(chan grant) }

// slots is how many requests an instance takes at once.
func (f *Function) slots() int {
	if f.code != nil && f.code.Function.Fresh {
		return 1
	}
	return f.p.config.Concurrency
}

// close ends all instances and returns when they are gone.
func (f *Function) close() {
	f.mu.Lock()
	f.closed = true
	if f.timer != nil {
		f.timer.Stop()
	}
	for f.waiting.Len() > 0 {
		f.next() <- grant{err: ErrClosed}
	}
	for _, in := range slices.Clone(f.instances) {
		f.retire(in)
		if in.SB != nil {
			f.end(in) // also under a request that did not end in time
		}
	}
	f.mu.Unlock()
	f.pending.Wait()
}

// forget closes a function that has no code, and says whether the function is closed.
func (f *Function) forget() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = f.closed || f.code == nil
	return f.closed
}
