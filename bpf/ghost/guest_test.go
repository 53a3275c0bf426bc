// SPDX-License-Identifier: Apache-2.0

package ghost

import (
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/cgrouptest"
	"github.com/ds2-lab/alps/internal/ring"
)

func TestMain(m *testing.M) {
	cgrouptest.Main()
	os.Exit(m.Run())
}

// On every kernel with sched_ext a task that was given away runs for as long as
// it is told to, and not else; then it is the kernel's again.
func TestGuestTaskRunsWhenItIsTold(t *testing.T) {
	ring.Need(t, ring.SchedExt, ring.Must(ring.SchedExt), "runs in the guest of the target test:guest -kernel=7.3, where the kernel has sched_ext")
	runtime.LockOSThread()
	s, err := Load()
	require.NoError(t, err)
	closed := false
	defer func() {
		if !closed {
			s.Close()
		}
	}()
	p := cgrouptest.NewParent(t)
	dir := p.Group("function")
	hog := p.Hog(dir)
	require.NoError(t, Take(hog.PID))
	// next waits for the hog's wish.
	next := func() Message {
		for {
			m, err := s.Next(time.Now().Add(10 * time.Second))
			require.NoError(t, err)
			if m.PID == uint32(hog.PID) && m.What == Runnable {
				return m
			}
		}
	}
	m := next()
	before := cgrouptest.Usage(t, dir)
	time.Sleep(200 * time.Millisecond)
	require.Less(t, cgrouptest.Usage(t, dir)-before, 20*time.Millisecond, "nobody told it to run")

	const times, slice = 10, 20 * time.Millisecond
	for range times {
		instead, err := s.Commit(Decision{Seq: m.Seq, Slice: slice, PID: m.PID, CPU: uint32(runtime.NumCPU() - 1), Preempt: true})
		require.NoError(t, err)
		require.Zero(t, instead)
		m = next()
	}
	used := cgrouptest.Usage(t, dir) - before
	t.Logf("%d time slices of %s: %s", times, slice, used)
	require.InDelta(t, float64(times*slice), float64(used), float64(times*slice)/2) // a slice ends at a tick
	n, err := s.Bypassed()
	require.NoError(t, err)
	require.Zero(t, n)
	_, err = s.Next(time.Now().Add(50 * time.Millisecond))
	require.True(t, errors.Is(err, os.ErrDeadlineExceeded), "%v", err)

	closed = true
	require.NoError(t, s.Close())
	before = cgrouptest.Usage(t, dir)
	require.Eventually(t, func() bool { return cgrouptest.Usage(t, dir)-before > 50*time.Millisecond }, 10*time.Second, 10*time.Millisecond)
}
