// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/bpf"

	"github.com/ds2-lab/alps/internal/clock"
)

func startDaemon(t *testing.T, m client.Mode) (*daemon, *fakeKernel, *client.Client) {
	k := &fakeKernel{events: make(chan bpf.Event), lost: bpf.Lost{Invocations: 7, Orphans: 2}}
	socket := filepath.Join(t.TempDir(), "s")
	d, err := newTestDaemon(t, Config{Mode: m, Socket: socket, Docker: "none", CPUs: []int{0}}, k)
	require.NoError(t, err)
	l, err := listen(socket)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		require.Empty(t, k.policy, "the map is emptied at the end")
		_, err := os.Stat(socket)
		require.ErrorIs(t, err, os.ErrNotExist)
	})
	c := client.New(socket)
	require.Eventually(t, func() bool { _, err := c.Status(t.Context()); return err == nil }, 10*time.Second, 5*time.Millisecond)
	return d, k, c
}

// overload is three functions that all wait: short ones arrive with long ones.
func overload(t *testing.T, d *daemon, k *fakeKernel) {
	for i, cpu := range []time.Duration{20, 100, 900} {
		id := bpf.CgroupID(i + 1)
		add(t, d, client.Function{UID: string(rune('a' + i)), Name: "f", ID: uint64(id)})
		for j := range 4 {
			now := uint64(d.now())
			k.events <- bpf.Event{Cgroup: id, NSPID: uint32(j), CPU: cpu * time.Millisecond,
				Arrive: clock.KTime(now - uint64(2*time.Second) + uint64(j)*1e8), End: clock.KTime(now)}
		}
	}
}

func TestTheShortestFunctionGoesFirst(t *testing.T) {
	d, k, c := startDaemon(t, client.Mode{Policy: "alps", Order: "bounded", Step: "500ms"})
	overload(t, d, k)
	require.Eventually(t, func() bool { s, err := c.Status(t.Context()); return err == nil && s.Records == 12 }, 10*time.Second, 5*time.Millisecond)
	add(t, d, client.Function{UID: "new", ID: 9})
	require.NoError(t, d.update())
	require.Len(t, k.policy, 4)
	require.Equal(t, bpf.Entry{BiasUS: k.policy[2].BiasUS}, k.policy[9], "a new one is in the middle")
	require.Less(t, k.policy[1].BiasUS, k.policy[2].BiasUS)
	require.Less(t, k.policy[2].BiasUS, k.policy[3].BiasUS)
	require.EqualValues(t, 500_000, k.policy[1].BiasUS)
	require.Equal(t, 10*time.Second, k.keepAlive)
	s, err := c.Status(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, s.Generation)
	require.True(t, s.Attached)
	require.Equal(t, client.Lost{Invocations: 7, Orphans: 2}, s.Lost)
	require.Len(t, s.Functions, 4)
	e, err := c.Policy(t.Context())
	require.NoError(t, err)
	require.Equal(t, "a", e[0].UID)

	// Another mode forgets.
	require.NoError(t, c.SetMode(t.Context(), client.Mode{Policy: "cfs"}))
	require.Empty(t, k.policy)
	require.NoError(t, d.update())
	require.Empty(t, k.policy)
}

func TestEventsAreStreamed(t *testing.T) {
	d, k, c := startDaemon(t, client.Mode{Policy: "cfs"})
	ctx, cancel := context.WithCancel(t.Context())
	open := make(chan struct{})
	got := make(chan client.Event, 100)
	done := make(chan error, 1)
	go func() { done <- c.Events(ctx, func() { close(open) }, func(e client.Event) { got <- e }) }()
	<-open
	overload(t, d, k)
	for range 12 {
		e := <-got
		require.NotEmpty(t, e.UID)
		require.Greater(t, e.EndNS, e.ArriveNS)
	}
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)

	// Who comes later can have what it missed.
	ctx, cancel = context.WithCancel(t.Context())
	var late []client.Event
	go func() {
		done <- c.EventsSince(ctx, 1, func(e client.Event) { late = append(late, e); cancelAt(late, 12, cancel) })
	}()
	require.ErrorIs(t, <-done, context.Canceled)
	require.Len(t, late, 12)

	// One that ended before another may be told after it: who has had the other gets it all the same.
	newest := slices.MaxFunc(late, func(a, b client.Event) int { return cmp.Compare(a.ReadNS, b.ReadNS) })
	k.events <- bpf.Event{Cgroup: 1, NSPID: 99, Arrive: clock.KTime(newest.ArriveNS), End: clock.KTime(newest.EndNS - 1)}
	ctx, cancel = context.WithCancel(t.Context())
	late = nil
	go func() {
		done <- c.EventsSince(ctx, newest.ReadNS, func(e client.Event) { late = append(late, e); cancelAt(late, 1, cancel) })
	}()
	require.ErrorIs(t, <-done, context.Canceled)
	require.EqualValues(t, 99, late[0].NSPID)
}

func cancelAt(all []client.Event, n int, cancel func()) {
	if len(all) == n {
		cancel()
	}
}

func TestModesAreChecked(t *testing.T) {
	bad := policy.Paper()
	bad.Alpha = -1
	for _, m := range []client.Mode{
		{Policy: "eevdf"}, {Policy: "alps", Order: "random"}, {Policy: "alps", Step: "0s"}, {Policy: "alps", Step: "1h"},
		{Policy: "alps", Params: &bad},
	} {
		_, err := parseMode(m)
		require.Error(t, err, "%+v", m)
	}
}

func TestBiasFollowsTheOrder(t *testing.T) {
	for order, want := range map[string][2]uint32{
		"off": {0, 0}, "fifo": {1, 1}, "bounded": {3_000_000, 6_000_000}, "strict": {100_000_000, 200_000_000},
	} {
		m, err := parseMode(client.Mode{Policy: "alps", Order: order, Step: "3s"})
		require.NoError(t, err)
		for i, rank := range []int{1, 2} {
			e, err := m.entry(policy.Decision{Rank: rank, Slice: 5 * time.Millisecond})
			require.NoError(t, err)
			require.Equal(t, model.Entry{Bias: time.Duration(want[i]) * time.Microsecond, Slice: 5 * time.Millisecond}, e, order)
		}
	}
	m, err := parseMode(client.Mode{Policy: "alps", Order: "strict"})
	require.NoError(t, err)
	e, err := m.entry(policy.Decision{Rank: 10_000, Slice: 10 * time.Second})
	require.NoError(t, err)
	require.Equal(t, model.Entry{Bias: model.MaxBias, Slice: 10 * time.Second}, e, "the hook answers an int")
}

func TestManualPolicy(t *testing.T) {
	d, k, c := startDaemon(t, client.Mode{Policy: "manual", Order: "bounded", Step: "10ms"})
	add(t, d, client.Function{UID: "a", ID: 1}, client.Function{UID: "b", ID: 2})
	good := []client.Rule{{UID: "a", Rank: 2, Slice: 5 * time.Millisecond}}
	require.NoError(t, c.SetPolicy(t.Context(), good))
	want := map[bpf.CgroupID]bpf.Entry{1: {BiasUS: 20_000, SliceUS: 5000}}
	require.Equal(t, want, k.policy, "b is left to CFS")
	for _, bad := range []struct {
		rule client.Rule
		why  string
	}{
		{client.Rule{UID: "a", Rank: 0}, "function a: rank 0: allowed: 1 to 10000"},
		{client.Rule{UID: "a", Rank: 10_001}, "rank 10001"},
		{client.Rule{UID: "a", Rank: 1, Slice: 11 * time.Second}, "function a: slice 11s: allowed: 0 to 10s"},
		{client.Rule{UID: "a", Rank: 1, Slice: -1}, "slice -1ns"},
		{client.Rule{UID: "z", Rank: 1}, "function z is not known"},
	} {
		require.ErrorContains(t, c.SetPolicy(t.Context(), []client.Rule{{UID: "b", Rank: 1}, bad.rule}), bad.why)
		require.Equal(t, want, k.policy, "a refused policy changes nothing")
	}
	require.NoError(t, d.update())
	require.Equal(t, want, k.policy, "the daemon keeps it up")
	require.NoError(t, c.SetMode(t.Context(), client.Mode{Policy: "alps"}))
	require.ErrorContains(t, c.SetPolicy(t.Context(), good), "the policy is alps's")
}

func TestHooksAreAttachedOnlyWhenNeeded(t *testing.T) {
	_, k, c := startDaemon(t, client.Mode{Policy: "cfs", FullSlices: true})
	require.Zero(t, k.attached)
	require.True(t, k.fullSlices)
	for _, p := range []string{"sfs", "cfs", "alps"} {
		require.NoError(t, c.SetMode(t.Context(), client.Mode{Policy: p}))
		require.Equal(t, 1, k.attached)
		require.Equal(t, p != "cfs", k.asks)
	}
	require.False(t, k.fullSlices)
}

func TestDelegatedPoliciesNeedNoHooks(t *testing.T) {
	k := &fakeKernel{events: make(chan bpf.Event)}
	d, err := newTestDaemon(t, Config{Mode: client.Mode{Policy: "alps"}, Delegated: true, CPUs: []int{0}}, k)
	require.NoError(t, err)
	go func() {
		for e := range k.events {
			d.event(e)
		}
	}()
	overload(t, d, k)
	close(k.events)
	require.Eventually(t, func() bool { return d.status().Records == 12 }, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, d.update())
	require.Len(t, k.policy, 3)
	require.Zero(t, k.attached)
	require.False(t, k.asks)
}

func TestSFSSliceIsTheInterArrivalTime(t *testing.T) {
	d, k, _ := startDaemon(t, client.Mode{Policy: "sfs"})
	require.NoError(t, d.update())
	require.Empty(t, k.policy, "nothing is known yet")
	overload(t, d, k)
	require.Eventually(t, func() bool { d.mu.Lock(); defer d.mu.Unlock(); return len(d.window.Records(d.now())) == 12 }, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, d.update())
	require.Len(t, k.policy, 3)
	e := k.policy[1]
	require.Equal(t, k.policy[3], e)
	// Twelve arrivals within a little more than 300 ms.
	require.InDelta(t, 300_000/11, float64(e.SliceUS), 20_000)
	require.Greater(t, e.LateBiasUS, e.BiasUS)
	records := []policy.Record{{Arrive: 5e9}, {Arrive: 1e9}, {Arrive: 2e9}}
	entry, ok := sfsEntry(records, 3)
	require.True(t, ok)
	require.Equal(t, 6*time.Second, entry.Slice, "mean gap × CPUs")
	_, ok = sfsEntry(records[:1], 3)
	require.False(t, ok)
}

func TestRemovedCgroupsAreForgotten(t *testing.T) {
	d, k, _ := startDaemon(t, client.Mode{Policy: "cfs"})
	add(t, d, client.Function{UID: "a", ID: 1}, client.Function{UID: "b", ID: 2})
	k.functions = k.functions[:1] // the kernel forgot one
	require.NoError(t, d.update())
	require.Len(t, d.functions, 1)
}

func TestLengths(t *testing.T) {
	var e bpf.Event
	e.Slices[0], e.Slices[1], e.Slices[bpf.SliceBuckets-1] = 3, 2, 1
	got, exact := lengths(e)
	require.False(t, exact)
	require.Equal(t, []client.Slices{{LengthUS: 32, Count: 3}, {LengthUS: 72, Count: 2}, {LengthUS: 1 << 24, Count: 1}}, got)
	e.FullSlices = []uint32{70, 10, 70}
	got, exact = lengths(e)
	require.True(t, exact)
	require.Equal(t, []client.Slices{{LengthUS: 10, Count: 1}, {LengthUS: 70, Count: 2}}, got)
}

func TestOneDaemonPerSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := listen(path)
	require.NoError(t, err)
	st, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
	_, err = listen(path)
	require.ErrorContains(t, err, "listening already")
	require.NoError(t, l.Close())
	l, err = listen(path)
	require.NoError(t, err)
	l.Close()
}

// Only a dead daemon's socket makes room for another's: a file, or a socket of
// another form, stays.
func TestOthersSocketsStay(t *testing.T) {
	dir := t.TempDir()
	file, socket := filepath.Join(dir, "file"), filepath.Join(dir, "socket")
	require.NoError(t, os.WriteFile(file, []byte("theirs"), 0o600))
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
	require.NoError(t, os.Chmod(socket, 0o666))
	for _, path := range []string{file, socket} {
		_, err := listen(path)
		require.ErrorContains(t, err, path+" is there and is no daemon's socket: remove it, or give another path")
		_, err = os.Lstat(path)
		require.NoError(t, err)
	}
	require.NoError(t, os.Chmod(socket, 0o600)) // as a daemon leaves it that was killed
	l2, err := listen(socket)
	require.NoError(t, err)
	l2.Close()
}

func TestLoadMeter(t *testing.T) {
	l := &loadMeter{cpus: []int{1}}
	sample := func(stat string) float64 {
		l.read = func() ([]byte, error) { return []byte(stat), nil }
		load, err := l.sample()
		require.NoError(t, err)
		return load
	}
	require.Zero(t, sample("cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 100 0 0 100 0 0 0 0 0 0\ncpu1 0 0 0 1000 0 0 0 0 0 0\n"))
	// Interrupts of a large host are one long line.
	require.InDelta(t, 70, sample("cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 900 0 0 100 0 0 0 0 0 0\ncpu1 50 10 10 1010 20 0 0 0 0 0\nintr"+strings.Repeat(" 0", 50_000)+"\nctxt 1\n"), 1e-9)
	l.read = func() ([]byte, error) { return nil, errors.New("no") }
	_, err := l.sample()
	require.Error(t, err)
	l.read = func() ([]byte, error) { return []byte("cpu1 1 2 3 x 5 6 7 8 0 0\n"), nil }
	_, err = l.sample()
	require.EqualError(t, err, `measure the load of the CPUs: /proc/stat has the line "cpu1 1 2 3 x 5 6 7 8 0 0"`)
}

// A CPU that goes offline or comes back takes what it has counted since the boot with it.
func TestLoadOfCPUsThatComeAndGo(t *testing.T) {
	l := &loadMeter{}
	for _, c := range []struct {
		stat string
		load float64
	}{
		{"cpu0 100 0 0 100 0 0 0 0\ncpu1 5000 0 0 5000 0 0 0 0\n", 0},
		{"cpu0 110 0 0 130 0 0 0 0\n", 25},
		{"cpu0 120 0 0 160 0 0 0 0\ncpu1 5000 0 0 5000 0 0 0 0\n", 25},
		{"cpu0 130 0 0 160 0 0 0 0\ncpu1 5000 0 0 5010 0 0 0 0\n", 50},
		{"cpu0 140 0 0 150 0 0 0 0\ncpu1 5010 0 0 5020 0 0 0 0\n", 100 * 2. / 3}, // an idle counter goes back
	} {
		l.read = func() ([]byte, error) { return []byte(c.stat), nil }
		load, err := l.sample()
		require.NoError(t, err)
		require.InDelta(t, c.load, load, 1e-9, c.stat)
	}
}
