// SPDX-License-Identifier: Apache-2.0

// Package model is what ranks, slices and arrivals mean to the kernel: the
// values that the daemon writes into the policy map and that the simulator's
// hooks answer. Both call it, so that a simulated scheduler is the one that runs.
//
// It is pure, as package policy is, whose decisions it takes. A bias is the time
// by which a function yields to its siblings; a slice is how long an entity
// keeps a CPU before its siblings are weighed (docs/kernel.md).
package model

import (
	"math"
	"slices"
	"time"

	"github.com/ds2-lab/alps/alps/policy"
)

// Orders in which sibling functions are served; all are values of the bias.
const (
	OrderOff     = "off"     // no bias: CFS's order, slices only
	OrderFIFO    = "fifo"    // equal bias: by arrival at the runqueue
	OrderStrict  = "strict"  // a lower rank always goes first
	OrderBounded = "bounded" // a lower rank goes first unless it comes later by a step per rank of difference
)

// Orders lists them.
func Orders() []string { return []string{OrderOff, OrderFIFO, OrderStrict, OrderBounded} }

const (
	// DefaultStep is the bias between neighbouring ranks under OrderBounded.
	DefaultStep = time.Second
	// StrictStep is the bias between neighbouring ranks under OrderStrict: longer
	// than a function waits.
	StrictStep = 100 * time.Second
	// MaxBias is the largest bias: the hook answers an int of microseconds. Ranks
	// whose bias would be above it are alike; under OrderStrict those are the ranks
	// from 22 on.
	MaxBias = math.MaxInt32 * time.Microsecond
	// MinBias is the least bias that is an opinion: 0 leaves the order to CFS.
	MinBias = time.Microsecond
	// MaxSlice bounds a slice: for so long a function can keep a CPU from its
	// siblings.
	MaxSlice = 10 * time.Second
)

// Bias is by how much a function of a rank ≥ 1 yields under an order. step is
// that of OrderBounded; the other orders ignore it.
func Bias(order string, rank int, step time.Duration) time.Duration {
	switch order {
	case OrderFIFO:
		return MinBias
	case OrderStrict:
		step = StrictStep
	case OrderBounded:
	default:
		return 0
	}
	if step > MaxBias/time.Duration(rank) {
		return MaxBias
	}
	return time.Duration(rank) * step
}

// UnknownRank is the rank of a function that no decision is about: the median of
// decisions, which are sorted by rank. Without a bias among functions that have one
// it would go before all of them. ok is false if there are no decisions.
func UnknownRank(decisions []policy.Decision) (rank int, ok bool) {
	if len(decisions) == 0 {
		return 0, false
	}
	return decisions[len(decisions)/2].Rank, true // sorted by rank
}

// SFS is Fu et al., SC 2022, section 5, in terms of the hooks. Every invocation
// has one slice, which it may use in any number of on-CPU segments. Functions with an
// invocation that has some of its slice left have the bias Fresh, which is equal
// for all, so that they go in the order of their arrival; the others have the
// bias Late and the kernel's own slices.
type SFS struct {
	Fresh, Late time.Duration
	Slice       time.Duration
}

// sfsMinimum keeps the slice above what a switch costs.
const sfsMinimum = time.Millisecond

// NewSFS sets the slice to gaps (1 in the paper) times the mean time between two
// arrivals at one of the CPUs, from 1 ms to MaxSlice. records may be in any order:
// an arrival is known once the invocation has ended. ok is false for fewer than two.
func NewSFS(records []policy.Record, cpus int, gaps float64) (s SFS, ok bool) {
	if len(records) < 2 {
		return SFS{}, false
	}
	first, last := records[0].Arrive, records[0].Arrive
	for _, r := range records {
		first, last = min(first, r.Arrive), max(last, r.Arrive)
	}
	slice := float64(last.Sub(first)) / float64(len(records)-1) * float64(cpus) * gaps
	return SFS{Fresh: MinBias, Late: StrictStep, Slice: time.Duration(min(max(slice, float64(sfsMinimum)), float64(MaxSlice)))}, true
}

// Bias is that of a function with so many invocations that are fresh.
func (s SFS) Bias(fresh int64) time.Duration {
	if fresh > 0 {
		return s.Fresh
	}
	return s.Late
}

// Left is what an invocation that has used so much CPU time has left of its
// slice; 0: it is not fresh any more.
func (s SFS) Left(used time.Duration) time.Duration { return max(s.Slice-used, 0) }

// ValidOrder says whether order is one of Orders.
func ValidOrder(order string) bool { return slices.Contains(Orders(), order) }
