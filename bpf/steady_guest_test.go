// SPDX-License-Identifier: Apache-2.0

package bpf_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/internal/cgrouptest"
)

// steady is the entry of a function whose invocations took so long.
func steady(t *testing.T, p policy.SteadyParams, cpu ...time.Duration) bpf.Entry {
	p.Prior = 0
	s, err := policy.NewSteady(p)
	require.NoError(t, err)
	for range 40 {
		for _, d := range cpu {
			s.Record("f", d)
		}
	}
	s.Update()
	return bpf.Entry{Steady: model.NewSteady(&p, s.Table("f"))}
}

// unguarded are parameters under which nobody goes first for having waited.
func unguarded() policy.SteadyParams {
	p := policy.DefaultSteady()
	p.GuardWait = time.Hour
	return p
}

// turnarounds has n invocations end, one after the other, and returns their mean
// turnaround, from arrival to end, and their mean CPU time.
func turnarounds(t *testing.T, warm cgrouptest.Process, events func() []bpf.Event, group string, n int) (mean, cpu time.Duration) {
	id := idOf(t, group)
	of := func() (mine []bpf.Event) {
		for _, e := range events() {
			if e.Cgroup == id {
				mine = append(mine, e)
			}
		}
		return mine
	}
	from := len(of())
	warm.Invoke(t, n)
	require.Eventually(t, func() bool { return len(of()) >= from+n }, 10*time.Second, 10*time.Millisecond)
	for _, e := range of()[from : from+n] {
		mean += e.End.Sub(e.Arrive) / time.Duration(n)
		cpu += e.CPU / time.Duration(n)
	}
	return mean, cpu
}

// A function whose invocations are short goes before those whose are long, by
// nothing but the tables.
func TestGuestSteadyOrdersByIndex(t *testing.T) {
	b := load(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	long, short := p.Group("long"), p.Group("short")
	p.Hog(long)
	task := p.Start(short, "short")
	task.Turnaround(t, 2)
	cfs := task.Turnaround(t, 5)
	require.NoError(t, b.AttachHooks())
	rules := unguarded()
	rule(t, b, map[string]bpf.Entry{long: steady(t, rules, time.Second), short: steady(t, rules, 60*time.Millisecond)})
	task.Turnaround(t, 1)
	first := task.Turnaround(t, 7)
	rule(t, b, map[string]bpf.Entry{long: steady(t, rules, 20*time.Millisecond), short: steady(t, rules, 5*time.Second)})
	time.Sleep(200 * time.Millisecond)
	share := cgrouptest.Shares(t, []string{long, short}, 2*time.Second)[1] // its waiting does not show in its turnaround
	require.NoError(t, b.SetPolicy(nil))
	t.Logf("task of %s beside a busy function: CFS %s, as the one of the lower index %s, as the one of the higher it has %.3f of the CPU", cgrouptest.ShortCPU, cfs, first, share)
	require.Greater(t, cfs, 17*cgrouptest.ShortCPU/10)
	require.Less(t, first, cgrouptest.ShortCPU+2*rules.GroupSlice)
	require.Less(t, share, 0.02)
}

// What counts is what the invocation has used: of two functions with the same
// table, a new invocation goes first where sizes differ widely, and last where
// they are alike, for then the old one is about to end.
func TestGuestSteadyCountsUsedTime(t *testing.T) {
	b := load(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	old, young := p.Group("old"), p.Group("young")
	require.NoError(t, b.AttachObserver())
	require.NoError(t, b.AttachHooks())
	rule(t, b, map[string]bpf.Entry{old: {}, young: {}})
	events, stop := watch(t, b)
	require.True(t, p.Start(old, "forked hog").Scan())
	warm := p.Start(young, "parent")
	cfs, cpu := turnarounds(t, warm, events, young, 3)
	rules := unguarded()
	wide := steady(t, rules, 80*time.Millisecond, 80*time.Millisecond, 80*time.Millisecond, 20*time.Second)
	rule(t, b, map[string]bpf.Entry{old: wide, young: wide})
	first, _ := turnarounds(t, warm, events, young, 5)
	// The hog has a third of its time to go: more than an octave less than one
	// that begins. Then it outlives all that is known, and is the last.
	require.Eventually(t, func() bool { return cgrouptest.Usage(t, old) > 2*time.Second }, time.Minute, 50*time.Millisecond)
	used := cgrouptest.Usage(t, old)
	alike := steady(t, rules, used*3/2)
	rule(t, b, map[string]bpf.Entry{old: alike, young: alike})
	begun := time.Now() // the warm process waits, too, before there is an invocation
	warm.Invoke(t, 1)
	last := time.Since(begun)
	stop()
	t.Logf("invocation of %s beside an endless one: CFS %s, sizes differ %s, sizes are alike %s", cpu, cfs, first, last)
	require.Greater(t, cfs, cpu*17/10)
	require.Less(t, first, cpu*13/10+2*rules.GroupSlice)
	require.Greater(t, last, used*3/10)
}

// The bound of docs/kernel.md: who comes last in the order waits for as long as
// the guard lets it, and then gets a slice of the guard's.
func TestGuestSteadyGuardIsBounded(t *testing.T) {
	b := load(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	const tick = 4 * time.Millisecond
	rules := policy.DefaultSteady()
	rules.GuardWait, rules.GuardEvery, rules.GuardSlice = 300*time.Millisecond, 200*time.Millisecond, 40*time.Millisecond
	entries := map[string]bpf.Entry{}
	var dirs []string
	for _, name := range []string{"first0", "first1"} {
		dir := p.Group(name)
		p.Hog(dir)
		dirs = append(dirs, dir)
		entries[dir] = steady(t, rules, 10*time.Millisecond)
	}
	dir := p.Group("last")
	last := p.Start(dir, "gaps")
	require.True(t, last.Scan())
	dirs = append(dirs, dir)
	entries[dir] = steady(t, rules, 20*time.Second)
	require.NoError(t, b.AttachHooks())
	last.Longest(t)
	rule(t, b, entries)
	time.Sleep(time.Second)
	last.Longest(t)
	shares := cgrouptest.Shares(t, dirs, 5*time.Second)
	require.NoError(t, b.SetPolicy(nil))
	longest := last.Longest(t)
	bound := rules.GuardWait + rules.GuardEvery + 2*tick
	want := float64(rules.GuardSlice) / float64(rules.GuardSlice+rules.GuardWait)
	t.Logf("the last waited %s at most; bound %s; shares %.3f, %.3f of the last expected", longest.Round(time.Millisecond), bound, shares, want)
	require.Less(t, longest, bound)
	require.Greater(t, longest, rules.GuardWait*9/10, "the order has no effect")
	require.InDelta(t, want, shares[2], 0.04)
}

// The bound of docs/kernel.md for a function that is not the last, and whom the guard
// therefore never sees: its bias, a slice of each sibling, and what the guard gives the last.
func TestGuestSteadyStarvationIsBounded(t *testing.T) {
	b := load(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	const tick = 4 * time.Millisecond
	rules := policy.DefaultSteady()
	rules.Octave = 60 * time.Millisecond
	rules.GuardWait, rules.GuardEvery, rules.GuardSlice = 300*time.Millisecond, 200*time.Millisecond, 40*time.Millisecond
	const first, middle, last = 10 * time.Millisecond, time.Second, 20 * time.Second // indices
	entries := map[string]bpf.Entry{}
	for name, index := range map[string]time.Duration{"first0": first, "first1": first, "last": last} {
		dir := p.Group(name)
		p.Hog(dir)
		entries[dir] = steady(t, rules, index)
	}
	dir := p.Group("middle")
	waits := p.Start(dir, "gaps")
	require.True(t, waits.Scan())
	entries[dir] = steady(t, rules, middle)
	require.NoError(t, b.AttachHooks())
	waits.Longest(t)
	rule(t, b, entries)
	time.Sleep(time.Second)
	waits.Longest(t)
	time.Sleep(5 * time.Second)
	require.NoError(t, b.SetPolicy(nil))
	longest := waits.Longest(t)
	biases := rules.Bias(middle) - rules.Bias(first)
	guards := (biases + rules.GuardEvery - 1) / rules.GuardEvery
	bound := biases + 3*(rules.GroupSlice+tick) + guards*(rules.GuardSlice+tick)
	t.Logf("one that is not the last waited %s at most; its bias is %s more than the first's; bound %s", longest.Round(time.Millisecond), biases, bound)
	require.Less(t, longest, allowed(bound))
	require.Greater(t, longest, biases*9/10, "the order has no effect")
}

// Everything that a daemon does to a policy, while functions come and go and all
// of them are busy: in the end the order is that of the last policy.
func TestGuestSteadyIsSwitchedUnderLoad(t *testing.T) {
	b := load(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	first, last, warm := p.Group("first"), p.Group("last"), p.Group("warm")
	require.NoError(t, b.AttachObserver())
	require.NoError(t, b.AttachHooks())
	rule(t, b, map[string]bpf.Entry{first: {}, last: {}, warm: {}})
	p.Hog(first)
	p.Hog(last)
	parent := p.Start(warm, "parent")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20 {
			if _, _, err := parent.InvokeOnce(); err != nil {
				t.Error(err)
			}
		}
	}()
	rules := policy.DefaultSteady()
	steadily := map[string]bpf.Entry{first: steady(t, rules, 20*time.Millisecond), last: steady(t, rules, 20*time.Second), warm: steady(t, rules, 60*time.Millisecond)}
	ranked := map[string]bpf.Entry{first: {BiasUS: 1e9, SliceUS: 50_000}, last: {BiasUS: 1, SliceUS: 50_000}, warm: {BiasUS: 1}}
	sfs := bpf.Entry{BiasUS: 1, SliceUS: 20_000, LateBiasUS: 1e8}
	for i := 0; ; i++ {
		select {
		case <-done:
		case <-time.After(30 * time.Millisecond):
			switch i % 6 {
			case 0, 3:
				rule(t, b, steadily)
			case 1:
				rule(t, b, ranked)
			case 2:
				rule(t, b, map[string]bpf.Entry{first: sfs, last: sfs, warm: sfs})
			case 4: // one vanishes under its invocations
				rule(t, b, map[string]bpf.Entry{first: steadily[first], last: steadily[last]})
			case 5:
				require.NoError(t, b.SetHooksEnabled(i%12 == 5))
			}
			continue
		}
		break
	}
	require.NoError(t, b.SetHooksEnabled(true))
	rule(t, b, steadily)
	time.Sleep(100 * time.Millisecond)
	share := cgrouptest.Shares(t, []string{first, last}, time.Second)[0]
	require.NoError(t, b.SetPolicy(nil))
	time.Sleep(100 * time.Millisecond)
	fair := cgrouptest.Shares(t, []string{first, last}, time.Second)[0]
	require.NoError(t, os.WriteFile("/proc/sys/kernel/sched_alps", []byte("0"), 0))
	t.Logf("share of the first %.3f; without a policy %.3f", share, fair)
	require.Greater(t, share, 0.9)
	require.InDelta(t, 0.5, fair, 0.05)
}
