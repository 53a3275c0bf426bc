// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/ds2-lab/alps/internal/clock"
)

// later is as if d had passed since the last sweep.
func later(b *Backend, d time.Duration) {
	for x, since := range b.suspects {
		b.suspects[x] = since.Add(-d)
	}
}

// What processes that are gone have left is removed once they are gone for a while, and
// counted as lost; their invocations do not count as fresh any more.
func TestSweep(t *testing.T) {
	b, _ := backend(t)
	require.NoError(t, b.SetFunctions([]Function{{ID: 1, UID: "one"}}))
	gone := exec.Command("true")
	require.NoError(t, gone.Run())
	dead, alive, now := uint32(gone.Process.Pid), uint32(os.Getpid()), uint64(clock.Now())
	update := func(change func(*alpsFunction)) {
		var f alpsFunction
		require.NoError(t, b.maps.Functions.Lookup(uint64(1), &f))
		change(&f)
		require.NoError(t, b.maps.Functions.Put(uint64(1), f))
	}
	update(func(f *alpsFunction) { f.Fresh, f.Ending = 3, 1 })
	for pid, arrive := range map[uint32]uint64{dead: now, alive: now, uint32(os.Getppid()): now} {
		require.NoError(t, b.maps.Running.Put(pid, alpsEvent{CgroupId: 1, ArriveNs: arrive, Pid: pid, Fresh: 1}))
		require.NoError(t, b.maps.Tasks.Put(pid, alpsTask{ArriveNs: arrive, Root: pid}))
	}
	require.NoError(t, b.maps.Ending.Put(dead, uint64(1)))

	s, err := b.Sweep()
	require.NoError(t, err)
	require.Zero(t, s.Swept, "it may be about to end")
	require.Equal(t, map[CgroupID]int{1: 3}, s.Running)
	require.Contains(t, s.Usage, Usage{MapRunning, 3, 8192})
	require.Contains(t, s.Usage, Usage{MapTasks, 3, 16384})
	require.Contains(t, s.Usage, Usage{MapFunctions, 1, MaxFunctions})
	var at errgroup.Group
	for range 4 {
		at.Go(func() error {
			s, err := b.Sweep()
			if err == nil && s.Swept > 0 {
				err = errors.New("the last sweep was microseconds ago: it may be about to end")
			}
			return err
		})
	}
	require.NoError(t, at.Wait())
	later(b, goneFor)
	s, err = b.Sweep()
	require.NoError(t, err)
	require.Equal(t, 3, s.Swept)
	s, err = b.Sweep()
	require.NoError(t, err)
	require.Contains(t, s.Usage, Usage{MapRunning, 2, 8192})
	require.Contains(t, s.Usage, Usage{MapEnding, 0, 8192})
	var f alpsFunction
	require.NoError(t, b.maps.Functions.Lookup(uint64(1), &f))
	require.EqualValues(t, 2, f.Fresh)
	require.Zero(t, f.Ending)
	lost, err := b.Lost()
	require.NoError(t, err)
	require.Equal(t, Lost{Invocations: 1, Tasks: 1}, lost)
}

// A pid that another process has by now is nobody's invocation.
func TestAReusedPIDIsGone(t *testing.T) {
	ahead := clock.SinceBoot().Sub(clock.Now())
	self := uint32(os.Getpid())
	data, err := os.ReadFile("/proc/self/stat")
	require.NoError(t, err)
	began, ok := startTime(string(data))
	require.True(t, ok)
	require.Less(t, time.Duration(uint64(clock.Now()))+ahead-began, time.Hour, "this process is young")
	before, after := uint64(began-ahead-5*time.Second), uint64(began-ahead+time.Second)
	require.True(t, isGone(stale{before, self, sweepRunning}, ahead))
	require.False(t, isGone(stale{after, self, sweepRunning}, ahead))
	require.False(t, isGone(stale{before, self, sweepTasks}, ahead), "a thread may be younger than its invocation")
	require.True(t, isGone(stale{after, math.MaxInt32, sweepTasks}, ahead))

	began, ok = startTime("7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 1 2")
	require.True(t, ok)
	require.Equal(t, 42420*time.Millisecond, began)
	_, ok = startTime("7 (a")
	require.False(t, ok)
}

// Whoever must end yields to nobody, and nobody's slice keeps the CPU from it.
func TestWhoMustEndYieldsToNobody(t *testing.T) {
	b, hooks := backend(t)
	require.NoError(t, b.SetFunctions([]Function{{ID: 1}, {ID: 2}}))
	require.NoError(t, b.SetPolicy(map[CgroupID]Entry{1: {BiasUS: 50, SliceUS: 700}, 2: {BiasUS: 1, SliceUS: 900}}))
	answers := func() []int32 {
		var all []int32
		for _, id := range []CgroupID{1, 2} {
			all = append(all, int32(ask(t, hooks.Bias, id)), int32(ask(t, hooks.Slice, id)))
		}
		return all
	}
	calm := []int32{50, 700, 1, 900}
	require.Equal(t, calm, answers())
	ending := func(n int64, until uint64, epoch uint64) {
		var f alpsFunction
		require.NoError(t, b.maps.Functions.Lookup(uint64(1), &f))
		f.Ending, f.EndingUntil = n, until
		require.NoError(t, b.maps.Functions.Put(uint64(1), f))
		b.control.ending.Store(n)
		b.control.endingUntil.Store(until)
		b.control.epoch.Store(epoch)
	}
	now := uint64(clock.Now())
	ending(1, now+uint64(time.Hour), 1)
	require.Equal(t, []int32{0, 700, 2, -1}, answers(), "and the other's bias is another one than before")
	ending(2, now+uint64(time.Hour), 2)
	require.Equal(t, []int32{0, 700, 3, -1}, answers(), "and if two must end between two questions")
	ending(2, now, 2)
	require.Equal(t, []int32{52, 700, 3, 900}, answers(), "not for ever; all biases are as much more")
	ending(0, now+uint64(time.Hour), 3)
	require.Equal(t, []int32{53, 700, 4, 900}, answers(), "they are gone")
	require.NoError(t, b.SetPolicy(map[CgroupID]Entry{1: {BiasUS: math.MaxInt32, SliceUS: 700}, 2: {BiasUS: 1, SliceUS: 900}}))
	ending(0, 0, 1023)
	require.Equal(t, int32(math.MaxInt32-1), answers()[0], "the greatest bias does not overflow")
}

// A process that lives on and sleeps again and again is a server's rather than an invocation.
func TestIsWorker(t *testing.T) {
	now := clock.KTime(1e15)
	ago := func(d time.Duration) uint64 { return uint64(now.Add(-d)) }
	require.True(t, isWorker(alpsEvent{ArriveNs: ago(WorkerAge), SwitchesVol: WorkerSleeps}, now))
	require.False(t, isWorker(alpsEvent{ArriveNs: ago(WorkerAge - 1), SwitchesVol: 1000}, now))
	require.False(t, isWorker(alpsEvent{ArriveNs: ago(time.Hour), SwitchesVol: WorkerSleeps - 1}, now), "it computes")
	require.False(t, isWorker(alpsEvent{ArriveNs: ago(time.Hour), SwitchesVol: 1000, Busy: 1}, now))
}
