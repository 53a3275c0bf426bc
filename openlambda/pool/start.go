// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/ds2-lab/alps/openlambda/sandbox"
)

// start begins the start of an instance of the current code. request is the id of the
// request that waits for it, "" if none does. The caller holds mu.
func (f *Function) start(request string) {
	in := &Instance{F: f, code: f.code}
	log := f.log
	if request != "" {
		log = log.With("request", request)
	}
	if f.died != "" {
		log = log.With("replaces", f.died)
		f.died = ""
	}
	begun := time.Now()
	in.code.users.Add(1)
	f.instances = append(f.instances, in)
	f.pending.Go(func() {
		sb, err := f.p.create(f, in.code)
		f.mu.Lock()
		defer f.mu.Unlock()
		if err != nil {
			in.code.drop(f.log)
			f.lost(in)
			f.failures++
			f.failed = time.Now()
			level := slog.LevelError
			if f.p.life.Err() != nil {
				level = slog.LevelDebug // given up because the worker ends
			}
			log.Log(context.Background(), level, "sandbox did not start", "took", time.Since(begun).Round(time.Millisecond), "err", err)
			err = fmt.Errorf("could not create Sandbox: %w", err)
			if errors.Is(err, sandbox.ErrRefused) && in.code == f.code {
				f.refused = fmt.Errorf("function %s: %w", f.ID.Name, err)
			}
			// While other instances run or start, the requests wait for those.
			for len(f.instances) == 0 && f.waiting.Len() > 0 {
				f.next() <- grant{err: err}
			}
			f.scale("")
			return
		}
		f.failures = 0
		f.Stats().ColdStarts.Inc()
		log.Info("sandbox is ready", "sandbox", sb, "took", time.Since(begun).Round(time.Millisecond))
		in.SB = sb
		if in.retired || f.closed {
			f.lost(in)
			f.end(in)
			f.scale("")
			return
		}
		go f.watch(in)
		f.dispatch()
		f.scale("")
	})
}

// watch waits until the sandbox ends, and has the instance replaced. An end within
// shortLife counts as a start that failed.
func (f *Function) watch(in *Instance) {
	born := time.Now()
	<-in.SB.Dead()
	death := in.SB.Death(f.p.life)
	f.mu.Lock()
	if death.Kind != "" || !in.ended {
		f.Stats().Died(death.Kind)
		f.log.Warn("sandbox died", "sandbox", in.SB, "reason", death.Text, "lived", time.Since(born).Round(time.Millisecond), "requests", in.inflight)
		f.died = in.SB.String()
	}
	if !in.retired && time.Since(born) < shortLife {
		f.failures++
		f.failed = time.Now()
	}
	f.mu.Unlock()
	f.Discard(in)
}

// Discard retires an instance that does not work any more; another is started if one is needed.
func (f *Function) Discard(in *Instance) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if in.retired {
		return
	}
	f.retire(in)
	f.scale("")
}

// retire takes an instance off the list and ends it once its requests have ended. The caller holds mu.
func (f *Function) retire(in *Instance) {
	if in.retired {
		return
	}
	in.retired = true
	f.lost(in)
	if in.SB != nil && in.inflight == 0 {
		f.end(in)
	}
}

// lost takes an instance off the list.
func (f *Function) lost(in *Instance) {
	f.instances = slices.DeleteFunc(f.instances, func(x *Instance) bool { return x == in })
}

// end begins to destroy an instance, unless it has begun already. The caller holds mu.
func (f *Function) end(in *Instance) {
	if in.ended {
		return
	}
	in.ended = true
	if in.idle != nil {
		in.idle.Stop()
	}
	f.pending.Go(in.destroy)
}
