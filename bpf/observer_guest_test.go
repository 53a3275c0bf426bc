// SPDX-License-Identifier: Apache-2.0

package bpf_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/internal/cgrouptest"
)

func TestGuestObserver(t *testing.T) {
	b := loadObserver(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	dir := p.Group("function")
	nested := p.Group("function/inside")
	rule(t, b, map[string]bpf.Entry{dir: {}})
	require.NoError(t, b.AttachObserver())
	b.SetFullSlices(true)
	events, stop := watch(t, b)
	p.Hog(p.Group("beside")) // somebody to wait for
	want := p.Start(nested, "parent").Invoke(t, 5)
	require.Eventually(t, func() bool { return len(events()) >= 5 }, 10*time.Second, 10*time.Millisecond)
	stop()
	require.Len(t, events(), 5, "one event per invocation, none for the warm process")
	for _, e := range events() {
		w, ok := want[e.PID]
		require.True(t, ok, "unknown pid %d", e.PID)
		require.Equal(t, idOf(t, dir), e.Cgroup, "the function is the nearest ancestor with an entry")
		require.Equal(t, e.PID, e.NSPID)
		require.InDelta(t, float64(w.CPU), float64(e.CPU), 0.1*float64(w.CPU)+4e6)
		require.True(t, e.Arrive <= e.Start && e.Start <= e.Exec && e.Exec < e.End, "%+v", e)

		life := time.Duration(e.End - e.Arrive)
		require.GreaterOrEqual(t, life, cgrouptest.ShortCPU)
		// Its other threads wait too, so it can be more; a hog is beside it, so it is much.
		require.Greater(t, e.Wait, life-e.CPU-time.Duration(e.Tasks)*5*time.Millisecond)
		require.Greater(t, e.Wait, cgrouptest.ShortCPU/2)

		var count, total uint64
		for i, n := range e.Slices {
			from, to := bpf.SliceRange(i)
			var exact uint32
			for _, us := range e.FullSlices {
				if l := time.Duration(us) * time.Microsecond; l >= from && (l < to || to == 0) {
					exact++
				}
			}
			require.Equal(t, exact, n, "slices from %s to %s", from, to)
			count += uint64(n)
		}
		for _, us := range e.FullSlices {
			total += uint64(us)
		}
		// What ends a slice is a switch, but for the last of each thread.
		require.EqualValues(t, uint64(e.SwitchesVol+e.SwitchesInvol+e.Tasks), count)
		require.InDelta(t, float64(e.CPU.Microseconds()), float64(total), 0.1*float64(e.CPU.Microseconds()))
	}
	lost, err := b.Lost()
	require.NoError(t, err)
	require.Zero(t, lost)
}

// The CPU that goes to what is no invocation and comes back is not lost to one.
func TestGuestOnlyAnotherInvocationEndsAnOnCPUSegment(t *testing.T) {
	b := loadObserver(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	dir, other := p.Group("function"), p.Group("other")
	rule(t, b, map[string]bpf.Entry{dir: {}, other: {}})
	require.NoError(t, b.AttachObserver())
	events, stop := watch(t, b)
	parent := p.Start(dir, "parent")
	const n = 4
	switches := func() (observed, kernel uint32) {
		before := len(events())
		for _, u := range parent.Invoke(t, n) {
			kernel += u.Invol
		}
		require.Eventually(t, func() bool { return len(events()) >= before+n }, 10*time.Second, 10*time.Millisecond)
		for _, e := range events()[before:] {
			require.Equal(t, idOf(t, dir), e.Cgroup)
			observed += e.SwitchesInvol
		}
		return observed, kernel
	}
	p.Hog(p.Group("beside"))
	few, kernel := switches()
	require.Greater(t, kernel, uint32(2*n), "the hog is there")
	require.Less(t, few, kernel/2)
	hog := p.Start(other, "forked hog")
	require.True(t, hog.Scan())
	many, all := switches()
	stop()
	t.Logf("%d invocations of %s: beside a hog that is none %d switches, %d for the kernel; beside one that is another's %d and %d", n, cgrouptest.ShortCPU, few, kernel, many, all)
	require.Greater(t, many, max(2*few, n))
	require.LessOrEqual(t, many, all+2*n) // threads that ended are not in the kernel's
}

func TestGuestThreadsAndChildrenCount(t *testing.T) {
	b := loadObserver(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	dir := p.Group("function")
	rule(t, b, map[string]bpf.Entry{dir: {}})
	require.NoError(t, b.AttachObserver())
	events, stop := watch(t, b)
	pid, used := p.Start(dir, "family").Used(t)
	require.Eventually(t, func() bool { return len(events()) >= 1 }, 10*time.Second, 10*time.Millisecond)
	stop()
	require.Len(t, events(), 1, "a child of an invocation is none")
	e := events()[0]
	t.Logf("a process with a thread and a child of %s each: %s of CPU (rusage %s), %d tasks, %d + %d switches (rusage of process and child %d + %d)",
		cgrouptest.ShortCPU, e.CPU, used.CPU, e.Tasks, e.SwitchesVol, e.SwitchesInvol, used.Vol, used.Invol)
	require.Equal(t, pid, e.PID)
	require.GreaterOrEqual(t, e.CPU, 3*cgrouptest.ShortCPU)
	require.InDelta(t, float64(used.CPU), float64(e.CPU), 0.1*float64(used.CPU)+4e6)
	require.GreaterOrEqual(t, e.Tasks, uint32(3))
	require.InDelta(t, float64(used.Vol), float64(e.SwitchesVol), 0.2*float64(used.Vol)+float64(e.Tasks))
}

// What could not be reported is counted.
func TestGuestLossIsCounted(t *testing.T) {
	b := loadObserver(t, bpf.Options{RingBytes: 4096})
	p := cgrouptest.NewParent(t)
	dir := p.Group("function")
	rule(t, b, map[string]bpf.Entry{dir: {}})
	require.NoError(t, b.AttachObserver())
	const n = 15
	p.Start(dir, "parent").Invoke(t, n) // nobody reads
	lost, err := b.Lost()
	require.NoError(t, err)
	events, stop := watch(t, b)
	stop()
	t.Logf("%d invocations: %d reported, %d lost", n, len(events()), lost.Invocations)
	require.Positive(t, lost.Invocations)
	// One more may be the fork by which Go's runtime sees whether pidfds work.
	require.InDelta(t, n, float64(len(events()))+float64(lost.Invocations), 1)
}

// When there are more threads than can be followed, what is not followed is
// counted, and afterwards every invocation is reported again.
func TestGuestObserverRecoversFromAStorm(t *testing.T) {
	const room = 50
	b := loadObserver(t, bpf.Options{Running: room, Tasks: room})
	p := cgrouptest.NewParent(t)
	dir := p.Group("function")
	rule(t, b, map[string]bpf.Entry{dir: {}})
	require.NoError(t, b.AttachObserver())
	events, stop := watch(t, b)
	warm := p.Start(dir, "parent")
	bomb := p.Start(dir, "forked threads")
	require.True(t, bomb.Scan())
	s, err := b.Sweep()
	require.NoError(t, err)
	require.Contains(t, s.Usage, bpf.Usage{Map: bpf.MapTasks, Used: room, Size: room}, "the storm is none")

	const n = room + 10 // more than what could be left behind
	warm.Invoke(t, n)
	lost, err := b.Lost()
	require.NoError(t, err)
	require.GreaterOrEqual(t, lost.Invocations, uint64(n))
	require.Positive(t, lost.Tasks)
	require.NoError(t, syscall.Kill(bomb.PID, syscall.SIGKILL))
	require.Eventually(t, func() bool {
		s, err := b.Sweep()
		return err == nil && assert.ObjectsAreEqual([]bpf.Usage{{Map: bpf.MapRunning, Size: room}, {Map: bpf.MapTasks, Size: room}}, s.Usage[1:3])
	}, 20*time.Second, 100*time.Millisecond, "something is left behind")

	before := len(events())
	warm.Invoke(t, n)
	require.Eventually(t, func() bool { return len(events()) >= before+n }, 10*time.Second, 10*time.Millisecond)
	stop()
	require.Len(t, events(), before+n)
	after, err := b.Lost()
	require.NoError(t, err)
	require.Equal(t, lost.Invocations, after.Invocations)
	t.Logf("%d invocations while there was no room: lost %+v; afterwards %d of %d reported", n, lost, len(events())-before, n)
}

// A process that dies leaves the observer at work; the next one reads on.
func TestGuestResumes(t *testing.T) {
	const pin = "/sys/fs/bpf/alpstest"
	b := load(t, bpf.Options{Pin: pin})
	require.False(t, b.Resumed)
	p := cgrouptest.NewParent(t)
	dir := p.Group("function")
	rule(t, b, map[string]bpf.Entry{dir: {BiasUS: 3}})
	require.NoError(t, b.AttachObserver())
	require.NoError(t, b.AttachHooks())
	warm := p.Start(dir, "parent")
	warm.Invoke(t, 2)
	b.Abandon()
	warm.Invoke(t, 3)

	b = load(t, bpf.Options{Pin: pin})
	require.True(t, b.Resumed)
	policy, err := b.Policy()
	require.NoError(t, err)
	require.Equal(t, map[bpf.CgroupID]bpf.Entry{idOf(t, dir): {BiasUS: 3}}, policy)
	functions, err := b.Functions()
	require.NoError(t, err)
	require.Equal(t, "function", functions[0].UID)
	require.NoError(t, b.AttachObserver())
	require.NoError(t, b.AttachHooks())
	warm.Invoke(t, 2)
	events, stop := watch(t, b)
	require.Eventually(t, func() bool { return len(events()) >= 7 }, 10*time.Second, 10*time.Millisecond)
	stop()
	require.Len(t, events(), 7, "each once")
	lost, err := b.Lost()
	require.NoError(t, err)
	require.Zero(t, lost)
	require.NoError(t, b.Close())
	require.NoDirExists(t, pin)
}
