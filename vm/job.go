// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ds2-lab/alps/internal/ivshmem"
)

// Do gives a job to a guest from StartSilent, lets it run, and returns the bytes that the
// guest's program answers (such as alps-loadgen serve). It may be called once. progress
// may be nil. The error wraps ErrGone if the guest went away.
func (g *Guest) Do(ctx context.Context, job []byte, progress func(done, total int)) ([]byte, error) {
	if !g.Config.silent || g.Config.Window == 0 {
		return nil, errors.New("vm: only a guest that was started silently, with a window, takes a job")
	}
	w, err := ivshmem.Open(g.paths.window)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if err := w.Give(job); err != nil {
		return nil, err
	}
	if _, err := g.monitor.Do(ctx, "cont", nil); err != nil {
		return nil, fmt.Errorf("vm: let the guest go on: %w", err)
	}
	ctx, cancel := g.contextUntilGone(ctx)
	defer cancel(nil)
	return w.Await(ctx, progress)
}

// contextUntilGone is a context that ends with ctx or when the guest is gone.
func (g *Guest) contextUntilGone(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-g.Gone():
			cancel(errors.Join(ErrGone, g.Fault()))
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// serverLimit is how long a guest that was provisioned may take until it waits
// for jobs.
const serverLimit = 2 * time.Minute

// awaitServer returns when a program in the guest waits for jobs in the window.
func (g *Guest) awaitServer(ctx context.Context) error {
	w, err := ivshmem.Open(g.paths.window)
	if err != nil {
		return err
	}
	defer w.Close()
	ctx, cancel := g.contextUntilGone(ctx)
	defer cancel(nil)
	limit := g.Config.Patience(serverLimit)
	ctx, stop := context.WithTimeoutCause(ctx, limit, fmt.Errorf("nobody in the guest waited for jobs within %s, or its network did not end (console: %s)", limit, g.Console()))
	defer stop()
	return w.AwaitServer(ctx)
}
