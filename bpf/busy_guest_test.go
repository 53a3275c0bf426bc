// SPDX-License-Identifier: Apache-2.0

package bpf_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/internal/cgrouptest"
	"github.com/ds2-lab/alps/internal/clock"
)

// serves makes the cgroup at dir a function with invocations of this source.
func serves(t *testing.T, b *bpf.Backend, dir string, s bpf.Source) {
	require.NoError(t, b.SetFunctions([]bpf.Function{{ID: idOf(t, dir), UID: "f", Cgroup: dir, Source: s}}))
}

// during are the events that overlap [from, to].
func during(events []bpf.Event, from, to clock.KTime) (in []bpf.Event) {
	for _, e := range events {
		if e.Arrive <= to && e.End >= from {
			in = append(in, e)
		}
	}
	return in
}

// One request after another in a process that lives on: one invocation each,
// with its CPU time, also if the request pauses for less than DefaultIdle.
func TestGuestBusyPeriodsAreRequests(t *testing.T) {
	b := loadObserver(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	dir := p.Group("function")
	server := p.Server(dir, 1) // there before anybody observes
	require.NoError(t, b.AttachObserver())
	serves(t, b, dir, bpf.SourceBusy)
	events, stop := watchAll(t, b)
	const n = 50
	var served []cgrouptest.Served
	var sent []clock.KTime
	for i := range n {
		time.Sleep(10 * time.Millisecond)
		sent = append(sent, clock.Now())
		server.Send(t, cgrouptest.Request{CPU: time.Duration(2+i%5) * time.Millisecond, Pause: time.Duration(i%2) * 200 * time.Microsecond})
		served = append(served, server.Answer(t))
	}
	stop()
	matched := 0
	for i, s := range served {
		in := during(events(), sent[i], s.End)
		if len(in) != 1 {
			t.Logf("request %d, %s of CPU: %d invocations", i, s.CPU, len(in))
			continue
		}
		e := in[0]
		require.True(t, e.Busy)
		require.Equal(t, s.TID, e.PID)
		require.Equal(t, idOf(t, dir), e.Cgroup)
		require.True(t, e.Arrive <= e.Start && e.Start <= s.Begin && e.Start < e.End, "%+v, served %+v", e, s)
		if diff := (e.CPU - s.CPU).Abs(); diff > s.CPU/20 && diff > 200*time.Microsecond {
			t.Logf("request %d: %s of CPU, the invocation %s", i, s.CPU, e.CPU)
			continue
		}
		matched++
	}
	t.Logf("%d of %d requests are one invocation each, of %d; nothing else: %d", matched, n, len(events()), len(events())-n)
	require.GreaterOrEqual(t, matched, n*95/100)
	lost, err := b.Lost()
	require.NoError(t, err)
	require.Zero(t, lost)
}

// A pause by the freezer wakes every thread twice. That is no request; the next
// one is.
func TestGuestFreezerIsNoRequest(t *testing.T) {
	b := loadObserver(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	dir := p.Group("function")
	server := p.Server(dir, 1)
	require.NoError(t, b.AttachObserver())
	serves(t, b, dir, bpf.SourceBusy)
	events, stop := watchAll(t, b)
	time.Sleep(2 * drainWait)
	freeze := func(how string) {
		require.NoError(t, os.WriteFile(dir+"/cgroup.freeze", []byte(how), 0o644))
		time.Sleep(50 * time.Millisecond)
	}
	before := len(events())
	const n = 5
	for range n {
		freeze("1")
		freeze("0")
		server.Send(t, cgrouptest.Request{CPU: 2 * time.Millisecond})
		server.Answer(t)
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	var cpu []time.Duration
	for _, e := range events()[before:] {
		cpu = append(cpu, e.CPU)
	}
	t.Logf("%d requests after pauses: %s", n, cpu)
	require.Len(t, cpu, n)
	lost, err := b.Lost()
	require.NoError(t, err)
	require.Zero(t, lost)
}

// Requests at the same time: one period of the cgroup, or one of each thread.
func TestGuestBusyPeriodsOfThreads(t *testing.T) {
	for _, source := range []bpf.Source{bpf.SourceBusy, bpf.SourceThreads} {
		t.Run(source.String(), func(t *testing.T) {
			b := loadObserver(t, bpf.Options{})
			p := cgrouptest.NewParent(t)
			dir := p.Group("function")
			require.NoError(t, b.AttachObserver())
			serves(t, b, dir, source)
			server := p.Server(dir, 2) // forked into the cgroup: its threads are seen from their begin
			events, stop := watchAll(t, b)
			time.Sleep(50 * time.Millisecond)
			sent, before := clock.Now(), cgrouptest.Usage(t, dir)
			server.Send(t, cgrouptest.Request{CPU: 20 * time.Millisecond})
			server.Send(t, cgrouptest.Request{CPU: 20 * time.Millisecond})
			served := []cgrouptest.Served{server.Answer(t), server.Answer(t)}
			time.Sleep(50 * time.Millisecond)
			used := cgrouptest.Usage(t, dir) - before
			stop()
			require.NotEqual(t, served[0].TID, served[1].TID)
			var long []time.Duration
			var total time.Duration
			for _, e := range events() {
				if e.Arrive < sent {
					continue
				}
				total += e.CPU
				if e.CPU > 30*time.Millisecond { // Go's own threads wake, too
					long = append(long, e.CPU)
				}
			}
			t.Logf("two requests of %s and %s: invocations of %s; %s in all, the cgroup %s", served[0].CPU, served[1].CPU, long, total, used)
			require.InEpsilon(t, float64(used), float64(total), 0.05)
			if source == bpf.SourceBusy {
				require.Len(t, long, 1)
				require.Greater(t, long[0], served[0].CPU+served[1].CPU)
				return
			}
			require.Len(t, long, 2)
			for _, cpu := range long {
				require.InEpsilon(t, float64(served[0].CPU), float64(cpu), 0.05)
			}
		})
	}
}

// A function's source can change at any time; where none is busy, nothing is
// called when threads wake.
func TestGuestSourceChanges(t *testing.T) {
	for _, observed := range []bool{false, true} {
		t.Run(fmt.Sprintf("server forked while observed: %v", observed), func(t *testing.T) { changeSources(t, observed) })
	}
}

// changeSources asks a server under one source after the other. If observed,
// what serves has been an invocation itself before: forked under SourceProcess.
func changeSources(t *testing.T, observed bool) {
	b := loadObserver(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	dir := p.Group("function")
	if observed {
		require.NoError(t, b.AttachObserver())
		serves(t, b, dir, bpf.SourceProcess)
	}
	server, parent := p.Server(dir, 1), p.Start(dir, "parent")
	require.NoError(t, b.AttachObserver())
	events, stop := watchAll(t, b)
	wakeups := func(f func()) (n uint64) {
		programs, err := b.Measure(func() error { f(); return nil })
		require.NoError(t, err)
		for _, p := range programs {
			if p.Name == "observer: wakeup" {
				n = p.Calls
			}
		}
		return n
	}
	var served cgrouptest.Served
	ask := func() {
		server.Send(t, cgrouptest.Request{CPU: 3 * time.Millisecond})
		served = server.Answer(t)
		time.Sleep(3 * drainWait)
	}
	for i, source := range []bpf.Source{bpf.SourceProcess, bpf.SourceBusy, bpf.SourceThreads, bpf.SourceProcess, bpf.SourceBusy} {
		serves(t, b, dir, source)
		before, sent := len(events()), clock.Now()
		require.Equal(t, source != bpf.SourceProcess, wakeups(ask) > 0, "%d: %s", i, source)
		own := func() (own int) {
			for _, e := range during(events()[before:], sent, served.End) {
				if e.Busy && e.CPU >= served.CPU {
					own++
				}
			}
			return own
		}
		for wait := 0; source != bpf.SourceProcess && own() == 0 && wait < 20; wait++ {
			time.Sleep(drainWait) // the period goes on for as long as anything else in the function is awake
		}
		require.Equal(t, source != bpf.SourceProcess, own() == 1, "%d: %s: of the request %+v, sent at %d: %+v", i, source, served, sent, events()[before:])
		before = len(events())
		parent.Invoke(t, 1)
		time.Sleep(3 * drainWait)
		forks, err := b.Forks()
		require.NoError(t, err)
		if source != bpf.SourceProcess {
			require.Positive(t, forks[idOf(t, dir)], "%d: %s", i, source)
			continue
		}
		var processes int
		for _, e := range events()[before:] {
			require.False(t, e.Busy)
			if e.Exec != 0 {
				processes++
			}
		}
		require.Equal(t, 1, processes, "%d: %s: %+v", i, source, events()[before:])
	}
	lost, err := b.Lost()
	require.NoError(t, err)
	require.Zero(t, lost)
	require.NoError(t, b.SetFunctions(nil))
	s, err := b.Sweep()
	require.NoError(t, err)
	stop()
	for _, u := range s.Usage {
		if u.Map != bpf.MapEnding {
			require.Zero(t, u.Used, "%+v", u)
		}
	}
}
