// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/alps/sim/setup"
)

func TestRunSaysAllThatIsWrong(t *testing.T) {
	ok := Config{Cores: 2, Functions: functions(1)}
	one := []Invocation{{CPU: ms}}
	for says, f := range map[string]func(*Config, *Spec, *[]Invocation){
		"cores: 0 is outside [1, 4096]":                             func(c *Config, _ *Spec, _ *[]Invocation) { c.Cores = 0 },
		"refill: -1ns is outside [0s, 24h]":                         func(c *Config, _ *Spec, _ *[]Invocation) { c.Refill = -1 },
		"tick: 1ns is below 1µs":                                    func(c *Config, _ *Spec, _ *[]Invocation) { c.Tick = 1 },
		`scheduler "bfs" is none of ` + strings.Join(Names(), ", "): func(_ *Config, s *Spec, _ *[]Invocation) { s.Name = "bfs" },
		`order "best" is none of off, fifo, strict, bounded`:        func(_ *Config, s *Spec, _ *[]Invocation) { s.Order = "best" },
		"gaps: -1 is outside (0, 1e6]":                              func(_ *Config, s *Spec, _ *[]Invocation) { s.Gaps = -1 },
		"step: 1h0m0s is outside [1µs, 30m0s]":                      func(_ *Config, s *Spec, _ *[]Invocation) { s.Step = time.Hour },
		"policy: alpha: -1 is outside (0, 1000]":                    func(_ *Config, s *Spec, _ *[]Invocation) { s.Params = policy.Paper(); s.Params.Alpha = -1 },
		"invocation 0: function 1 is none of 1":                     func(_ *Config, _ *Spec, i *[]Invocation) { *i = []Invocation{{Function: 1, CPU: ms}} },
		"invocation 0: CPU time 0s is outside (0s, 24h]":            func(_ *Config, _ *Spec, i *[]Invocation) { *i = []Invocation{{}} },
		"invocation 1: arrives at 1ms, the one before at 2ms: they m": func(_ *Config, _ *Spec, i *[]Invocation) {
			*i = []Invocation{{Arrive: 2 * ms, CPU: 1}, {Arrive: ms, CPU: 1}}
		},
	} {
		c, s, i := ok, Spec{Name: "alps"}, one
		f(&c, &s, &i)
		_, err := Run(t.Context(), c, s, i)
		require.ErrorContains(t, err, says)
	}
	_, err := Run(t.Context(), Config{}, Spec{Name: "x"}, nil)
	require.ErrorContains(t, err, "cores: 0")
	require.ErrorContains(t, err, `scheduler "x"`)
	r, err := Run(t.Context(), ok, Spec{Name: "cfs"}, nil)
	require.NoError(t, err)
	require.Equal(t, Result{Outcomes: []Outcome{}}, r)
}

func TestOverloadIsGivenUp(t *testing.T) {
	var invocations []Invocation
	for i := range 1000 {
		invocations = append(invocations, Invocation{Arrive: time.Duration(i) * ms, CPU: 20 * ms})
	}
	for _, name := range Names() {
		c := Config{Cores: 2, Functions: functions(1), Drain: time.Second}
		r, err := Run(t.Context(), c, Spec{Name: name}, invocations)
		require.NoError(t, err)
		require.Greater(t, r.Unfinished, 700, name)
		done := 0
		for _, o := range r.Outcomes {
			if o.Done {
				done++
			} else {
				require.Less(t, o.End, time.Duration(0))
			}
		}
		require.Equal(t, 1000-r.Unfinished, done)
		require.LessOrEqual(t, r.Span, 2*time.Second)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c, invocations := randomLoad(1)
	_, err := Run(ctx, c, Spec{Name: "cfs"}, invocations)
	require.ErrorIs(t, err, context.Canceled)
}

// The platform's process delays that of the invocation and uses the cores.
func TestPlatform(t *testing.T) {
	c := Config{Cores: 1, Functions: functions(1), Platform: Platform{CPU: 10 * ms, Delay: 3 * ms, Jitter: 4 * ms}}
	var invocations []Invocation
	for i := range 50 {
		invocations = append(invocations, Invocation{Arrive: time.Duration(i) * 100 * ms, CPU: 20 * ms})
	}
	r := simulate(t, c, Spec{Name: "cfs"}, invocations)
	var least, most time.Duration = time.Hour, 0
	for _, o := range r.Outcomes {
		require.Equal(t, 20*ms, o.End-o.Arrive, "its turnaround is its own")
		least, most = min(least, o.Arrive-o.Send), max(most, o.Arrive-o.Send)
	}
	require.GreaterOrEqual(t, least, 13*ms)
	require.LessOrEqual(t, most, 17*ms)
	require.Greater(t, most-least, 2*ms)
	require.Equal(t, 50*30*ms, r.Busy)
}

// With whom the platform's process competes: with the functions' parent, with the
// functions, or with its function's own invocation.
func TestPlatformCompetesWhereItIs(t *testing.T) {
	for cgroup, among := range map[string]float64{"": 2, setup.PlatformApart: 2, setup.PlatformBeside: 3, setup.PlatformFunction: 4} {
		c := Config{Cores: 1, Functions: functions(2), Platform: Platform{CPU: 200 * ms, Cgroup: cgroup}}
		const begun = 10 * time.Second
		work := []Invocation{{Function: 0, CPU: 20 * time.Second}, {Function: 1, CPU: 20 * time.Second}, {Function: 0, Arrive: begun, CPU: ms}}
		waited := simulate(t, c, Spec{Name: "cfs"}, work).Outcomes[2].Arrive - begun
		require.InDelta(t, among*float64(200*ms), float64(waited), float64(30*ms), "cgroup %q", cgroup)
	}
}

// ALPS does what it is for: functions that are short get done sooner than
// under CFS, and hardly anybody is switched.
func TestALPSAgainstCFS(t *testing.T) {
	c, invocations := mix(3000, 4, 0.95)
	short := func(r Result) time.Duration {
		var sum, n time.Duration
		for i, o := range r.Outcomes {
			if invocations[i].CPU < 80*ms {
				sum += o.End - o.Arrive
				n++
			}
		}
		return sum / n
	}
	cfs := simulate(t, c, Spec{Name: "cfs"}, invocations)
	p := policy.Paper()
	p.RankBy, p.SliceCap = policy.BySlice, 100*ms
	alps := simulate(t, c, Spec{Name: "alps", Order: model.OrderBounded, Params: p}, invocations)
	require.Less(t, short(alps), short(cfs)*9/10)
	require.Less(t, alps.Switches, cfs.Switches/2)
	require.Greater(t, alps.Updates, 10)
}

// mix is 70 % of 70 ms, 24 % of 120 ms, 5 % of 330 ms and 1 % of 2.5 s, by ten
// functions, like the Huawei workload.
func mix(n, cores int, load float64) (Config, []Invocation) {
	rng := rand.New(rand.NewPCG(1, 2))
	c := Config{Cores: cores, Functions: functions(10), Seed: 1, Switch: 3500, Refill: 100 * time.Microsecond}
	gap := 0.118 / load / float64(cores)
	at := 0.0
	out := make([]Invocation, n)
	for i := range out {
		f, cpu := rng.IntN(6), 70*ms
		switch x := rng.IntN(100); {
		case x < 1:
			f, cpu = 9, 2500*ms
		case x < 6:
			f, cpu = 8, 330*ms
		case x < 30:
			f, cpu = 6+rng.IntN(2), 120*ms
		}
		cpu = time.Duration(float64(cpu) * (0.95 + 0.1*rng.Float64()))
		out[i] = Invocation{Function: f, Arrive: time.Duration(at * 1e9), CPU: cpu}
		at += gap * (0.8 + 0.4*rng.Float64())
	}
	return c, out
}

// Any input either is refused or keeps the invariants.
func FuzzRun(f *testing.F) {
	f.Add(uint64(1), uint8(0), uint8(4), int64(1e6), int64(3e6), []byte{1, 2, 3, 200, 5})
	f.Fuzz(func(t *testing.T, seed uint64, scheduler, cores uint8, refill, platform int64, load []byte) {
		c := Config{Cores: int(cores), Functions: functions(3), Seed: seed, Refill: time.Duration(refill), Drain: time.Minute,
			Platform: Platform{CPU: time.Duration(platform), Cgroup: setup.PlatformCgroups[seed%3]}, ShareLag: time.Duration(seed % 1e9)}
		if c.Platform.CPU > time.Second || c.Refill > time.Second || len(load) > 200 {
			return // refused
		}
		var invocations []Invocation
		at := time.Duration(0)
		for _, b := range load {
			at += time.Duration(b%16) * ms
			invocations = append(invocations, Invocation{Function: int(b % 3), Arrive: at, CPU: time.Duration(b)*ms/2 + 1})
		}
		s := Spec{Name: Names()[int(scheduler)%len(Names())], Order: model.Orders()[seed%4]}
		if check(c, &s, invocations) != nil {
			return // refused
		}
		r, w := simulateFor(t, c, s, invocations)
		require.LessOrEqual(t, r.Busy, time.Duration(w.m.now)*time.Duration(c.Cores))
	})
}
