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
// in percent.
func (p Params) pressure(load float64) float64 {
	if !p.Overload || !(load >= p.Theta) { // a load that is not a number is none
		return 1
	}
	return min((100+p.Theta-min(load, 100))/(100*p.Gamma), 1)
}

func whole(ns float64) time.Duration { return time.Duration(math.Round(ns)) }
