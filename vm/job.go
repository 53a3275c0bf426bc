// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ds2-lab/alps/internal/window"
)

// Do gives a job to a guest that was started silently, lets it run, and returns
// the outcome, which is whatever in the guest waits for jobs makes of it. It is
// called once. progress may be nil.
func (m *Machine) Do(ctx context.Context, job []byte, progress func(done, total int)) ([]byte, error) {
	if !m.Config.silent || m.Config.Window == 0 {
		return nil, errors.New("vm: only a guest that was started silently, with a window, takes a job")
	}
	w, err := window.Open(m.paths.window)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if err := w.Give(job); err != nil {
		return nil, err
	}
	if _, err := m.monitor.Do(ctx, "cont", nil); err != nil {
		return nil, fmt.Errorf("vm: %w", err)
	}
	ctx, cancel := m.alive(ctx)
	defer cancel(nil)
	return w.Await(ctx, progress)
}

// alive is a context that ends with the guest.
func (m *Machine) alive(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-m.Gone():
			cancel(errors.Join(ErrGone, m.Fault()))
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// serverLimit is how long a guest that was provisioned may take until it waits
// for jobs.
const serverLimit = 2 * time.Minute

// awaitServer returns when the guest waits for jobs.
func (m *Machine) awaitServer(ctx context.Context) error {
	w, err := window.Open(m.paths.window)
	if err != nil {
		return err
	}
	defer w.Close()
	ctx, cancel := m.alive(ctx)
	defer cancel(nil)
	ctx, stop := context.WithTimeoutCause(ctx, serverLimit, fmt.Errorf("nobody in the guest waited for jobs within %s, or its network did not end (console: %s)", serverLimit, m.Console()))
	defer stop()
	return w.AwaitServer(ctx)
}
