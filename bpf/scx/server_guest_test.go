// SPDX-License-Identifier: Apache-2.0

package scx_test

import (
	"io"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/bpf/scx"
	"github.com/ds2-lab/alps/internal/cgrouptest"
	"github.com/ds2-lab/alps/internal/clock"
)

// When an invocation is a server, in TestGuestScx: sooner than by default.
const (
	serverAge    = 10 * time.Second
	serverSleeps = 30
)

// A server that the first process of a cgroup has started is an invocation until it has
// lived and slept enough; from then on each busy period has an account of its own, and
// its children are invocations. An invocation that sleeps less keeps its account,
// also while functions come and go.
func serves(t *testing.T, s *scx.Scheduler) {
	const probes, at = 3, 200 * time.Millisecond
	for _, x := range []struct {
		name     string
		start    func(t *testing.T, p cgrouptest.Parent, dir string) (request func(cpu time.Duration))
		requests int
		cpu      time.Duration // of each
		becomes  bool          // a server
		children uint64        // invocations that a server begins per request
	}{
		{"a worker", worker, 80, 25 * time.Millisecond, true, 0},
		{"a process that forks", forking, 80, cgrouptest.ShortCPU, true, 1},
		{"an invocation that sleeps a few times", worker, 10, 200 * time.Millisecond, false, 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			p := cgrouptest.NewParent(t)
			dir, rest, other := p.Group("started"), p.Group("rest"), p.Group("other")
			rules := map[string]scx.Rule{
				dir:  {Steps: []scx.Step{{Index: time.Millisecond, End: time.Millisecond}}}, // what it has used
				rest: always(500*time.Millisecond, 10*time.Second),
			}
			rule(t, s, p.Dir, rules)
			begun := time.Now()
			request := x.start(t, p, dir)
			for range x.requests {
				request(x.cpu)
				time.Sleep(5 * time.Millisecond) // so that it sleeps
			}
			first := time.Now()
			p.Start(rest, "forked hog").Scan()
			// What the other function uses while a request is served, and how many invocations begin. By the guard
			// alone, 25 ms every 500 ms, a request would have to wait for the second time.
			beside := func(when string) (used []time.Duration, begins uint64) {
				before, err := s.Stats()
				require.NoError(t, err)
				for range probes {
					was := cgrouptest.Usage(t, rest)
					request(40 * time.Millisecond)
					used = append(used, cgrouptest.Usage(t, rest)-was)
				}
				after, err := s.Stats()
				require.NoError(t, err)
				t.Logf("%s: the other function uses %s while a request is served; %d invocations begin", when, used, after.Invocations-before.Invocations)
				return used, after.Invocations - before.Invocations
			}
			// An emulated guest is stopped by its host now and then: that makes a wait longer.
			used, begins := beside("young")
			if age := time.Since(begun); age < serverAge {
				require.Greater(t, slices.Max(used), at)
				require.Zero(t, begins)
			} else {
				t.Logf("it is not young any more: %s", age)
			}
			time.Sleep(time.Until(first.Add(serverAge)))
			check := func(when string) {
				used, begins := beside(when)
				if !x.becomes {
					require.Greater(t, slices.Max(used), at)
					require.Zero(t, begins)
					return
				}
				require.Less(t, slices.Min(used), at)
				require.Equal(t, probes*x.children, begins)
			}
			check("old")
			rules[other] = rules[rest]
			rule(t, s, p.Dir, rules)
			check("after another function has come")
		})
	}
}

// worker is a server that serves requests in a child of the cgroup's first process.
func worker(t *testing.T, p cgrouptest.Parent, dir string) func(time.Duration) {
	server := p.Server(dir, 1)
	request := func(cpu time.Duration) cgrouptest.Served {
		server.Send(t, cgrouptest.Request{CPU: cpu / 2})
		return server.Answer(t)
	}
	var last unix.CPUSet
	last.Set(runtime.NumCPU() - 1)
	require.NoError(t, unix.SchedSetaffinity(int(request(0).TID), &last))
	return func(cpu time.Duration) { request(cpu) }
}

// forking is a server that forks for each request, and is no cgroup's first process. All requests use cgrouptest.ShortCPU.
func forking(t *testing.T, p cgrouptest.Parent, dir string) func(time.Duration) {
	server := p.Start(dir, "forked parent")
	return func(time.Duration) { server.Invoke(t, 1) }
}

// besideServer makes a function for a server, worth what its account has used, and one whose
// invocations are always worth index.
func besideServer(t *testing.T, index time.Duration) (p cgrouptest.Parent, server, rest string) {
	s := load(t, scx.Options{})
	p = cgrouptest.NewParent(t)
	server, rest = p.Group("server"), p.Group("rest")
	rule(t, s, p.Dir, map[string]scx.Rule{
		server: {Steps: []scx.Step{{Index: time.Millisecond, End: time.Millisecond}}}, // what it has used
		rest:   always(index, 10*time.Second),
	})
	return p, server, rest
}

// A server that waits for a disk goes on with the account that it has: it waits for others as one that does not.
func TestGuestScxServerWaitsForDisk(t *testing.T) {
	p, dir, rest := besideServer(t, 10*time.Millisecond)
	server := p.Start(dir, "disk")
	p.Start(rest, "forked hog").Scan()
	var used []time.Duration
	for range 3 {
		time.Sleep(200 * time.Millisecond) // so that all of the server sleeps
		was := cgrouptest.Usage(t, rest)
		_, err := io.WriteString(server.Stdin, "?")
		require.NoError(t, err)
		server.Numbers(t, 1)
		used = append(used, cgrouptest.Usage(t, rest)-was)
	}
	t.Logf("while a server uses %s, and waits for a disk each millisecond, the other function uses %s", cgrouptest.DiskCPU, used)
	require.Greater(t, slices.Min(used), 2*cgrouptest.DiskCPU)
}

// A thread of a server that wakes goes first for a moment, also while another thread computes, whose process has
// used more by then than what it competes with is worth.
func TestGuestScxServerThreads(t *testing.T) {
	p, dir, rest := besideServer(t, 10*time.Millisecond)
	server := p.Server(dir, 2)
	cgrouptest.KeepOnLastCPU(t, server.PID)
	server.Send(t, cgrouptest.Request{CPU: time.Hour})
	time.Sleep(500 * time.Millisecond)
	p.Start(rest, "forked hog").Scan()
	var waits []time.Duration
	for range 20 {
		time.Sleep(7 * time.Millisecond)
		asked := clock.Now()
		server.Send(t, cgrouptest.Request{CPU: 100 * time.Microsecond})
		waits = append(waits, server.Answer(t).Begin.Sub(asked))
	}
	slices.Sort(waits)
	t.Logf("while another thread of it computes, a server's thread that wakes waits %s at most, %s in the middle", waits[len(waits)-1], waits[len(waits)/2])
	require.Less(t, waits[len(waits)-1], 50*time.Millisecond, "the end of a slice, or of what the guard grants") // by the process's account it would wait for the guard, every 500 ms
}

// What a server uses that forks its invocations is no invocation's: for what it computes it is worth a new one, however
// much it has used.
func TestGuestScxServerThatForks(t *testing.T) {
	p, dir, rest := besideServer(t, cgrouptest.ParentCPU/2)
	server := p.Start(dir, "computing parent")
	cgrouptest.KeepOnLastCPU(t, server.PID)
	p.Start(rest, "forked hog").Scan()
	was := cgrouptest.Usage(t, rest)
	server.Invoke(t, 1)
	used := cgrouptest.Usage(t, rest) - was
	t.Logf("while a server and its invocation compute for %s, the other function uses %s", cgrouptest.ParentCPU+cgrouptest.ShortCPU, used)
	require.Less(t, used, cgrouptest.ParentCPU/2)
}
