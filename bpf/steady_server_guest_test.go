// SPDX-License-Identifier: Apache-2.0

package bpf_test

import (
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/internal/cgrouptest"
	"github.com/ds2-lab/alps/internal/clock"
)

// oneBetween are entries by which an invocation of between is worth more than a long one of
// mixed, and less than a new one of mixed.
func oneBetween(t *testing.T, mixed, between string) map[string]bpf.Entry {
	rules := unguarded()
	return map[string]bpf.Entry{
		mixed:   steady(t, rules, 80*time.Millisecond, 80*time.Millisecond, 80*time.Millisecond, 20*time.Second),
		between: steady(t, rules, 500*time.Millisecond),
	}
}

// One that never ran is seen beside one that has run for long, in one function:
// the function gets the CPU for its sake, and it gets it within the function.
func TestGuestSteadySeesWhoNeverRan(t *testing.T) {
	b := load(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	mixed, between := p.Group("mixed"), p.Group("between")
	require.NoError(t, b.AttachObserver())
	require.NoError(t, b.AttachHooks())
	rules := unguarded()
	rule(t, b, oneBetween(t, mixed, between))
	events, stop := watch(t, b)
	warm := p.Start(mixed, "parent")
	warm.Invoke(t, 1)
	require.True(t, p.Start(mixed, "forked hog").Scan())
	time.Sleep(time.Second) // it is one of the long ones by now
	p.Hog(between)
	// For each, the warm process, which is no invocation, has to get the CPU first.
	mean, cpu := turnarounds(t, warm, events, mixed, 5)
	share := cgrouptest.Shares(t, []string{mixed, between}, time.Second)[0]
	require.NoError(t, b.SetPolicy(nil))
	stop()
	t.Logf("invocation of %s in the function of an endless one, beside another function: %s; after that the function has %.3f of the CPU", cpu, mean, share)
	limit := cpu*2 + 4*rules.GroupSlice // twice for CFS's order within the function
	if runtime.NumCPU() > 1 {
		limit = cpu*4 + 4*rules.GroupSlice // it begins on one CPU and goes on on another, where it waits again
	}
	require.Less(t, mean, limit)
	require.Less(t, share, 0.1, "for the endless one alone the function waits")
}

// An invocation that has run is seen, too, once it has lost the CPU and CFS has chosen an
// endless one of its function, which here it does, for the invocation is nice.
func TestGuestSteadySeesWhoWasPreempted(t *testing.T) {
	for _, x := range []struct {
		name     string
		nice     int  // the server's: a nice one does not take the CPU from who runs, but waits for it
		realTime bool // something outside takes the CPU again and again, so from the invocation while the server waits
	}{
		{"by its server", 0, false},
		{"from outside", 19, true},
	} {
		t.Run(x.name, func(t *testing.T) {
			b := load(t, bpf.Options{})
			p := cgrouptest.NewParent(t)
			mixed, between := p.Group("mixed"), p.Group("between")
			// single starts a process with one thread, so that no other thread of its brings it the CPU.
			single := func(nice int) cgrouptest.Process {
				s := p.Server(mixed, 1)
				tid := int(asked(t, s))
				cgrouptest.KeepOnLastCPU(t, tid)
				require.NoError(t, unix.Setpriority(unix.PRIO_PROCESS, tid, nice))
				return s
			}
			server := single(x.nice) // no invocation: nobody observes yet
			require.NoError(t, b.AttachObserver())
			require.NoError(t, b.AttachHooks())
			rule(t, b, oneBetween(t, mixed, between))
			invocation, endless := single(5), single(0)
			endless.Send(t, cgrouptest.Request{CPU: time.Hour})
			time.Sleep(time.Second) // it is one of the long ones by now
			p.Hog(between)
			if x.realTime {
				takeLastCPU(t)
			}
			const each = 30 * time.Millisecond
			invocation.Send(t, cgrouptest.Request{CPU: each})
			time.Sleep(each / 2)
			asked(t, server)
			time.Sleep(10 * each)
			require.NoError(t, b.SetPolicy(nil)) // or who is not seen would wait for good
			served := invocation.Answer(t)
			took := served.End.Sub(served.Begin)
			t.Logf("an invocation of %s ends %s after it began", 2*each, took)
			require.Less(t, took, 8*each)
		})
	}
}

// asked has a process that plays server with one thread answer a request, and returns which
// thread does.
func asked(t *testing.T, server cgrouptest.Process) uint32 {
	server.Send(t, cgrouptest.Request{CPU: 50 * time.Microsecond})
	return server.Answer(t).TID
}

// takeLastCPU takes the last CPU from whoever has it, for 20 µs every millisecond, until the
// test ends.
func takeLastCPU(t *testing.T) {
	var done sync.WaitGroup
	stop := make(chan struct{})
	done.Go(func() {
		runtime.LockOSThread() // for good: the thread ends with the function
		var last unix.CPUSet
		last.Set(runtime.NumCPU() - 1)
		if err := errors.Join(unix.SchedSetaffinity(0, &last), unix.SchedSetAttr(0, &unix.SchedAttr{
			Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1, Flags: unix.SCHED_FLAG_RESET_ON_FORK,
		}, 0)); err != nil {
			t.Error(err)
		}
		for {
			select {
			case <-stop:
				return
			default:
			}
			pause := unix.NsecToTimespec(int64(time.Millisecond))
			_ = unix.Nanosleep(&pause, nil)
			for begun := clock.Now(); clock.Now().Sub(begun) < 20*time.Microsecond; {
			}
		}
	})
	t.Cleanup(func() {
		close(stop)
		done.Wait()
	})
}

// A function's server that wakes goes before invocations that are worth more than those of its own
// function, and before one of its own that runs, also if it has computed for long before it slept.
func TestGuestSteadyLetsTheServerGoFirst(t *testing.T) {
	b := load(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	const ms = time.Millisecond
	rules := unguarded()
	served, other := p.Group("served"), p.Group("other")
	require.NoError(t, b.AttachObserver())
	require.NoError(t, b.AttachHooks())
	server := p.Server(served, 2)
	cgrouptest.KeepOnLastCPU(t, server.PID)
	// longest is how long the server waits for the CPU at most, once it is asked.
	longest := func() (wait time.Duration) {
		for range 20 {
			time.Sleep(7 * ms)
			asked := clock.Now()
			server.Send(t, cgrouptest.Request{CPU: 100 * time.Microsecond})
			wait = max(wait, server.Answer(t).Begin.Sub(asked))
		}
		return wait
	}
	for _, x := range []struct {
		name    string
		dir     string        // where invocations of ShortCPU follow each other
		of      time.Duration // those of the server's function
		atLeast time.Duration // the server waited so long when it was worth a new invocation
	}{
		{"another function's are worth more", other, 500 * ms, time.Second},
		{"one of its own runs", served, cgrouptest.ShortCPU, cgrouptest.ShortCPU / 2},
	} {
		rule(t, b, map[string]bpf.Entry{served: steady(t, rules, x.of), other: steady(t, rules, cgrouptest.ShortCPU)})
		for range 40 { // what it did before does not count
			server.Send(t, cgrouptest.Request{CPU: 20 * ms})
			server.Answer(t)
		}
		time.Sleep(10 * ms) // until its last thread sleeps, which is in the middle of a burst before
		var callers sync.WaitGroup
		done := make(chan struct{})
		for range 2 { // so that there is always one
			caller := p.Start(x.dir, "parent")
			callers.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					if _, _, err := caller.InvokeOnce(); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		time.Sleep(200 * ms)
		wait := longest()
		close(done)
		callers.Wait()
		t.Logf("%s: the server waits %s at most", x.name, wait)
		require.Less(t, wait, rules.GroupSlice+12*ms, "%s", x.name)
	}
	require.NoError(t, b.SetPolicy(nil))
}
