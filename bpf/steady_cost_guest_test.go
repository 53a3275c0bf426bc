// SPDX-License-Identifier: Apache-2.0

package bpf_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/internal/cgrouptest"
	"github.com/ds2-lab/alps/internal/measured"
	"github.com/ds2-lab/alps/internal/pagetest"
)

// hookCost is what the hooks cost while f runs, per context switch: ns, and calls.
func hookCost(t *testing.T, b *bpf.Backend, f func()) (ns, calls float64) {
	programs, err := b.Measure(func() error { f(); return nil })
	require.NoError(t, err)
	var switches uint64
	for _, p := range programs {
		if p.Name == "observer: switch" {
			switches = p.Calls
		}
	}
	require.NotZero(t, switches)
	for _, p := range programs {
		if p.Hook {
			t.Logf("  %s: %d calls of %s, %d bytes", p.Name, p.Calls, p.Mean(), p.JITed)
			ns += float64(p.Runtime) / float64(switches)
			calls += float64(p.Calls) / float64(switches)
		}
	}
	return ns, calls
}

// How many times as long as one by rank a decision of steady may take.
const mostWithOneCPU, mostWithSeveral = 3.5, 2.5

// docs/kernel.md says the same.
func TestPageOnTheKernelSaysWhatSteadyMayCost(t *testing.T) {
	pagetest.Says(t, "docs/kernel.md", fmt.Sprintf("The test asserts at most %g and %g times per decision.", mostWithOneCPU, mostWithSeveral))
}

// What the answers of steady cost beside those of ranks, under a load of many
// functions with invocations that begin and end.
func TestGuestSteadyCost(t *testing.T) {
	b := load(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	require.NoError(t, b.AttachObserver())
	require.NoError(t, b.AttachHooks())
	const functions = 8
	ranked, steadily := map[string]bpf.Entry{}, map[string]bpf.Entry{}
	var parents []cgrouptest.Process
	rules := policy.DefaultSteady()
	for i := range functions {
		dir := p.Group(fmt.Sprint("f", i))
		ranked[dir] = bpf.Entry{BiasUS: uint32(i+1) * 1_000_000, SliceUS: 50_000}
		steadily[dir] = steady(t, rules, 70*time.Millisecond, time.Duration(i)*20*time.Millisecond)
		parents = append(parents, p.Start(dir, "parent"))
	}
	load := func() {
		var wg sync.WaitGroup
		for _, warm := range parents {
			wg.Go(func() {
				for range 5 {
					if _, _, err := warm.InvokeOnce(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
	}
	rule(t, b, ranked)
	load()
	ranks, rankCalls := hookCost(t, b, load)
	rule(t, b, steadily)
	load()
	tables, tableCalls := hookCost(t, b, load)
	require.NoError(t, b.SetPolicy(nil))
	waiting, err := b.NeverRan()
	require.NoError(t, err)
	require.Zero(t, waiting, "each of the invocations has run")
	for policy, c := range map[string]struct{ ns, calls float64 }{"rank": {ranks, rankCalls}, "steady": {tables, tableCalls}} {
		measured.Print(t, "hooks/"+policy+"/decision", c.ns/c.calls, "ns")
		measured.Print(t, "hooks/"+policy+"/switch", c.ns, "ns")
		measured.Print(t, "hooks/"+policy+"/decisions-per-switch", c.calls, "decisions")
	}
	ratio := tables / tableCalls / (ranks / rankCalls)
	t.Logf("hooks with %d functions: steady takes %.2f times as long as ranks per context switch, and %.2f times per decision", functions, tables/ranks, ratio)
	most := mostWithOneCPU
	if runtime.NumCPU() > 1 {
		most = mostWithSeveral
	}
	require.Less(t, ratio, most)
}

// The answers that the hooks remember are those that the rules give: each is compared,
// while invocations of many kinds begin, sleep, move and end.
func TestGuestSteadyRemembers(t *testing.T) {
	b := load(t, bpf.CheckingMemos())
	p := cgrouptest.NewParent(t)
	require.NoError(t, b.AttachObserver())
	require.NoError(t, b.AttachHooks())
	t.Setenv("ALPS_CPU", "-1")
	rules := policy.DefaultSteady()
	rules.GuardWait, rules.GuardEvery = 100*time.Millisecond, 50*time.Millisecond
	rules.Octave = 10 * time.Millisecond // nobody waits for long
	entries := map[string]bpf.Entry{}
	group := func(name string, cpu ...time.Duration) string {
		dir := p.Group(name)
		entries[dir] = steady(t, rules, cpu...)
		return dir
	}
	const ms = time.Millisecond
	calls, mixed, pair := group("calls", 40*ms, 55*ms, 70*ms), group("mixed", 60*ms, 20*time.Second), group("pair", 10*ms, time.Second)
	group("nested", 300*ms)
	rule(t, b, entries)
	p.Hog(pair)
	p.Hog(pair)
	p.Hog(p.Group("nested/inner"))
	require.True(t, p.Start(mixed, "forked hog").Scan())
	p.Start(mixed, "short") // sleeps and wakes
	caller, family := p.Start(calls, "parent"), p.Start(calls, "family")
	for range 6 {
		caller.Invoke(t, 1)
		rule(t, b, entries) // another generation
	}
	_, _ = family.Used(t)
	require.NoError(t, b.SetPolicy(nil))
	remembered, wrong, err := b.MemoChecks()
	require.NoError(t, err)
	t.Logf("%d answers remembered, %d wrong", remembered, wrong)
	require.Greater(t, remembered, uint64(200))
	require.Zero(t, wrong)
}
