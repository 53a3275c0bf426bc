// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"testing"
)

// A run of the paper's size under each scheduler: 15,000 invocations on 24
// cores at 90 %.
func BenchmarkSchedulers(b *testing.B) {
	for _, name := range Names() {
		b.Run(name, func(b *testing.B) { benchmark(b, name, 15_000, 0.9) })
	}
}

// Time and memory per invocation do not grow with their number.
func BenchmarkSize(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("cfs/%d", n), func(b *testing.B) { benchmark(b, "cfs", n, 0.7) })
	}
}

func benchmark(b *testing.B, name string, n int, load float64) {
	c, invocations := mix(n, 24, load)
	b.ReportAllocs()
	var last Result
	for b.Loop() {
		r, err := Run(b.Context(), c, Spec{Name: name}, invocations)
		if err != nil || r.Unfinished > 0 {
			b.Fatal(err, r.Unfinished)
		}
		last = r
	}
	b.ReportMetric(float64(last.Switches)/float64(n), "switches/invocation")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/invocation")
}
