// SPDX-License-Identifier: Apache-2.0

package bpf_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/internal/cgrouptest"
	"github.com/ds2-lab/alps/internal/ring"
)

// TestSoak is everything at once, for ALPS_SOAK: load, policy updates, attach
// and detach, CPUs and cgroups that come and go. The target kernel:soak runs it
// in a debug kernel and reads the kernel's log afterwards.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("ALPS_SOAK"))
	ring.Need(t, ring.Long, err == nil, "run by the target kernel:soak")
	const updates, attachments = 10_000, 500
	t.Setenv("ALPS_CPU", "-1")
	b := load(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	var functions []bpf.Function
	var dirs []string
	for i := range 6 {
		dir := p.Group(fmt.Sprint("f", i))
		dirs = append(dirs, dir)
		functions = append(functions, bpf.Function{ID: idOf(t, dir), Cgroup: dir})
	}
	for _, dir := range dirs[:3] {
		p.Hog(dir)
	}
	require.NoError(t, b.SetFunctions(functions))
	require.NoError(t, b.AttachObserver())
	events, stop := watch(t, b)

	over := make(chan struct{})
	time.AfterFunc(length, func() { close(over) })
	var wg sync.WaitGroup
	var n struct{ updates, attached, hotplugged, storms, invoked atomic.Int64 }
	// every calls f until the time is over, and then until it was called so often.
	every := func(count *atomic.Int64, pause time.Duration, least int64, f func()) {
		wg.Go(func() {
			for {
				select {
				case <-over:
					if count.Load() >= least {
						return
					}
				case <-time.After(pause):
				}
				f()
				count.Add(1)
			}
		})
	}
	random := rand.New(rand.NewPCG(1, 2)) // of the updates alone
	every(&n.updates, length/updates/2, updates, func() {
		policy := map[bpf.CgroupID]bpf.Entry{}
		for _, f := range functions[:random.IntN(len(functions)+1)] {
			policy[f.ID] = bpf.Entry{BiasUS: random.Uint32N(200_000), SliceUS: random.Uint32N(50_000)}
		}
		if err := b.SetPolicy(policy); err != nil {
			t.Error(err)
		}
		if err := b.KeepAlive(time.Duration(random.IntN(3)) * 50 * time.Millisecond); err != nil {
			t.Error(err)
		}
	})
	every(&n.attached, 0, attachments, func() {
		if err := b.AttachHooks(); err != nil {
			t.Error(err)
		}
		time.Sleep(50 * time.Millisecond)
		if err := b.DetachHooks(); err != nil {
			t.Error(err)
		}
	})
	every(&n.hotplugged, time.Second, 10, func() {
		for _, state := range []string{"0", "1"} {
			if err := os.WriteFile("/sys/devices/system/cpu/cpu1/online", []byte(state), 0); err != nil {
				t.Error(err)
			}
			time.Sleep(300 * time.Millisecond)
		}
	})
	every(&n.storms, 100*time.Millisecond, 10, func() {
		var made []string
		for i := range 20 {
			dir := filepath.Join(dirs[3], fmt.Sprint("s", i))
			if i%2 == 1 {
				dir = filepath.Join(made[i-1], "inner")
			}
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Error(err)
			}
			made = append(made, dir)
		}
		for i := len(made) - 1; i >= 0; i-- {
			if err := os.Remove(made[i]); err != nil {
				t.Error(err)
			}
		}
	})
	for _, dir := range dirs[4:] {
		warm := p.Start(dir, "parent")
		every(&n.invoked, 0, 1, func() {
			if _, _, err := warm.InvokeOnce(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	stop()
	lost, err := b.Lost()
	require.NoError(t, err)
	t.Logf("%d policy updates, %d times attached and detached, %d times a CPU went and came, %d storms of 20 cgroups, %d invocations (%d reported), lost %+v",
		n.updates.Load(), n.attached.Load(), n.hotplugged.Load(), n.storms.Load(), n.invoked.Load(), len(events()), lost)
	require.EqualValues(t, n.invoked.Load(), len(events()))
}
