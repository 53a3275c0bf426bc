// SPDX-License-Identifier: Apache-2.0

// Package ghost schedules functions from user space: every decision of the
// kernel is delegated to this process, as ghOSt delegates to an agent.
//
// It does what the daemon's mode says. Under cfs it is CFS over the functions' threads,
// without groups; under alps and manual it serves them by the key and the slices that the
// hooks in CFS use: two ways of deciding are compared, not two policies. It refuses sfs and
// steady, for which it would have to count what an invocation has used.
package ghost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/bpf/ghost"
	"github.com/ds2-lab/alps/internal/clock"
)

// Config is an agent. The zero value of each field but CPUs works.
type Config struct {
	Socket string       // the daemon's; "": client.DefaultSocket
	CPUs   []int        // that the functions have; required
	Log    *slog.Logger // nil discards
}

// poll is how often the daemon is asked for its mode, policy and functions.
const poll = time.Second

// Run decides until ctx ends; then the kernel does. The daemon must run, with
// -delegated.
func Run(ctx context.Context, c Config) error {
	if len(c.CPUs) == 0 {
		return errors.New("agent: no CPUs are given: -cpus lists the functions' CPUs")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	w := &watcher{api: client.New(c.Socket), log: c.Log, looked: map[uint64]int{}}
	if err := w.look(ctx); err != nil {
		return err
	}
	// One thread decides; when it wakes up, it may not wait for another thread in
	// the runtime.
	runtime.GOMAXPROCS(max(4, runtime.GOMAXPROCS(0)))
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.run(ctx) })
	g.Go(func() error {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		return decide(ctx, c, &w.entries)
	})
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// decide reads what there is, then answers.
func decide(ctx context.Context, c Config, entries *atomic.Pointer[map[uint64]client.Entry]) error {
	if err := realTime(); err != nil {
		return err
	}
	s, err := ghost.Load()
	if err != nil {
		return err
	}
	defer s.Close()
	o := newOrder(c.CPUs)
	begun, err := cpuTime()
	if err != nil {
		return err
	}
	decisions := 0
	for ctx.Err() == nil {
		if err := o.takeAll(s, time.Now().Add(poll)); err != nil {
			return err
		}
		o.entries = *entries.Load()
		for _, d := range o.decide(uint64(clock.Now())) {
			instead, err := s.Commit(d)
			if err != nil {
				return err
			}
			o.again(instead)
			decisions++
		}
	}
	n, err := s.Bypassed()
	if err != nil {
		return err
	}
	ended, err := cpuTime()
	if err != nil {
		return err
	}
	c.Log.Info("agent ends", "decisions", decisions, "cpu_each", (ended-begun)/time.Duration(max(1, decisions)), "bypassed", n)
	return ctx.Err()
}

// messages are what the kernel tells.
type messages interface {
	Next(deadline time.Time) (ghost.Message, error)
	More() bool
}

// takeAll waits until deadline for a message, and takes what there is with it.
// The error says that the kernel ended the scheduler, wherever among the messages.
func (o *order) takeAll(from messages, deadline time.Time) error {
	for {
		m, err := from.Next(deadline)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		} else if err != nil {
			return err
		}
		o.take(m)
		if !from.More() {
			return nil
		}
		deadline = time.Time{} // it is there
	}
}

// cpuTime is what this thread has used.
func cpuTime() (time.Duration, error) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		return 0, fmt.Errorf("read the agent's CPU time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// realTime puts this thread, but none it makes, before all that it schedules and
// competes with, as ghOSt's agents are.
func realTime() error {
	err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1, Flags: unix.SCHED_FLAG_RESET_ON_FORK}, 0)
	if err != nil {
		return fmt.Errorf("give the agent a real-time priority: %w (root is needed)", err)
	}
	return nil
}

// watcher follows the daemon.
type watcher struct {
	api     *client.Client
	log     *slog.Logger
	looked  map[uint64]int                          // how often a function's threads were taken
	entries atomic.Pointer[map[uint64]client.Entry] // nil map: by vruntime
	seen    string
}

func (w *watcher) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(poll):
		}
		if err := w.look(ctx); err != nil {
			w.log.Error("ask the daemon for its policy", "err", err) // it may come back; until then all stays as it is
		}
	}
}

// look asks for mode, policy and functions.
func (w *watcher) look(ctx context.Context) error {
	st, err := w.api.Status(ctx)
	if err != nil {
		return err
	}
	for _, f := range st.Functions {
		// Once more, for what was forked meanwhile; after that children inherit.
		if w.looked[f.ID]++; w.looked[f.ID] > 2 {
			continue
		}
		if err := w.takeAll(filepath.Join("/sys/fs/cgroup", f.Cgroup)); err != nil {
			return err
		}
	}
	switch st.Mode.Policy {
	case client.PolicyCFS, client.PolicyALPS, client.PolicyManual:
	default:
		return fmt.Errorf("the daemon's policy is %s: this agent serves cfs, alps and manual only; alps mode -policy=alps switches", st.Mode.Policy)
	}
	seen := fmt.Sprint(st.Mode.Policy, st.Generation)
	if seen == w.seen {
		return nil
	}
	var entries map[uint64]client.Entry
	if st.Mode.Policy != client.PolicyCFS {
		list, err := w.api.Policy(ctx)
		if err != nil {
			return err
		}
		entries = map[uint64]client.Entry{}
		for _, e := range list {
			entries[e.ID] = e
		}
	}
	w.entries.Store(&entries)
	w.seen = seen
	return nil
}

// takeAll takes the threads of a cgroup and of those below. What they fork is
// taken by the kernel.
func (w *watcher) takeAll(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() != "cgroup.threads" {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil // gone since
		}
		for _, field := range strings.Fields(string(data)) {
			id, err := strconv.Atoi(field)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			if err := ghost.Take(id); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
		return nil
	})
}
