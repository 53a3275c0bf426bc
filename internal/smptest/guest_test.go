// SPDX-License-Identifier: Apache-2.0

package smptest

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/internal/measured"
	"github.com/ds2-lab/alps/internal/pagetest"
	"github.com/ds2-lab/alps/internal/ring"
)

const (
	// envLoop makes of the test binary a process that loops, when told to, on the CPU
	// that the variable names: the tests are about clocks, not about how the kernel
	// balances processes between CPUs.
	envLoop = "ALPS_SMP_LOOP"
	// loopSteps take about 140 ms at one instruction per ns.
	loopSteps = 17_500_000

	// Real-time priorities, because the guest's other processes would be measured too:
	// they wait for processes with such a priority. The loops alternate, and give way to
	// the test that starts them.
	loopPriority = 50
	testPriority = 60

	// What docs/virtual-time.md says of a guest's clocks.
	mostLate  = 100 * time.Microsecond // a timer
	mostApart = 0.01                   // loops on several CPUs from one alone, as a part of that one
)

// docs/virtual-time.md says the same.
func TestPageSaysWhatClocksMayDo(t *testing.T) {
	pagetest.Says(t, "docs/virtual-time.md",
		fmt.Sprintf("a timer | up to %d µs late", mostLate.Microseconds()),
		fmt.Sprintf("N loops on N CPUs against one alone | less than %g %%", 100*mostApart))
}

// realTime gives the calling thread, which must be locked, real-time priority. The
// threads and processes that it starts do not inherit it: Go's runtime has a thread
// that wakes every 20 µs.
func realTime(priority uint32) error {
	return unix.SchedSetAttr(0, &unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Flags: unix.SCHED_FLAG_RESET_ON_FORK, Priority: priority,
	}, 0)
}

func TestMain(m *testing.M) {
	if os.Getenv(envLoop) != "" {
		loop()
		return
	}
	os.Exit(m.Run())
}

func need(t *testing.T) {
	ring.Need(t, ring.SMP, ring.Must(ring.SMP), "made for a guest in virtual time: the target test:guest")
}

func clock(id int32) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		panic(err)
	}
	return time.Duration(ts.Nano())
}

var sink uint64

// loop waits for a line, loops, and prints how long the loop took and how much CPU
// time it used, both in ns.
func loop() {
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	on, err := strconv.Atoi(os.Getenv(envLoop))
	if err != nil {
		panic(err)
	}
	var set unix.CPUSet
	set.Set(on)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		panic(err)
	}
	if err := realTime(loopPriority); err != nil {
		panic(err)
	}
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadString('\n')
	wall, cpu := clock(unix.CLOCK_MONOTONIC), clock(unix.CLOCK_THREAD_CPUTIME_ID)
	x := uint64(1)
	for range loopSteps {
		x = x*6364136223846793005 + 1442695040888963407
	}
	sink = x
	cpu = clock(unix.CLOCK_THREAD_CPUTIME_ID) - cpu
	fmt.Println(int64(clock(unix.CLOCK_MONOTONIC)-wall), int64(cpu))
}

// loops is n processes that loop at the same time.
type loops struct {
	wall, cpu []time.Duration // of each
	whole     time.Duration   // until the last had ended
}

func runLoops(t *testing.T, n int) loops {
	t.Helper()
	type child struct {
		cmd *exec.Cmd
		in  *os.File
		out *bufio.Reader
	}
	children := make([]child, n)
	for i := range children {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		c := exec.Command("/proc/self/exe")
		c.Env = append(os.Environ(), envLoop+"="+strconv.Itoa(i%runtime.NumCPU()), "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1")
		c.Stdin = r
		out, err := c.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, c.Start())
		r.Close()
		children[i] = child{c, w, bufio.NewReader(out)}
		line, err := children[i].out.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "ready\n", line)
	}
	time.Sleep(20 * time.Millisecond)
	begun := clock(unix.CLOCK_MONOTONIC)
	for _, c := range children {
		_, err := c.in.WriteString("go\n")
		require.NoError(t, err)
	}
	var l loops
	for _, c := range children {
		line, err := c.out.ReadString('\n')
		require.NoError(t, err)
		var wall, cpu int64
		_, err = fmt.Sscan(line, &wall, &cpu)
		require.NoError(t, err)
		l.wall, l.cpu = append(l.wall, time.Duration(wall)), append(l.cpu, time.Duration(cpu))
	}
	l.whole = clock(unix.CLOCK_MONOTONIC) - begun
	for _, c := range children {
		require.NoError(t, c.cmd.Wait())
		c.in.Close()
	}
	return l
}

// As many loops as there are CPUs take as long as one; three times as many take
// three times as long, and each the same CPU time.
func TestGuestEqualLoops(t *testing.T) {
	need(t)
	runtime.LockOSThread() // for good: the thread ends with the test
	require.NoError(t, realTime(testPriority))
	n := runtime.NumCPU()
	alone := runLoops(t, 1)
	one := alone.wall[0]
	each := runLoops(t, n)
	t.Logf("%d CPUs: alone %s; as many at once %v", n, one, each.wall)
	for i := range each.wall {
		require.InEpsilon(t, one, each.wall[i], mostApart)
		require.InEpsilon(t, alone.cpu[0], each.cpu[i], mostApart)
	}
	many := runLoops(t, 3*n)
	t.Logf("three times as many: %s, ideally %s", many.whole, 3*one)
	for i := range many.cpu {
		require.InEpsilon(t, alone.cpu[0], many.cpu[i], mostApart)
	}
	require.InEpsilon(t, 3*one, many.whole, 0.03)
}

// sleepUntil sleeps until then by CLOCK_MONOTONIC, also if a signal of Go's runtime interrupts the sleep.
func sleepUntil(t *testing.T, then time.Duration) {
	t.Helper()
	ts := unix.NsecToTimespec(int64(then))
	err := error(unix.EINTR)
	for errors.Is(err, unix.EINTR) {
		err = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil)
	}
	require.NoError(t, err)
}

// A timer is never early, and late by at most 100 µs. The kernel gives timers of real-time threads no slack. But interrupts
// and what is done at their end, such as freeing what ended processes leave, come before such threads, too: one timer in
// some thousands falls on them, and is late by a little more.
func TestGuestTimers(t *testing.T) {
	need(t)
	runtime.LockOSThread() // for good: the thread ends with the test
	require.NoError(t, realTime(testPriority))
	const rarely = time.Millisecond
	var all []time.Duration
	for _, d := range []time.Duration{100 * time.Microsecond, time.Millisecond, 12345 * time.Microsecond} {
		late := make([]time.Duration, 50)
		for i := range late {
			until := clock(unix.CLOCK_MONOTONIC) + d
			sleepUntil(t, until)
			late[i] = clock(unix.CLOCK_MONOTONIC) - until
		}
		slices.Sort(late)
		t.Logf("sleeps of %s: late by %s at least, %s in the middle, the latest three %s", d, late[0], late[len(late)/2], late[len(late)-3:])
		require.GreaterOrEqual(t, late[0], time.Duration(0))
		require.LessOrEqual(t, late[len(late)-3], mostLate)
		require.LessOrEqual(t, late[len(late)-1], rarely)
		all = append(all, late...)
	}
	slices.Sort(all)
	measured.Print(t, "timer/late", float64(all[len(all)/2])/float64(time.Microsecond), "us")
}

// Threads that fight over a lock, meet at a barrier, or change their common
// address space (which interrupts every CPU that uses it) come to an end, and
// nothing is counted twice or lost.
func TestGuestContention(t *testing.T) {
	need(t)
	n := 2 * runtime.NumCPU()
	each := func(what string, f func(i int)) {
		begun := clock(unix.CLOCK_MONOTONIC)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				runtime.LockOSThread()
				f(i)
			})
		}
		wg.Wait()
		t.Logf("%s by %d threads: %s", what, n, clock(unix.CLOCK_MONOTONIC)-begun)
	}
	var mu sync.Mutex
	count := 0
	each("a mutex 1000 times", func(int) {
		for range 1000 {
			mu.Lock()
			count++
			mu.Unlock()
		}
	})
	require.Equal(t, 1000*n, count)

	cond := sync.NewCond(&mu)
	arrived, phase := 0, 0
	each("a barrier 100 times", func(int) {
		for range 100 {
			mu.Lock()
			at := phase
			if arrived++; arrived == n {
				arrived, phase = 0, phase+1
				cond.Broadcast()
			}
			for phase == at {
				cond.Wait()
			}
			mu.Unlock()
		}
	})
	require.Equal(t, 100, phase)

	errs := make([]error, n)
	each("mapping and unmapping 50 times", func(i int) {
		for range 50 {
			m, err := unix.Mmap(-1, 0, 1<<16, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
			if err != nil {
				errs[i] = err
				return
			}
			for at := 0; at < len(m); at += 4096 {
				m[at] = 1
			}
			if err := unix.Munmap(m); err != nil {
				errs[i] = err
			}
		}
	})
	for _, err := range errs {
		require.NoError(t, err)
	}
}

// The kernel found no clock unstable and no CPU stuck.
func TestGuestLogIsClean(t *testing.T) {
	need(t)
	online, err := os.ReadFile("/sys/devices/system/cpu/online")
	require.NoError(t, err)
	want := "0"
	if n := runtime.NumCPU(); n > 1 {
		want += "-" + strconv.Itoa(n-1)
	}
	require.Equal(t, want, strings.TrimSpace(string(online)))
	out, err := exec.Command("sh", "-c", "dmesg | grep -iE 'unstable|soft lockup|rcu.*stall|WARNING|BUG:|time went' || true").CombinedOutput()
	require.NoError(t, err)
	require.Empty(t, string(out))
}
