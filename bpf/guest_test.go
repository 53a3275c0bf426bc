// SPDX-License-Identifier: Apache-2.0

package bpf_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/internal/cgrouptest"
	"github.com/ds2-lab/alps/internal/pagetest"
	"github.com/ds2-lab/alps/internal/ring"
)

// The tests named TestGuest… run in a guest with the patched kernel: the test
// binary is copied there by experiments/guest's guest test.

func TestMain(m *testing.M) {
	cgrouptest.Main()
	if os.Getenv("ALPS_PLAY") == "load" {
		_, err := bpf.Load(bpf.Options{})
		fmt.Println(err)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func load(t *testing.T, o bpf.Options) *bpf.Backend {
	ring.Need(t, ring.Hook, ring.Must(ring.Hook), "runs in the guest of the target test:guest, where the kernel has the hooks")
	b := open(t, o)
	require.NoError(t, b.CheckHooks())
	return b
}

// loadObserver is for tests that every kernel passes from 5.18 on.
func loadObserver(t *testing.T, o bpf.Options) *bpf.Backend {
	ring.Need(t, ring.Trace, ring.Must(ring.Trace), "runs in the guest of the target test:guest")
	return open(t, o)
}

func open(t *testing.T, o bpf.Options) *bpf.Backend {
	b, err := bpf.Load(o)
	require.NoError(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}

// slack is how many times as long as a bound of docs/kernel.md a wait may be.
const slack = 1.1

func allowed(bound time.Duration) time.Duration { return time.Duration(slack * float64(bound)) }

// docs/kernel.md and docs/questions.md say the same as the tests.
func TestPagesSayWhatWaitsAreAllowed(t *testing.T) {
	for _, name := range []string{"TestGuestStarvationIsBounded", "TestGuestSteadyStarvationIsBounded"} {
		pagetest.Says(t, "docs/kernel.md", fmt.Sprintf("`%s` holds the kernel to %g × this", name, slack))
		pagetest.Says(t, "docs/questions.md", fmt.Sprintf("`%s`, to %g ×", name, slack))
	}
}

func idOf(t *testing.T, dir string) bpf.CgroupID {
	id, err := bpf.CgroupOf(dir)
	require.NoError(t, err)
	return id
}

// rule makes the cgroups functions and gives them a policy.
func rule(t *testing.T, b *bpf.Backend, policy map[string]bpf.Entry) {
	var functions []bpf.Function
	entries := map[bpf.CgroupID]bpf.Entry{}
	for dir, e := range policy {
		id := idOf(t, dir)
		functions = append(functions, bpf.Function{ID: id, UID: filepath.Base(dir), Cgroup: dir})
		entries[id] = e
	}
	require.NoError(t, b.SetFunctions(functions))
	require.NoError(t, b.SetPolicy(entries))
	// Even to be killed a process needs the CPU: it may not wait behind a function then.
	t.Cleanup(func() { _ = os.WriteFile("/proc/sys/kernel/sched_alps", []byte("0"), 0) })
}

// watch collects the events of processes that exec until stop is called: Go's
// runtime forks once to see whether pidfds work.
func watch(t *testing.T, b *bpf.Backend) (events func() []bpf.Event, stop func()) {
	return collect(t, b, func(e bpf.Event) bool { return e.Exec != 0 })
}

// watchAll collects all events.
func watchAll(t *testing.T, b *bpf.Backend) (events func() []bpf.Event, stop func()) {
	return collect(t, b, func(bpf.Event) bool { return true })
}

// drainWait is longer than a busy period's report takes.
const drainWait = 100 * time.Millisecond

func collect(t *testing.T, b *bpf.Backend, want func(bpf.Event) bool) (events func() []bpf.Event, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var mu sync.Mutex
	var all []bpf.Event
	done := make(chan error, 1)
	go func() {
		done <- b.Events(ctx, func(e bpf.Event) {
			mu.Lock()
			defer mu.Unlock()
			if want(e) {
				all = append(all, e)
			}
		})
	}()
	events = func() []bpf.Event { mu.Lock(); defer mu.Unlock(); return all }
	return events, func() {
		time.Sleep(200 * time.Millisecond)
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
	}
}
