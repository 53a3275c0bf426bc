// SPDX-License-Identifier: Apache-2.0

package scx_test

import (
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/bpf/scx"
	"github.com/ds2-lab/alps/internal/cgrouptest"
	"github.com/ds2-lab/alps/internal/clock"
	"github.com/ds2-lab/alps/internal/measured"
	"github.com/ds2-lab/alps/internal/ring"
)

// Other tasks and functions divide each CPU by weight, whatever other tasks use on another CPU.
func TestGuestScxWeightsOfEachCPU(t *testing.T) {
	ring.Need(t, ring.SchedExt, runtime.NumCPU() > 1, "needs 2 CPUs")
	s := load(t, scx.Options{})
	p := cgrouptest.NewParent(t)
	write(t, p.Dir, "cpu.weight", "10000") // or the threads of this test and of the guest's services would count while they wait for a CPU
	pool, beside, elsewhere := p.Group("pool"), p.Group("beside"), p.Group("elsewhere")
	write(t, pool, "cpu.weight", "300")
	function := p.Group("pool/function")
	rule(t, s, pool, map[string]scx.Rule{function: always(time.Millisecond, 10*time.Second)})
	p.Hog(beside)
	p.Start(function, "forked hog").Scan()
	t.Setenv("ALPS_CPU", "0")
	p.Hog(elsewhere)
	time.Sleep(time.Second)
	shares := cgrouptest.Shares(t, []string{pool, beside}, 6*time.Second)
	measured.Print(t, "weights/each-cpu/functions", shares[0], "cpu-share") // of weight 300, beside another task of weight 100, and as much on another CPU
	require.InDelta(t, 0.4, shares[1], 0.1)
}

// A service that wakes often for a moment takes no part of a CPU from functions, however much it weighs.
func TestGuestScxWeightsOfServices(t *testing.T) {
	s := load(t, scx.Options{})
	p := cgrouptest.NewParent(t)
	pool, beside, services := p.Group("pool"), p.Group("beside"), p.Group("services")
	write(t, pool, "cpu.weight", "300")
	write(t, services, "cpu.weight", "10000")
	function := p.Group("pool/function")
	rule(t, s, pool, map[string]scx.Rule{function: always(time.Millisecond, 10*time.Second)})
	require.True(t, p.Start(services, "service").Scan())
	p.Hog(beside)
	p.Start(function, "forked hog").Scan()
	time.Sleep(time.Second)
	shares := cgrouptest.Shares(t, []string{pool, beside, services}, 4*time.Second)
	measured.Print(t, "weights/services/functions", shares[0], "cpu-share")
	require.InDelta(t, 0.25, shares[1], 0.06)
}

// The other tasks of a CPU divide it by weight, whatever one uses that has another CPU to itself.
func TestGuestScxOthersOfEachCPU(t *testing.T) {
	ring.Need(t, ring.SchedExt, runtime.NumCPU() > 1, "needs 2 CPUs")
	load(t, scx.Options{})
	p := cgrouptest.NewParent(t)
	light, heavy, elsewhere := p.Group("light"), p.Group("heavy"), p.Group("elsewhere")
	write(t, heavy, "cpu.weight", "300")
	p.Hog(light)
	p.Hog(heavy)
	t.Setenv("ALPS_CPU", "0")
	p.Hog(elsewhere)
	time.Sleep(time.Second)
	shares := cgrouptest.Shares(t, []string{light, heavy}, 4*time.Second)
	t.Logf("beside a task on another CPU, tasks of weights 100 and 300 on one have %.3f of it", shares)
	require.InDelta(t, 0.25, shares[0], 0.06)
}

// Who had a CPU to itself owes nothing to whoever comes: they have their parts from then on.
func TestGuestScxNoMemory(t *testing.T) {
	load(t, scx.Options{})
	p := cgrouptest.NewParent(t)
	first, second := p.Group("first"), p.Group("second")
	p.Hog(first)
	time.Sleep(2 * time.Second)
	p.Hog(second)
	time.Sleep(100 * time.Millisecond)
	shares := cgrouptest.Shares(t, []string{first, second}, time.Second)
	t.Logf("one that had the CPU for 2 s, and one that came: %.3f", shares)
	require.InDelta(t, 0.5, shares[0], 0.06)
}

// A task that wakes, and has had less than the one that runs, takes the CPU from that one: it does
// not wait for the end of its time slice.
func TestGuestScxAnotherThatWakes(t *testing.T) {
	load(t, scx.Options{})
	p := cgrouptest.NewParent(t)
	for cpu := range runtime.NumCPU() {
		t.Setenv("ALPS_CPU", strconv.Itoa(cpu))
		p.Hog(p.Group("hog" + strconv.Itoa(cpu)))
	}
	time.Sleep(time.Second)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const n, pause = 100, 7 * time.Millisecond
	var mean, longest time.Duration
	for range n {
		begun := clock.Now()
		ts := unix.NsecToTimespec(int64(pause))
		require.NoError(t, unix.Nanosleep(&ts, nil))
		late := clock.Now().Sub(begun) - pause
		mean += late / n
		longest = max(longest, late)
	}
	t.Logf("beside hogs on all CPUs a task that wakes waits %s, %s at most", mean, longest)
	require.Less(t, mean, time.Millisecond)
}

// A task that is woken through a pipe takes an idle CPU, and does not wait until the time slice of its waker ends.
func TestGuestScxWakeThroughPipe(t *testing.T) {
	ring.Need(t, ring.SchedExt, runtime.NumCPU() > 1, "needs 2 CPUs")
	s := load(t, scx.Options{})
	p := cgrouptest.NewParent(t)
	dir := p.Group("function")
	rule(t, s, p.Dir, map[string]scx.Rule{dir: {Slice: scx.MaxSlice}})
	waits := p.Start(dir, "forked waker").Turnaround(t, 9)
	t.Logf("beside a waker that goes on for %s a thread waits %s", 2*cgrouptest.ShortCPU, waits)
	require.Less(t, waits, cgrouptest.ShortCPU)
}
