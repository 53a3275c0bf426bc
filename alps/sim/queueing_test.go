// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat"
)

// law is a distribution of service times, in ms.
type law struct {
	name         string
	draw         func(*rand.Rand) float64
	mean, square float64 // first and second moment
	density      func(x float64) float64
	distribution func(x float64) float64
}

// Exponential (M), deterministic (D), and hyperexponential (H2) times: nine in
// ten short, one eleven times as long.
var laws = []law{
	{"M", func(r *rand.Rand) float64 { return 100 * r.ExpFloat64() }, 100, 20_000,
		func(x float64) float64 { return math.Exp(-x/100) / 100 },
		func(x float64) float64 { return 1 - math.Exp(-x/100) }},
	{"D", func(*rand.Rand) float64 { return 100 }, 100, 10_000, nil, nil},
	{"H2", func(r *rand.Rand) float64 {
		if r.Float64() < 0.9 {
			return 50 * r.ExpFloat64()
		}
		return 550 * r.ExpFloat64()
	}, 100, 0.9*2*50*50 + 0.1*2*550*550,
		func(x float64) float64 { return 0.9*math.Exp(-x/50)/50 + 0.1*math.Exp(-x/550)/550 },
		func(x float64) float64 { return 1 - 0.9*math.Exp(-x/50) - 0.1*math.Exp(-x/550) }},
}

// fifoTime is the mean turnaround under first come, first served: Pollaczek and
// Khinchine on one core, Erlang's C on several with exponential times.
func (l law) fifoTime(cores int, load float64) float64 {
	if cores == 1 {
		return l.mean + load/l.mean*l.square/(2*(1-load))
	}
	return l.mean + erlangC(cores, load)*l.mean/(float64(cores)*(1-load))
}

// psTime is that under processor sharing: of the times only the mean matters,
// and of exponential times the discipline does not.
func (l law) psTime(cores int, load float64) float64 {
	return l.mean + erlangC(cores, load)*l.mean/(float64(cores)*(1-load))
}

// srptTime is Schrage and Miller's, on one core, integrated numerically.
func (l law) srptTime(load float64) float64 {
	if l.density == nil { // nothing is ever shorter than what runs
		return l.fifoTime(1, load)
	}
	const step = 0.25
	arrivals := load / l.mean
	busy, square, residence, total := 0.0, 0.0, 0.0, 0.0
	for x := step / 2; x < 9000; x += step {
		f := l.density(x) * step
		busy += arrivals * x * f
		square += x * x * f
		residence += step / (1 - busy)
		total += f * (arrivals*(square+x*x*(1-l.distribution(x)))/(2*(1-busy)*(1-busy)) + residence)
	}
	return total
}

// erlangC is the probability that an arrival finds all cores busy.
func erlangC(cores int, load float64) float64 {
	offered := load * float64(cores)
	sum, term := 0.0, 1.0
	for i := range cores {
		sum += term
		term *= offered / float64(i+1)
	}
	wait := term / (1 - load)
	return wait / (sum + wait)
}

// meanTimes are the mean turnarounds, ms, of several independent runs.
func (l law) meanTimes(t *testing.T, scheduler string, cores int, load float64) []float64 {
	const runs, n = 12, 4000
	out := make([]float64, runs)
	for seed := range out {
		rng := rand.New(rand.NewPCG(uint64(seed), uint64(cores)))
		at := 0.0
		work := make([]Invocation, n)
		for i := range work {
			at += rng.ExpFloat64() * l.mean / (load * float64(cores))
			work[i] = Invocation{Arrive: time.Duration(at * 1e6), CPU: max(time.Duration(l.draw(rng)*1e6), 1)}
		}
		// CFS shares the finer the shorter a tick; then it is processor sharing.
		c := Config{Cores: cores, Functions: functions(1), Seed: uint64(seed), Tick: 750 * time.Microsecond}
		s := Spec{Name: scheduler}
		require.NoError(t, check(c, &s, work))
		m, err := start(c, s, work)
		require.NoError(t, err)
		if f, ok := m.sched.(fifo); ok {
			f.quota = 0 // not throttled
		}
		require.NoError(t, m.run(context.Background()))
		var demand time.Duration
		for i, o := range m.result().Outcomes {
			demand += work[i].CPU
			out[seed] += float64(o.End-o.Arrive) / 1e6 / n
		}
		require.Equal(t, demand, m.result().Busy, "CPU time is conserved")
	}
	return out
}

// The machine is a queue of which the theory is known: means agree within three
// standard errors.
func TestQueueingTheory(t *testing.T) {
	for _, l := range laws {
		for _, cores := range []int{1, 4} {
			if cores > 1 && l.name != "M" {
				continue // no closed form
			}
			for _, load := range []float64{0.5, 0.8} {
				for scheduler, want := range map[string]float64{
					"fifo": l.fifoTime(cores, load), "cfs": l.psTime(cores, load), "srpt-global": l.srptTime(load),
				} {
					t.Run(fmt.Sprintf("M/%s/%d %s %g", l.name, cores, scheduler, load), func(t *testing.T) {
						mean, sd := stat.MeanStdDev(l.meanTimes(t, scheduler, cores, load), nil)
						se := sd / math.Sqrt(12)
						require.Less(t, se/mean, 0.12, "else this says little")
						if scheduler == "srpt-global" && cores > 1 {
							// No closed form: between one core that is as fast as all,
							// and first come, first served.
							require.Greater(t, mean, want/float64(cores))
							require.Less(t, mean, l.fifoTime(cores, load))
							return
						}
						require.InDelta(t, want, mean, 3*se, "in theory %.1f ms, simulated %.1f", want, mean)
					})
				}
			}
		}
	}
}
