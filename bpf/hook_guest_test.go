// SPDX-License-Identifier: Apache-2.0

package bpf_test

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/internal/cgrouptest"
)

func TestGuestHooksSteer(t *testing.T) {
	b := load(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	var hogs []string
	policy := map[string]bpf.Entry{}
	for i := range 3 {
		dir := p.Group("hog" + strconv.Itoa(i))
		p.Hog(dir)
		hogs = append(hogs, dir)
		policy[dir] = bpf.Entry{BiasUS: 2_000_000, SliceUS: 60_000}
	}
	dir := p.Group("short")
	short := p.Start(dir, "short")
	policy[dir] = bpf.Entry{BiasUS: 1_000, SliceUS: 200_000}

	short.Turnaround(t, 2) // start-up
	cfs := short.Turnaround(t, 7)
	require.NoError(t, b.AttachHooks())
	attachedEmpty := short.Turnaround(t, 7)
	rule(t, b, policy)
	short.Turnaround(t, 1)
	ranked := short.Turnaround(t, 15)
	require.NoError(t, b.SetPolicy(nil))
	short.Turnaround(t, 1)
	back := short.Turnaround(t, 7)
	fair := cgrouptest.Shares(t, hogs, 2*time.Second)
	t.Logf("short task of %s: CFS %s, attached without entries %s, preferred %s, entries gone %s; hogs' shares then %.2f",
		cgrouptest.ShortCPU, cfs, attachedEmpty, ranked, back, fair)

	// Four busy groups share one CPU; a preferred one waits for at most a slice.
	require.Greater(t, cfs, 5*cgrouptest.ShortCPU/2)
	require.Greater(t, attachedEmpty, 5*cgrouptest.ShortCPU/2)
	// A running hog may finish its 60 ms, and where nothing disturbs their common
	// rhythm the short task comes at the beginning of one every time.
	require.Less(t, ranked, cgrouptest.ShortCPU+80*time.Millisecond)
	require.Less(t, ranked, cfs*8/10)
	require.Greater(t, back, 5*cgrouptest.ShortCPU/2)
	for _, s := range fair {
		require.InDelta(t, 1.0/3, s, 0.05)
	}
}

// Whatever ends an order, nobody is paid back for it: 100 ms later both have
// their fair share again, in every window.
func TestGuestNoMemory(t *testing.T) {
	b := load(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	dirs := []string{p.Group("a"), p.Group("b")}
	for _, dir := range dirs {
		p.Hog(dir)
	}
	const worst = 1_000_000_000
	policy := func(first, second uint32) {
		rule(t, b, map[string]bpf.Entry{dirs[0]: {BiasUS: first, SliceUS: 50_000}, dirs[1]: {BiasUS: second, SliceUS: 50_000}})
	}
	share := func(d time.Duration) float64 { return cgrouptest.Shares(t, dirs, d)[0] }
	const settle, window = 100 * time.Millisecond, 300 * time.Millisecond
	for _, end := range []struct {
		what string
		do   func() error
	}{
		{"policy emptied", func() error { return b.SetPolicy(nil) }},
		{"daemon silent", func() error { return b.KeepAlive(time.Nanosecond) }},
		{"switched off in the kernel", func() error { return os.WriteFile("/proc/sys/kernel/sched_alps", []byte("0"), 0) }},
		{"detached", func() error { return b.Close() }},
	} {
		require.NoError(t, b.AttachHooks())
		require.NoError(t, b.KeepAlive(time.Hour))
		policy(1, worst)
		time.Sleep(settle)
		first := share(window)
		policy(worst, 1)
		time.Sleep(settle)
		swapped := share(window)
		policy(1, worst)
		time.Sleep(settle)
		again := share(window)
		require.NoError(t, end.do())
		time.Sleep(settle)
		fair := []float64{share(window), share(window)}
		t.Logf("share of a: first %.3f, swapped %.3f, swapped back %.3f; %s: %.3f", first, swapped, again, end.what, fair)
		// The waiting group's runtime threads, which are not pinned, use a little.
		require.Greater(t, first, 0.9)
		require.Less(t, swapped, 0.1)
		require.Greater(t, again, 0.9)
		for _, s := range fair {
			require.InDelta(t, 0.5, s, 0.05, end.what)
		}
	}
}

// There is no budget that runs out: a favoured function is favoured for as long
// as it is busy. ALPS_SUSTAIN lengthens it.
func TestGuestFavoursForGood(t *testing.T) {
	b := load(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	dirs := []string{p.Group("a"), p.Group("b"), p.Group("c")}
	for _, dir := range dirs {
		p.Hog(dir)
	}
	require.NoError(t, b.AttachHooks())
	rule(t, b, map[string]bpf.Entry{dirs[0]: {BiasUS: 1, SliceUS: 50_000}, dirs[1]: {BiasUS: 1e9, SliceUS: 50_000}, dirs[2]: {BiasUS: 1e9, SliceUS: 50_000}})
	time.Sleep(100 * time.Millisecond)
	sustain := 5 * time.Second
	if d, err := time.ParseDuration(os.Getenv("ALPS_SUSTAIN")); err == nil {
		sustain = d
	}
	var all []float64
	for range 5 {
		all = append(all, cgrouptest.Shares(t, dirs, sustain/5)[0])
	}
	t.Logf("share of the favoured one over %s: %.3f", sustain, all)
	for _, s := range all {
		require.Greater(t, s, 0.9)
	}
}

// Equals take turns: who is interrupted before the first tick keeps its time slice.
func TestGuestEqualsTakeTurns(t *testing.T) {
	b := load(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	policy := map[string]bpf.Entry{}
	var dirs []string
	for i := range 3 {
		dir := p.Group("f" + strconv.Itoa(i))
		p.Hog(dir)
		dirs = append(dirs, dir)
		policy[dir] = bpf.Entry{BiasUS: 100_000, SliceUS: 20_000}
	}
	require.NoError(t, b.AttachHooks())
	rule(t, b, policy)
	time.Sleep(200 * time.Millisecond)
	shares := cgrouptest.Shares(t, dirs, 1200*time.Millisecond)
	t.Logf("shares of three of one rank: %.3f", shares)
	for _, s := range shares {
		require.InDelta(t, 1.0/3, s, 0.05)
	}
}

// The last in the order waits for the difference of the biases, and for those
// that were queued before it was over: one slice each, a tick late.
func TestGuestStarvationIsBounded(t *testing.T) {
	b := load(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	const (
		step  = 100 * time.Millisecond
		slice = 20 * time.Millisecond
		tick  = 4 * time.Millisecond
		ranks = 5
	)
	policy := map[string]bpf.Entry{}
	var dirs []string
	for i := range 2 {
		dir := p.Group("first" + strconv.Itoa(i))
		p.Hog(dir)
		dirs = append(dirs, dir)
		policy[dir] = bpf.Entry{BiasUS: uint32(step.Microseconds()), SliceUS: uint32(slice.Microseconds())}
	}
	dir := p.Group("last")
	last := p.Start(dir, "gaps")
	require.True(t, last.Scan())
	policy[dir] = bpf.Entry{BiasUS: uint32(ranks * step.Microseconds()), SliceUS: uint32(slice.Microseconds())}
	require.NoError(t, b.AttachHooks())
	last.Longest(t)
	rule(t, b, policy)
	used := cgrouptest.Shares(t, append(dirs, dir), 5*time.Second)
	require.NoError(t, b.SetPolicy(nil)) // it answers sooner then
	longest := last.Longest(t)
	bound := (ranks-1)*step + 2*(slice+tick)
	t.Logf("the last of %d ranks, step %s, waited %s at most; bound %s; shares %.3f", ranks, step, longest.Round(time.Millisecond), bound, used)
	require.Less(t, longest, allowed(bound))
	require.Greater(t, longest, (ranks-1)*step*9/10, "the order has no effect")
}

// Functions that never give way do not keep the system from its work, which
// competes with their parent, not with them.
func TestGuestSystemStaysReachable(t *testing.T) {
	b := load(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	policy := map[string]bpf.Entry{}
	for i := range 4 {
		dir := p.Group("f" + strconv.Itoa(i))
		p.Hog(dir)
		policy[dir] = bpf.Entry{BiasUS: 1, SliceUS: 10_000_000}
	}
	// A busy daemon beside them.
	system := cgrouptest.NewParent(t)
	system.Hog(system.Dir)
	require.NoError(t, b.AttachHooks())
	rule(t, b, policy)
	time.Sleep(500 * time.Millisecond)
	var worst time.Duration
	for range 3 {
		begun := time.Now()
		conn, err := net.Dial("tcp", "127.0.0.1:22")
		require.NoError(t, err)
		_, _, _, err = ssh.NewClientConn(conn, "", &ssh.ClientConfig{User: "nobody", HostKeyCallback: ssh.InsecureIgnoreHostKey()})
		require.ErrorContains(t, err, "unable to authenticate", "sshd answered as far as it can")
		worst = max(worst, time.Since(begun))
		conn.Close()
	}
	t.Logf("sshd: from connection to refused log-in in %s at most", worst.Round(time.Millisecond))
	require.Less(t, worst, time.Second)
}

// interrupt wakes up some two hundred times a second, outside of the functions,
// as a daemon does that shares the CPU with them.
func interrupt(t *testing.T) {
	tick := time.NewTicker(5 * time.Millisecond)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	})
	t.Cleanup(func() { tick.Stop(); close(done); wg.Wait() })
}

// waitedOutTimeSlices holds for one of two who waited while the other kept the CPU for
// his slice. CFS may choose him twice, while he is behind by less than a tick.
func waitedOutTimeSlices(t *testing.T, waited, slice time.Duration) {
	require.Greater(t, waited, slice*95/100)
	require.Less(t, waited, 2*(slice+12*time.Millisecond)) // ticks late, and interrupted
}

// Within a function, the nearest ancestor with an entry, there is no order, but
// its slice holds in nested cgroups too, whatever interrupts them.
func TestGuestNested(t *testing.T) {
	b := load(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	f, other := p.Group("f"), p.Group("other")
	p.Hog(p.Group("f/inner0"))
	inner := p.Start(p.Group("f/inner1"), "gaps")
	require.True(t, inner.Scan())
	p.Hog(other)
	interrupt(t)
	require.NoError(t, b.AttachHooks())
	time.Sleep(200 * time.Millisecond)
	inner.Longest(t)
	time.Sleep(time.Second)
	cfs := inner.Longest(t)
	rule(t, b, map[string]bpf.Entry{f: {BiasUS: 1, SliceUS: 100_000}, other: {BiasUS: 1e9, SliceUS: 1000}})
	time.Sleep(200 * time.Millisecond)
	inner.Longest(t)
	share := cgrouptest.Shares(t, []string{f, other}, time.Second)[0]
	ranked := inner.Longest(t)
	require.NoError(t, b.SetPolicy(nil))
	t.Logf("share of the function with nested cgroups %.3f; one of two processes in them waited %s at most under CFS, %s with slices of 100 ms", share, cfs, ranked)
	require.Less(t, cfs, 70*time.Millisecond)
	require.Greater(t, share, 0.9)
	waitedOutTimeSlices(t, ranked, 100*time.Millisecond)
}

// Slices without an order: CFS chooses, and whom it has chosen keeps the CPU for
// his slice, whatever interrupts him; over several slices all have the same.
func TestGuestSlicesWithoutOrder(t *testing.T) {
	b := load(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	hog, gaps := p.Group("hog"), p.Group("gaps")
	p.Hog(hog)
	waits := p.Start(gaps, "gaps")
	require.True(t, waits.Scan())
	interrupt(t)
	require.NoError(t, b.AttachHooks())
	rule(t, b, map[string]bpf.Entry{hog: {SliceUS: 80_000}, gaps: {SliceUS: 80_000}})
	time.Sleep(200 * time.Millisecond)
	waits.Longest(t)
	share := cgrouptest.Shares(t, []string{hog, gaps}, 3*time.Second)[0]
	longest := waits.Longest(t)
	require.NoError(t, b.SetPolicy(nil))
	time.Sleep(200 * time.Millisecond)
	waits.Longest(t)
	time.Sleep(time.Second)
	after := waits.Longest(t)
	t.Logf("two equals with slices of 80 ms: share %.3f, one waited %s at most; without a policy %s", share, longest, after)
	require.InDelta(t, 0.5, share, 0.05)
	waitedOutTimeSlices(t, longest, 80*time.Millisecond)
	require.Less(t, after, 40*time.Millisecond)
}

// Nobody but root loads or switches.
func TestGuestOnlyRoot(t *testing.T) {
	load(t, bpf.Options{}) // skips elsewhere
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), "ALPS_PLAY=load")
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := c.CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, "load BPF: root is needed\n", string(out))
	st, err := os.Stat("/proc/sys/kernel/sched_alps")
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o644), st.Mode().Perm())
}

// A removed cgroup leaves nothing behind that another could inherit.
func TestGuestRemovedCgroupIsForgotten(t *testing.T) {
	b := load(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	gone, stays := p.Group("gone"), p.Group("stays")
	require.NoError(t, b.AttachObserver())
	rule(t, b, map[string]bpf.Entry{gone: {BiasUS: 1}, stays: {BiasUS: 2}})
	require.NoError(t, os.Remove(gone))
	policy, err := b.Policy()
	require.NoError(t, err)
	require.Equal(t, map[bpf.CgroupID]bpf.Entry{idOf(t, stays): {BiasUS: 2}}, policy)
	functions, err := b.Functions()
	require.NoError(t, err)
	require.Len(t, functions, 1)
}

// SFS: an invocation that has not used its slice goes before those that have.
func TestGuestSFS(t *testing.T) {
	b := load(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	long, short := p.Group("long"), p.Group("short")
	require.NoError(t, b.AttachObserver())
	require.NoError(t, b.AttachHooks())
	rule(t, b, map[string]bpf.Entry{long: {}, short: {}})
	events, stop := watch(t, b)
	require.True(t, p.Start(long, "forked hog").Scan())
	warm := p.Start(short, "parent")
	median := func(n int) time.Duration {
		from := len(events())
		warm.Invoke(t, n)
		require.Eventually(t, func() bool { return len(events()) >= from+n }, 10*time.Second, 10*time.Millisecond)
		var total time.Duration
		for _, e := range events()[from : from+n] {
			total += time.Duration(e.End - e.Start)
		}
		return total / time.Duration(n)
	}
	cfs := median(4)
	e := bpf.Entry{BiasUS: 1, SliceUS: 200_000, LateBiasUS: 1e9}
	rule(t, b, map[string]bpf.Entry{long: e, short: e})
	sfs := median(6)
	e.SliceUS = 5_000 // used up by the short ones as well: all are as under CFS
	rule(t, b, map[string]bpf.Entry{long: e, short: e})
	late := median(4)
	stop()
	t.Logf("invocation of %s beside an endless one: CFS %s, SFS %s, SFS with a slice too small for it %s", cgrouptest.ShortCPU, cfs, sfs, late)
	require.Greater(t, cfs, 17*cgrouptest.ShortCPU/10)
	require.Less(t, sfs, 13*cgrouptest.ShortCPU/10)
	require.Greater(t, late, 15*cgrouptest.ShortCPU/10)
}
