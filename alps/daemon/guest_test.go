// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/internal/cgrouptest"
	"github.com/ds2-lab/alps/internal/ring"
)

const (
	guestSocket = "/run/alpstest.sock"
	guestPin    = "/sys/fs/bpf/alpsdaemontest"
)

// TestMain makes this binary also the daemon under test, which can be killed.
func TestMain(m *testing.M) {
	cgrouptest.Main()
	if os.Getenv("ALPS_PLAY") == "auto daemon" {
		playAutoDaemon()
	}
	if os.Getenv("ALPS_PLAY") == "daemon" {
		params := guestParams()
		err := Run(context.Background(), Config{Socket: guestSocket, Pin: guestPin, Docker: "none", Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
			Mode: client.Mode{Policy: client.PolicyManual, Order: model.OrderStrict, Params: &params}})
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// startDaemonProcess starts it and waits until it answers.
func startDaemonProcess(t *testing.T) (*exec.Cmd, *client.Client) {
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), "ALPS_PLAY=daemon")
	c.Stderr = os.Stderr
	require.NoError(t, c.Start())
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	api := client.New(guestSocket)
	require.Eventually(t, func() bool { _, err := api.Status(t.Context()); return err == nil }, time.Minute, 50*time.Millisecond)
	return c, api
}

// The daemon is killed under load. Within its bound scheduling is plain CFS again;
// no invocation is lost; the next daemon takes up where it was.
func TestGuestDaemonIsKilled(t *testing.T) {
	ring.Need(t, ring.Hook, ring.Must(ring.Hook), "runs in the guest of the target test:guest")
	p := cgrouptest.NewParent(t)
	favoured, other, busy := p.Group("favoured"), p.Group("other"), p.Group("busy")
	dirs := []string{favoured, other}
	for _, dir := range dirs {
		p.Hog(dir)
	}
	daemon, api := startDaemonProcess(t)
	// A daemon that lives keeps its kernel side to itself.
	second := exec.Command("/proc/self/exe")
	second.Env = append(os.Environ(), "ALPS_PLAY=daemon")
	out, err := second.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "listening already")

	for _, dir := range []string{favoured, other, busy} {
		require.NoError(t, api.Register(t.Context(), client.Function{UID: dir[strings.LastIndex(dir, "/")+1:], Cgroup: dir}))
	}
	rules := []client.Rule{{UID: "favoured", Rank: 1, Slice: 50 * time.Millisecond}, {UID: "other", Rank: 2, Slice: 50 * time.Millisecond},
		{UID: "busy", Rank: 1, Slice: 50 * time.Millisecond}}
	require.NoError(t, api.SetPolicy(t.Context(), rules))

	// Load that goes on through all of it, and a reader that comes back.
	warm := p.Start(busy, "parent")
	var invoking sync.Mutex // held during an invocation
	var invoked atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	invoke := func() error {
		invoking.Lock()
		defer invoking.Unlock()
		_, _, err := warm.InvokeOnce()
		invoked.Add(1)
		return err
	}
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if !assert.NoError(t, invoke()) {
					return
				}
			}
		}
	})
	seen := map[uint32]bool{}
	var newest uint64
	read := func(until int) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_ = client.New(guestSocket).EventsSince(ctx, newest, func(e client.Event) {
			// Go's runtime forks once to see whether pidfds work.
			if e.Tasks > 1 {
				require.False(t, seen[e.PID], "pid %d is reported twice", e.PID)
				seen[e.PID] = true
			}
			newest = max(newest, e.ReadNS)
			if until > 0 && len(seen) >= until {
				cancel()
			}
		})
	}
	time.Sleep(500 * time.Millisecond)
	share := cgrouptest.Shares(t, dirs, time.Second)[0]
	require.Greater(t, share, 0.9)
	// What a daemon has read and not told dies with it: it has told everything, and is
	// stopped before the invocation begins that goes on when it is killed.
	invoking.Lock()
	read(int(invoked.Load()))
	require.NoError(t, daemon.Process.Signal(syscall.SIGSTOP))
	invoking.Unlock()
	time.Sleep(10 * time.Millisecond)
	require.NoError(t, daemon.Process.Kill())
	killed := time.Now()
	daemon.Wait()
	params := guestParams()
	bound := 2 * params.Every()
	time.Sleep(time.Until(killed.Add(bound + 100*time.Millisecond)))
	fair := cgrouptest.Shares(t, dirs, time.Second)[0]
	atDeath, whileDead := len(seen), invoked.Load()

	daemon, api = startDaemonProcess(t)
	s, err := api.Status(t.Context())
	require.NoError(t, err)
	require.True(t, s.Resumed)
	require.Len(t, s.Functions, 3, "hand-registered functions too")
	require.NoError(t, api.SetPolicy(t.Context(), rules))
	time.Sleep(300 * time.Millisecond)
	again := cgrouptest.Shares(t, dirs, time.Second)[0]
	close(stop)
	wg.Wait()
	read(int(invoked.Load()))
	s, err = api.Status(t.Context())
	require.NoError(t, err)
	t.Logf("share of the favoured function %.3f; %s after the daemon's death %.3f; resumed %.3f; %d invocations (%d until the daemon was back, %d read before its death), lost %+v",
		share, bound+100*time.Millisecond, fair, again, invoked.Load(), whileDead, atDeath, s.Lost)
	require.InDelta(t, 0.5, fair, 0.05)
	require.Greater(t, again, 0.9)
	require.Len(t, seen, int(invoked.Load()), "every invocation is reported, each once")
	require.Zero(t, s.Lost)

	// Left as it was found, once the daemon lets go of its pins.
	require.NoError(t, daemon.Process.Kill())
	daemon.Wait()
	b, err := bpf.Load(bpf.Options{Pin: guestPin})
	require.NoError(t, err)
	require.NoError(t, b.Close())
}

// What keeps the daemon from steering is said while it lasts; a controller that
// is withdrawn is asked for again, and the order is back.
func TestGuestDaemonSaysWhomItDoesNotSteer(t *testing.T) {
	ring.Need(t, ring.Hook, ring.Must(ring.Hook), "runs in the guest of the target test:guest")
	p := cgrouptest.NewParent(t)
	dirs := []string{p.Group("favoured"), p.Group("other")}
	for _, dir := range dirs {
		p.Hog(dir)
	}
	_, api := startDaemonProcess(t)
	var rules []client.Rule
	for i, dir := range dirs {
		uid := dir[strings.LastIndex(dir, "/")+1:]
		require.NoError(t, api.Register(t.Context(), client.Function{UID: uid, Cgroup: dir}))
		rules = append(rules, client.Rule{UID: uid, Rank: i + 1, Slice: 50 * time.Millisecond})
	}
	require.NoError(t, api.SetPolicy(t.Context(), rules))
	status := func() client.Status {
		s, err := api.Status(t.Context())
		require.NoError(t, err)
		return s
	}
	steered := func() bool {
		s := status()
		return s.Functions[0].Steered && s.Functions[1].Steered
	}
	require.True(t, steered(), "%+v", status().Functions)
	require.Empty(t, status().Problems)
	calm := status().Conditions

	for _, c := range []struct {
		what       string
		begin, end func()
	}{
		{client.NoController, func() { require.NoError(t, os.WriteFile(p.Dir+"/cgroup.subtree_control", []byte("-cpu"), 0o644)) }, func() {}},
		{client.HooksOff, func() { require.NoError(t, os.WriteFile("/proc/sys/kernel/sched_alps", []byte("0"), 0o644)) },
			func() { require.NoError(t, os.WriteFile("/proc/sys/kernel/sched_alps", []byte("1"), 0o644)) }},
		{client.OtherInCharge, func() {
			b, err := bpf.Load(bpf.Options{})
			require.NoError(t, err)
			t.Cleanup(func() { b.Close() })
			require.NoError(t, b.AttachHooks())
			require.Eventually(t, func() bool { return !steered() }, 5*time.Second, 20*time.Millisecond)
			require.NoError(t, b.DetachHooks())
		}, func() { require.NoError(t, os.WriteFile("/proc/sys/kernel/sched_alps", []byte("1"), 0o644)) }},
	} {
		c.begin()
		s := status()
		var found bool
		for _, x := range s.Problems {
			found = found || x.What == c.what
		}
		require.True(t, found, "%s: %+v", c.what, s.Problems)
		t.Logf("%s: %+v", c.what, s.Functions[0])
		c.end()
		require.Eventually(t, steered, 10*time.Second, 50*time.Millisecond, c.what)
	}
	time.Sleep(300 * time.Millisecond)
	share := cgrouptest.Shares(t, dirs, time.Second)[0]
	t.Logf("afterwards the favoured one has %.3f", share)
	require.Greater(t, share, 0.9)
	require.Equal(t, calm, status().Conditions)
}

// guestParams have a period of 500 ms, and so a bound of a second.
func guestParams() policy.Params {
	p := policy.Paper()
	p.Period = 500 * time.Millisecond
	return p
}
