// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"fmt"
	"math"
	"time"

	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/experiments/results"
)

// indexTable is the index of three kinds of functions, over the CPU time that an
// invocation has used, each learnt from the quantiles of its distribution.
func indexTable() (results.Table, error) {
	const n = 5000
	ms := float64(time.Millisecond)
	kinds := []struct {
		name    string
		inverse func(u float64) float64 // of the distribution function, ns
	}{
		{"always alike: 70 ms", func(float64) float64 { return 70 * ms }},
		{"exponential: mean 70 ms", func(u float64) float64 { return -70 * ms * math.Log(1-u) }},
		{"heavy-tailed: Pareto 1.4 from 20 ms", func(u float64) float64 { return 20 * ms * math.Pow(1-u, -1/1.4) }},
	}
	params := policy.DefaultSteady()
	params.Memory, params.Prior = n, 0 // the whole distribution, and nobody else's
	t := results.Table{Columns: []string{"kind", "used_ms", "index_ms", "quantum_end_ms"}}
	for _, k := range kinds {
		s, err := policy.NewSteady(params)
		if err != nil {
			return t, err
		}
		for i := range n {
			// In no order of size, for the later count more.
			s.Record("f", time.Duration(k.inverse((float64(i*1201%n)+0.5)/n)))
		}
		s.Update()
		table := s.Table("f")
		for used := time.Duration(0); used <= 200*time.Millisecond; used += time.Millisecond {
			if k.name == kinds[0].name && used >= 70*time.Millisecond {
				break
			}
			t.Rows = append(t.Rows, []string{k.name, fmt.Sprint(used.Milliseconds()), milli(table.Index(used)), milli(table.End(used))})
		}
	}
	return t, nil
}

func milli(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/1e6) }
