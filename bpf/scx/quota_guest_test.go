// SPDX-License-Identifier: Apache-2.0

package scx_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/bpf/scx"
	"github.com/ds2-lab/alps/internal/cgrouptest"
	"github.com/ds2-lab/alps/internal/ring"
)

// What a refill gives is for all CPUs that are idle, not for the one that looks after the refill alone:
// of two tasks, each bound to a CPU, both use as much of their cgroup's quota.
func TestGuestScxQuotaWakesCPUs(t *testing.T) {
	ring.Need(t, ring.SchedExt, runtime.NumCPU() > 1, "needs 2 CPUs")
	s := load(t, scx.Options{})
	p := cgrouptest.NewParent(t)
	outer := p.Group("outer")
	dirs := []string{p.Group("outer/first"), p.Group("outer/second")}
	// Long time slices: else each end of one is a look at the queue.
	rule(t, s, outer, map[string]scx.Rule{dirs[0]: {Slice: scx.MaxSlice}, dirs[1]: {Slice: scx.MaxSlice}})
	for cpu, dir := range dirs {
		server := p.Server(dir, 1) // one thread: a second one that wakes up now and then would wake the other CPU
		server.Send(t, cgrouptest.Request{})
		var only unix.CPUSet
		only.Set(cpu)
		require.NoError(t, unix.SchedSetaffinity(int(server.Answer(t).TID), &only))
		server.Send(t, cgrouptest.Request{CPU: time.Hour})
	}
	write(t, outer, "cpu.max", "40000 100000")
	limits(t, s)
	time.Sleep(time.Second)
	begun, before := time.Now(), cgrouptest.Usage(t, outer)
	shares := cgrouptest.Shares(t, dirs, 10*time.Second)
	both := float64(cgrouptest.Usage(t, outer)-before) / float64(time.Since(begun))
	t.Logf("of a quota of 40 %% of a CPU two tasks on two CPUs use %.3f, and divide that by %.3f", both, shares)
	require.InDelta(t, 0.5, shares[0], 0.12)
	require.InDelta(t, 0.4, both, 0.05)
}

// Many tasks of a cgroup with a small quota use no more than it: a refill is no time slice for each of them.
// Each runs before the kernel's watchdog bites, and they do not keep others from what their own refills give.
func TestGuestScxQuotaOfMany(t *testing.T) {
	const (
		rescue   = time.Second
		watchdog = 4 * time.Second
		looks    = 5 * time.Second
	)
	for _, function := range []bool{false, true} {
		t.Run(map[bool]string{false: "others", true: "a function"}[function], func(t *testing.T) {
			s := load(t, scx.Options{Rescue: rescue, Watchdog: watchdog})
			p := cgrouptest.NewParent(t)
			many, one := p.Group("many"), p.Group("one")
			if function {
				rule(t, s, p.Dir, map[string]scx.Rule{many: {Slice: 10 * time.Millisecond}, one: {Slice: 10 * time.Millisecond}})
			}
			p.Hog(one)
			p.Start(many, "hogs").Scan()
			write(t, many, "cpu.max", "1000 100000")
			write(t, one, "cpu.max", "50000 100000")
			limits(t, s)
			t.Cleanup(func() { // to end they need CPU time
				write(t, many, "cpu.max", "max")
				limits(t, s)
			})
			time.Sleep(2 * time.Second)
			before, of := cgrouptest.Usage(t, many), cgrouptest.Usage(t, one)
			time.Sleep(looks)
			used, beside := cgrouptest.Usage(t, many)-before, cgrouptest.Usage(t, one)-of
			st, err := s.Stats()
			require.NoError(t, err)
			t.Logf("in %s a quota of 1 %% gives %d tasks %s, one of 50 %% beside it one task %s; %d tasks wait", looks, cgrouptest.Hogs, used, beside, st.Throttled)
			end, ended := s.Ended()
			require.False(t, ended, "%v", end)
			require.Less(t, used, looks/50)
			require.Greater(t, beside, looks*2/5)
		})
	}
}

// The first limit is kept from its first period on: its first refill comes in time, at whatever
// moment after loading it is set.
func TestGuestScxFirstLimit(t *testing.T) {
	for _, x := range []struct {
		name string
		set  func(t *testing.T, s *scx.Scheduler, dir string)
	}{
		{"told by the kernel", func(t *testing.T, s *scx.Scheduler, dir string) {
			write(t, dir, "cpu.max", "50000 100000")
			limits(t, s) // before 6.17 it does not tell
		}},
		{"told by user space", func(t *testing.T, s *scx.Scheduler, dir string) {
			l := scx.Limit{Quota: 50 * time.Millisecond, Period: 100 * time.Millisecond}
			require.NoError(t, s.SetLimits(map[bpf.CgroupID]scx.Limit{function(t, dir).ID: l}))
		}},
	} {
		for _, after := range []time.Duration{0, 170 * time.Millisecond} {
			t.Run(fmt.Sprintf("%s after %s", x.name, after), func(t *testing.T) {
				s := load(t, scx.Options{})
				p := cgrouptest.NewParent(t)
				dir := p.Group("limited")
				hog := p.Start(dir, "gaps")
				hog.Scan()
				time.Sleep(after)
				hog.Longest(t)
				x.set(t, s, dir)
				time.Sleep(700 * time.Millisecond)
				longest := hog.Longest(t)
				t.Logf("with a quota of 50 ms in 100 ms the longest wait is %s", longest)
				require.Less(t, longest, 100*time.Millisecond)
			})
		}
	}
}
