// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ds2-lab/alps/openlambda/sandbox"
	"github.com/ds2-lab/alps/openlambda/stats"
)

// IdlePause is how long an instance has nothing to do before it is paused.
// OpenLambda pauses at once; a client that sends one request after another
// would pay for it each time.
const IdlePause = time.Second

// Instance is a function's sandbox, from the order to make it to its end. F.mu guards
// inflight, retired, ended and idle, and is held when SB is set.
type Instance struct {
	F    *Function
	code *codeUse
	SB   sandbox.Sandbox // nil until it is up

	inflight int
	retired  bool        // takes no requests; destroyed when inflight is 0
	ended    bool        // its destruction is under way
	idle     *time.Timer // calls rest; nil before the first request has ended

	pauseMu sync.Mutex // held while Docker pauses or unpauses
	paused  atomic.Bool
}

func (in *Instance) state() string {
	switch {
	case in.SB == nil:
		return "starting"
	case in.paused.Load():
		return "paused"
	}
	return "running"
}

// Wake makes sure that the sandbox is not paused. The caller holds a slot, so
// nobody pauses it afterwards.
func (in *Instance) Wake(ctx context.Context) error {
	in.pauseMu.Lock()
	defer in.pauseMu.Unlock()
	if !in.paused.Load() {
		return nil
	}
	defer in.F.Stats().Since(stats.Unpause, time.Now())
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sandbox.Deadline)
	defer cancel()
	if err := in.SB.Unpause(ctx); err != nil {
		return err
	}
	in.paused.Store(false)
	return nil
}

// rest pauses the sandbox if it still has nothing to do.
func (in *Instance) rest() {
	in.pauseMu.Lock()
	defer in.pauseMu.Unlock()
	in.F.mu.Lock()
	busy := in.inflight > 0 || in.retired
	in.F.mu.Unlock()
	if busy || in.paused.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(in.F.p.life, sandbox.Deadline)
	defer cancel()
	begun := time.Now()
	if err := in.SB.Pause(ctx); err != nil {
		in.F.log.Warn("sandbox cannot be paused and goes", "sandbox", in.SB, "err", err)
		in.F.Discard(in)
		return
	}
	in.F.Stats().Since(stats.Pause, begun)
	in.paused.Store(true)
}

// destroy ends the sandbox and lets go of its code.
func (in *Instance) destroy() {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), sandbox.Deadline)
	defer cancel()
	if err := in.SB.Destroy(ctx); err != nil {
		in.F.log.Error("sandbox cannot be removed", "sandbox", in.SB, "err", err)
	}
	in.F.Stats().Since(stats.Destroy, begun)
	in.code.drop(in.F.log)
}
