// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/ds2-lab/alps/alps/client"
)

// follow opens the stream of invocations, which ctx may end, and has it read until whole
// ends. A stream that breaks is taken up again after the last event that was read.
func (r *running) follow(ctx, whole context.Context) error {
	r.newest = uint64(r.Now()) // the daemon dates events by the same clock
	open, failed := make(chan struct{}), make(chan error, 1)
	go func() {
		failed <- r.Daemon.Events(whole, func() { close(open) }, r.add)
		for {
			r.mu.Lock()
			r.broke = true
			since := r.newest
			r.mu.Unlock()
			select {
			case <-whole.Done():
				return
			case <-time.After(retry):
			}
			_ = r.Daemon.EventsSince(whole, since, r.add) // answered tells of a daemon that is away for long
		}
	}()
	select {
	case <-open:
		return nil
	case err := <-failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *running) add(e client.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.newest = max(r.newest, e.ReadNS)
	r.tally.add(e)
}

// answered looks for the daemon if the stream has broken since it was asked last.
func (r *running) answered(ctx context.Context) error {
	r.mu.Lock()
	broke := r.broke
	r.broke, r.everBroke = false, r.everBroke || broke
	r.mu.Unlock()
	if !broke {
		return nil
	}
	_, err := r.status(ctx)
	return err
}

// status asks a daemon that may be about to start anew.
func (r *running) status(ctx context.Context) (s client.Status, err error) {
	return s, r.patiently(ctx, func() error {
		s, err = r.Daemon.Status(ctx)
		return err
	})
}

// patiently asks the daemon again for as long as no daemon answers, up to patience.
func (r *running) patiently(ctx context.Context, ask func() error) error {
	said := false
	for begun := r.Now(); ; {
		err := ask()
		var unanswered *url.Error
		switch {
		case err == nil || !errors.As(err, &unanswered):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case r.Now().Sub(begun) >= patience:
			return fmt.Errorf("no daemon answered for %s: %w", patience, err)
		}
		if !said {
			said = true
			r.Progress.Printf("no daemon answers: it has %s to come back", patience)
		}
		if err := r.Sleep(ctx, retry); err != nil {
			return err
		}
	}
}
