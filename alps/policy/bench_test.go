// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ds2-lab/alps/internal/clock"
)

// mix is n records of fifteen functions, one core's share of the load at 90 %:
// the window of Table 2. They come in order of End, as from a Window.
func mix(n int) []Record {
	rng := rand.New(rand.NewPCG(11, uint64(n)))
	w := Window{}
	now := 0.0
	for range n {
		cpu, fn := 73e6, rng.IntN(10)
		switch x := rng.Float64(); {
		case x < 0.01:
			cpu, fn = 2700e6, 14
		case x < 0.07:
			cpu, fn = 326e6, 13
		case x < 0.30:
			cpu, fn = 110e6, 10+rng.IntN(3)
		}
		cpu *= math.Exp(rng.NormFloat64() / 5)
		now += rng.ExpFloat64() * 125e6 / 0.9
		w.Add(Record{
			UID: fmt.Sprint(fn), Arrive: clock.KTime(now), CPU: time.Duration(cpu),
			End: clock.KTime(now + cpu*(1+rng.ExpFloat64())),
		})
	}
	return w.Records(0)
}

// BenchmarkUpdate is Table 2's frontend cost: simulation and learning.
func BenchmarkUpdate(b *testing.B) {
	for _, l := range []Learner{Average, LinearRegression, RandomForest, EWMA} {
		for _, n := range []int{100, 200, 500, 1000, 2000, 5000} {
			b.Run(fmt.Sprintf("learner=%v/records=%d", l, n), func(b *testing.B) {
				p := Paper()
				p.Learner = l
				policy, err := New(p)
				if err != nil {
					b.Fatal(err)
				}
				records := mix(n)
				b.ReportAllocs()
				for b.Loop() {
					policy.Update(records, 85, 1)
				}
			})
		}
	}
}

// BenchmarkUpdateCores is the same for 24 cores.
func BenchmarkUpdateCores(b *testing.B) {
	for _, s := range []Share{ShareDeal, ShareSample, ShareGlobal} {
		b.Run(fmt.Sprintf("share=%v/records=5000", s), func(b *testing.B) {
			p := Paper()
			p.Share = s
			policy, err := New(p)
			if err != nil {
				b.Fatal(err)
			}
			records := mix(5000)
			for i := range records {
				records[i].Arrive /= 24
			}
			b.ReportAllocs()
			for b.Loop() {
				policy.Update(records, 85, 24)
			}
		})
	}
}

// BenchmarkSRPT is the simulation alone.
func BenchmarkSRPT(b *testing.B) {
	for _, n := range []int{100, 5000, 1_000_000} {
		for _, cores := range []int{1, 24} {
			b.Run(fmt.Sprintf("jobs=%d/cores=%d", n, cores), func(b *testing.B) {
				js := load(rand.New(rand.NewPCG(1, 1)), n, cores, 0.9)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := SRPT(js, Machine{Cores: cores}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(n), "ns/job")
			})
		}
	}
}
