package alps

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/bpf"
)

// fakeKernel keeps what the daemon tells it.
type fakeKernel struct {
	mu        sync.Mutex
	policy    map[bpf.CgroupID]bpf.Entry
	functions []bpf.CgroupID
	keepAlive time.Duration
	events    chan bpf.Event
}

func (k *fakeKernel) SetPolicy(p map[bpf.CgroupID]bpf.Entry) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.policy = p
	return nil
}

func (k *fakeKernel) Policy() (map[bpf.CgroupID]bpf.Entry, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.policy, nil
}

func (k *fakeKernel) KeepAlive(d time.Duration) error { k.keepAlive = d; return nil }

func (k *fakeKernel) SetFunctions(ids []bpf.CgroupID) error { k.functions = ids; return nil }

func (k *fakeKernel) Lost() (uint64, error) { return 7, nil }

func (k *fakeKernel) Events(ctx context.Context, f func(bpf.Event)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-k.events:
			f(e)
		}
	}
}

func startDaemon(t *testing.T, m client.Mode) (*daemon, *fakeKernel, *client.Client) {
	k := &fakeKernel{events: make(chan bpf.Event)}
	socket := filepath.Join(t.TempDir(), "s")
	d, err := newDaemon(Config{Mode: m, Socket: socket, Docker: "none", CPUs: []int{0}}, k)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.run(ctx) }()
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
func overload(d *daemon, k *fakeKernel) {
	for i, cpu := range []time.Duration{20, 100, 900} {
		id := bpf.CgroupID(i + 1)
		d.setFunctions(func(all map[bpf.CgroupID]client.Function) {
			all[id] = client.Function{UID: string(rune('a' + i)), Name: "f", ID: uint64(id)}
		})
		for j := range 4 {
			now := uint64(d.now())
			k.events <- bpf.Event{Cgroup: id, NSPID: uint32(j), CPU: cpu * time.Millisecond,
				Arrive: bpf.KTime(now - uint64(2*time.Second) + uint64(j)*1e8), End: bpf.KTime(now)}
		}
	}
}

func TestTheShortestFunctionGoesFirst(t *testing.T) {
	d, k, c := startDaemon(t, client.Mode{Policy: "alps", Order: "bounded", Step: "500ms"})
	overload(d, k)
	require.Eventually(t, func() bool { s, err := c.Status(t.Context()); return err == nil && s.Records == 12 }, 10*time.Second, 5*time.Millisecond)
	d.setFunctions(func(all map[bpf.CgroupID]client.Function) { all[9] = client.Function{UID: "new", ID: 9} })
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
	require.EqualValues(t, 7, s.Lost)
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
	overload(d, k)
	for range 12 {
		e := <-got
		require.NotEmpty(t, e.UID)
		require.Greater(t, e.EndNS, e.ArriveNS)
	}
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
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
			require.Equal(t, bpf.Entry{BiasUS: want[i], SliceUS: 5000}, e, order)
		}
	}
	m, err := parseMode(client.Mode{Policy: "alps", Order: "strict"})
	require.NoError(t, err)
	e, err := m.entry(policy.Decision{Rank: 10_000, Slice: time.Hour})
	require.NoError(t, err)
	require.EqualValues(t, 1<<31-1, e.BiasUS, "the hook answers an int")
	require.EqualValues(t, 10_000_000, e.SliceUS)
	_, err = m.entry(policy.Decision{Rank: 0})
	require.Error(t, err)
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

func TestLoadMeter(t *testing.T) {
	stats := []string{
		"cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 100 0 0 100 0 0 0 0 0 0\ncpu1 0 0 0 1000 0 0 0 0 0 0\n",
		"cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 900 0 0 100 0 0 0 0 0 0\ncpu1 50 10 10 1010 20 0 0 0 0 0\n",
	}
	l := &loadMeter{cpus: []int{1}}
	i := -1
	l.read = func() ([]byte, error) { i++; return []byte(stats[i]), nil }
	first, err := l.sample()
	require.NoError(t, err)
	require.Zero(t, first)
	second, err := l.sample()
	require.NoError(t, err)
	require.InDelta(t, 70, second, 1e-9)
	l.read = func() ([]byte, error) { return nil, errors.New("no") }
	_, err = l.sample()
	require.Error(t, err)
}

func TestParseCPUs(t *testing.T) {
	for in, want := range map[string][]int{"": nil, "1": {1}, "1-3,5": {1, 2, 3, 5}} {
		got, err := ParseCPUs(in)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, in := range []string{"x", "3-1", "-1", "1-", "1,,2"} {
		_, err := ParseCPUs(in)
		require.Error(t, err, in)
	}
}
