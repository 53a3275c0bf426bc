// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"math"
	"time"
)

// A histogram of CPU times has buckets of a sixth of an octave, from 50 µs to
// above an hour. What is below is in the first, what is above in the last.
const (
	histogramBuckets = 160
	bucketsPerOctave = 6
	histogramLowest  = float64(50 * time.Microsecond)
)

// bucketEdges are where buckets end, ns; octaveCuts are where those within an
// octave do, as a factor.
var (
	bucketEdges [histogramBuckets]float64
	bucketScale [histogramBuckets]float64 // 1 / width
	octaveCuts  [bucketsPerOctave - 1]float64
)

func init() {
	for b := range bucketEdges {
		bucketEdges[b] = histogramLowest * math.Exp2(float64(b)/bucketsPerOctave)
		from, to := bucketRange(b)
		bucketScale[b] = 1 / (to - from)
	}
	for k := range octaveCuts {
		octaveCuts[k] = math.Exp2(float64(k+1) / bucketsPerOctave)
	}
}

// bucketOf is the bucket of a time, without a logarithm.
func bucketOf(ns float64) int {
	x := ns * (1 / histogramLowest)
	if x < 1 {
		return 0
	}
	bits := math.Float64bits(x)
	octave := int(bits>>52) - 1023
	within := math.Float64frombits(bits&(1<<52-1) | 1023<<52) // in [1, 2)
	k := 0
	for k < len(octaveCuts) && within >= octaveCuts[k] {
		k++
	}
	return min(octave*bucketsPerOctave+k+1, histogramBuckets-1)
}

// bucketRange is where bucket b begins and ends, ns.
func bucketRange(b int) (from, to float64) {
	if b == 0 {
		return 0, bucketEdges[0]
	}
	return bucketEdges[b-1], bucketEdges[b]
}

// histogram counts CPU times, newer ones more than older ones: each record
// multiplies the weight of all before by a factor. It does so by giving the new
// one more weight, unit, so that a record costs the same however many there are.
type histogram struct {
	buckets [histogramBuckets]bucket
	unit    float64 // weight of the newest; 0: empty
	total   float64 // of all weights
}

// bucket is what fell into one: weight, and weighted sums of the positions within
// it, from 0 to 1, and of their squares.
type bucket struct{ weight, position, square float32 }

// unitLimit is far below what a float32 holds.
const unitLimit = 1e20

// positionIn is where in bucket b a time is, from 0 to 1.
func positionIn(b int, ns float64) float64 {
	from, _ := bucketRange(b)
	return min(max((ns-from)*bucketScale[b], 0), 1)
}

// add counts a record, after multiplying the weight of all older ones by 1/grow.
func (h *histogram) add(b int, position, grow float64) {
	if h.unit == 0 {
		h.unit = 1
	}
	if h.unit *= grow; h.unit > unitLimit {
		h.rescale()
	}
	x := &h.buckets[b]
	x.weight += float32(h.unit)
	x.position += float32(h.unit * position)
	x.square += float32(h.unit * position * position)
	h.total += h.unit
}

func (h *histogram) rescale() {
	f := float32(1 / h.unit)
	for i := range h.buckets {
		x := &h.buckets[i]
		x.weight, x.position, x.square = x.weight*f, x.position*f, x.square*f
	}
	h.total /= h.unit
	h.unit = 1
}
