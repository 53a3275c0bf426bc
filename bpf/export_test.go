// SPDX-License-Identifier: Apache-2.0

package bpf

import "errors"

// Abandon leaves everything in the kernel as a killed process does.
func (b *Backend) Abandon() error { return b.free() }

// NeverRan is how many invocations the kernel believes to wait for their first
// time on a CPU, over all functions and CPUs, each count by itself positive.
func (b *Backend) NeverRan() (n int, err error) {
	var at uint32
	var f alpsFunctionCpu
	it := b.maps.FunctionCpus.Iterate()
	for it.Next(&at, &f) {
		n += int(max(f.NeverRan, -f.NeverRan))
	}
	return n, it.Err()
}

// CheckingMemos are options under which MemoChecks counts.
func CheckingMemos() Options { return Options{checkMemos: true} }

// MemoChecks is how many answers the hooks remembered, and how many of these the
// rules do not give.
func (b *Backend) MemoChecks() (remembered, wrong uint64, err error) {
	err = b.maps.MemoChecks.Lookup(uint32(0), &remembered)
	return remembered, wrong, errors.Join(err, b.maps.MemoChecks.Lookup(uint32(1), &wrong))
}
