// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/sim/setup"
)

// withServer is a machine whose platform is a server per function.
func withServer(cores, n int, cpu, lock time.Duration) Config {
	return Config{Cores: cores, Functions: functions(n), Platform: Platform{CPU: cpu, Cgroup: setup.PlatformFunction, Lock: lock}}
}

// Requests of one function need its server's lock one after the other; those of another function have their own.
func TestRequestsHoldTheServersLockOneAfterTheOther(t *testing.T) {
	const cpu, lock = 10 * ms, 2 * ms
	invocations := []Invocation{{Function: 0, CPU: 50 * ms}, {Function: 0, CPU: 50 * ms}, {Function: 0, CPU: 50 * ms}, {Function: 1, CPU: 50 * ms}}
	for _, name := range []string{"cfs", "eevdf", "alps", "sfs", "steady", "fifo"} {
		r := simulate(t, withServer(8, 2, cpu, lock), Spec{Name: name}, invocations)
		for i, want := range []time.Duration{cpu, cpu + lock, cpu + 2*lock, cpu} {
			require.Equal(t, want, r.Outcomes[i].Arrive, "%s, invocation %d", name, i)
			require.Equal(t, want+50*ms, r.Outcomes[i].End, "%s, invocation %d", name, i)
		}
	}
}

// The answer needs the lock, too: who asks then waits for it.
func TestRequestWaitsForAnAnswer(t *testing.T) {
	const cpu, lock = 10 * ms, 2 * ms
	r := simulate(t, withServer(4, 1, cpu, lock), Spec{Name: "cfs"}, []Invocation{{CPU: 5 * ms}, {Arrive: cpu + 5*ms + ms, CPU: ms}})
	require.Equal(t, cpu+5*ms, r.Outcomes[0].End)
	require.Equal(t, cpu+5*ms+lock+cpu, r.Outcomes[1].Arrive)
}

// Who has the lock keeps it while it waits for a CPU, and so do those behind it: where a function keeps the CPU in
// order of arrival requests wait for longer than with a process for each, and fewer invocations exist at a
// time. CFS lets who wakes run soon, and steady lets it go first.
func TestServerIsWokenIntoTheOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var invocations []Invocation
	at := time.Duration(0)
	for range 3000 {
		cpu := 70 * ms
		f := rng.IntN(16)
		if f == 0 {
			cpu = 600 * ms
		}
		f = min(f, 7) // which is called most
		invocations = append(invocations, Invocation{Function: f, Arrive: at, CPU: cpu})
		at += time.Duration(rng.ExpFloat64() * float64(33*ms))
	}
	means := func(s Spec, lock time.Duration) (turnaround, request float64) {
		r := simulate(t, withServer(4, 8, 15*ms, lock), s, invocations)
		for _, o := range r.Outcomes {
			turnaround += float64(o.End-o.Arrive) / float64(ms) / float64(len(r.Outcomes))
			request += float64(o.End-o.Send) / float64(ms) / float64(len(r.Outcomes))
		}
		return turnaround, request
	}
	for _, s := range []Spec{{Name: "alps", Order: model.OrderFIFO}, {Name: "cfs"}, {Name: "steady"}} {
		turnaround, request := means(s, 0)
		locked, asked := means(s, 200*time.Microsecond)
		t.Logf("%s: %.0f ms, from the request %.0f; with a lock %.0f and %.0f", s.Name, turnaround, request, locked, asked)
		if s.Name == "alps" {
			require.Less(t, locked, 0.7*turnaround)
			require.Greater(t, asked, 1.25*request)
			continue
		}
		require.Less(t, asked, 1.2*request, s.Name)
	}
}

func TestLockIsChecked(t *testing.T) {
	one := []Invocation{{CPU: ms}}
	_, err := Run(t.Context(), withServer(1, 1, 10*ms, 6*ms), Spec{Name: "cfs"}, one)
	require.ErrorContains(t, err, "platform lock: 6ms, twice, is more than the platform's CPU time of 10ms")
	c := withServer(1, 1, 10*ms, ms)
	c.Platform.Cgroup = setup.PlatformBeside
	_, err = Run(t.Context(), c, Spec{Name: "cfs"}, one)
	require.ErrorContains(t, err, "allowed beside cgroup function only")
}
