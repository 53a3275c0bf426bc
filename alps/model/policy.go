// SPDX-License-Identifier: Apache-2.0

package model

import "time"

// Policy is everything that a backend is told at one moment. The zero Policy
// has no opinion on any function, without a limit of time.
type Policy struct {
	// Entries are the functions' by cgroup id. A function without one is treated as
	// one with the zero Entry.
	Entries map[uint64]Entry
	// ValidFor is how long the policy holds unless another is published: silent
	// for longer, the daemon is taken for dead. 0: no limit.
	ValidFor time.Duration
}

// Entry is what a backend is told of one function. The zero Entry is no opinion: where
// no function has a bias the kernel's own scheduler decides on the order, or, by sched_ext,
// the time of arrival with slices of 10 ms; among functions that have a bias, one
// that has none does not wait for theirs.
type Entry struct {
	// Bias is how much later than its arrival in the queue the function is
	// sorted, in [0, MaxBias]; 0: no opinion on the order.
	Bias time.Duration
	// Slice is how long the function may keep a CPU before its siblings are
	// weighed, in [0, MaxSlice]; 0: the kernel's, or 10 ms by sched_ext. With LateBias it is an
	// invocation's, over all its on-CPU segments.
	Slice time.Duration
	// LateBias, if not 0, says that this is SFS: it is the bias of a function without
	// a fresh invocation. An invocation is fresh until it has used Slice.
	LateBias time.Duration
	// Steady, if not nil, says that this is steady, and is all that counts.
	Steady *Steady
}
