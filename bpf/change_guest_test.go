// SPDX-License-Identifier: Apache-2.0

package bpf_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/internal/cgrouptest"
	"github.com/ds2-lab/alps/internal/measured"
	"github.com/ds2-lab/alps/internal/ring"
)

// A task that changes its nice value, policy or CPUs leaves its queue and enters it again. That
// begins no other time slice: else its function's sibling would never have the CPU.
func TestGuestChangingBeginsNoSlice(t *testing.T) {
	const slice = 20 * time.Millisecond
	for _, x := range []struct {
		name string
		bias time.Duration
	}{
		{"in-order", time.Millisecond},
		{"slices-only", 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			b := load(t, bpf.Options{})
			p := cgrouptest.NewParent(t)
			changes, waits := p.Group("changes"), p.Group("waits")
			require.True(t, p.Start(changes, "fickle").Scan())
			sibling := p.Start(waits, "gaps")
			require.True(t, sibling.Scan())
			require.NoError(t, b.AttachHooks())
			e := bpf.Entry{BiasUS: uint32(x.bias.Microseconds()), SliceUS: uint32(slice.Microseconds())}
			rule(t, b, map[string]bpf.Entry{changes: e, waits: e})
			time.Sleep(200 * time.Millisecond)
			sibling.Longest(t)
			share := cgrouptest.Shares(t, []string{changes, waits}, 2*time.Second)[0]
			require.InDelta(t, 0.5, share, 0.25, "of the CPU for one that changes every millisecond")
			// Before the policy ends: CFS's own slices do begin anew at each change.
			longest := sibling.Longest(t)
			measured.Print(t, "changing/"+x.name+"/share", share, "cpu-share") // of the one that changes every millisecond
			measured.Print(t, "changing/"+x.name+"/wait", float64(longest)/float64(time.Millisecond), "ms")
			require.Less(t, longest, time.Second) // one may have several slices in a row (docs/kernel.md)
		})
	}
}

// A function that waits goes on waiting where its task is moved: the bound holds as if it
// had been queued there.
func TestGuestWaitGoesOn(t *testing.T) {
	cpus := runtime.NumCPU()
	ring.Need(t, ring.SMP, cpus > 2, "needs two CPUs beside that of the test: a guest with 4")
	const (
		step  = 100 * time.Millisecond
		slice = 20 * time.Millisecond
		tick  = 4 * time.Millisecond
		ranks = 5
		every = 50 * time.Millisecond // it is moved: longer than a slice, which it may have to wait for
	)
	b := load(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	policy := map[string]bpf.Entry{}
	entry := func(rank int) bpf.Entry {
		return bpf.Entry{BiasUS: uint32(rank * int(step.Microseconds())), SliceUS: uint32(slice.Microseconds())}
	}
	for _, cpu := range []string{"1", "2"} {
		t.Setenv("ALPS_CPU", cpu)
		dir := p.Group("first" + cpu)
		p.Hog(dir)
		policy[dir] = entry(1)
	}
	dir := p.Group("last")
	last := p.Start(dir, "gaps")
	require.True(t, last.Scan())
	policy[dir] = entry(ranks)
	require.NoError(t, b.AttachHooks())
	last.Longest(t)
	rule(t, b, policy)
	for i := range 40 {
		cgrouptest.KeepOnCPU(t, last.PID, 1+i%2)
		time.Sleep(every)
	}
	require.NoError(t, b.SetPolicy(nil)) // it answers sooner then
	longest := last.Longest(t)
	bound := (ranks-1)*step + 2*(slice+tick) // one slice on the CPU that it leaves, one where it arrives
	t.Logf("the last of %d ranks, moved every %s, waited %s at most; bound %s", ranks, every, longest.Round(time.Millisecond), bound)
	require.Less(t, longest, allowed(bound))
	require.Greater(t, longest, (ranks-1)*step*9/10, "the order has no effect")
}
