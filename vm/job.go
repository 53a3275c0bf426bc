package vm

import (
	"context"
	"errors"
	"fmt"

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
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-m.Gone():
			cancel(errors.Join(ErrGone, m.Fault()))
		case <-ctx.Done():
		}
	}()
	return w.Await(ctx, progress)
}
