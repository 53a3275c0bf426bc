// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"math"
	"time"
)

// tune makes the slice of a learnt one, ns: Alpha times it, at most SliceCap, less Beta
// times the standard deviation of what it was learnt from; 0 is the kernel's own slice.
func (p Params) tune(learnt, stdev float64) time.Duration {
	slice := learnt
	if p.Unpredictability {
		slice *= p.Alpha
	}
	if p.SliceCap > 0 {
		slice = min(slice, float64(p.SliceCap))
	}
	if p.Unpredictability {
		slice -= p.Beta * stdev
	}
	return whole(max(slice, 0))
}

// pressure is the factor, at most 1, by which slices shrink under a load, which is
// in percent: what lies outside [0, 100] is the nearer bound, and not a number is 0.
func (p Params) pressure(load float64) float64 {
	if load = min(load, 100); !(load > 0) {
		load = 0
	}
	if !p.Overload || load < p.Theta {
		return 1
	}
	return min((100+p.Theta-load)/(100*p.Gamma), 1)
}

func whole(ns float64) time.Duration { return time.Duration(math.Round(ns)) }
