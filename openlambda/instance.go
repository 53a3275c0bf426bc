package openlambda

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// idlePause is how long an instance has nothing to do before it is paused.
// OpenLambda pauses at once; a client that sends one request after another
// would pay for it each time.
const idlePause = time.Second

// instance is a function's sandbox, from the order to make it to its end.
// Fields below mu belong to function.mu.
type instance struct {
	f    *function
	code *codeUse
	sb   sandbox // nil until it is up

	inflight int
	retired  bool // takes no requests; destroyed when inflight is 0
	ended    bool // its destruction is under way
	idle     *time.Timer

	pauseMu sync.Mutex // held while Docker pauses or unpauses
	paused  atomic.Bool
}

func (in *instance) state() string {
	switch {
	case in.sb == nil:
		return "starting"
	case in.paused.Load():
		return "paused"
	}
	return "running"
}

// wake makes sure that the sandbox is not paused. The caller holds a slot, so
// nobody pauses it afterwards.
func (in *instance) wake(ctx context.Context) error {
	in.pauseMu.Lock()
	defer in.pauseMu.Unlock()
	if !in.paused.Load() {
		return nil
	}
	defer in.f.w.stats.since(stageUnpause, time.Now())
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deadline)
	defer cancel()
	if err := in.sb.unpause(ctx); err != nil {
		return err
	}
	in.paused.Store(false)
	return nil
}

// rest pauses the sandbox if it still has nothing to do.
func (in *instance) rest() {
	in.pauseMu.Lock()
	defer in.pauseMu.Unlock()
	in.f.mu.Lock()
	busy := in.inflight > 0 || in.retired
	in.f.mu.Unlock()
	if busy || in.paused.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(in.f.w.life, deadline)
	defer cancel()
	begun := time.Now()
	if err := in.sb.pause(ctx); err != nil {
		in.f.w.log.Warn("discard sandbox", "function", in.f.id.Name, "sandbox", in.sb, "pause", err)
		in.f.discard(in)
		return
	}
	in.f.w.stats.since(stagePause, begun)
	in.paused.Store(true)
}

// destroy ends the sandbox and lets go of its code.
func (in *instance) destroy() {
	w := in.f.w
	begun := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	if err := in.sb.destroy(ctx); err != nil {
		w.log.Error("destroy sandbox", "function", in.f.id.Name, "sandbox", in.sb, "err", err)
	}
	w.stats.since(stageDestroy, begun)
	in.code.drop(w.log)
}
