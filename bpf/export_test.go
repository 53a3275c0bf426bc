// SPDX-License-Identifier: Apache-2.0

package bpf

// Abandon leaves everything in the kernel as a killed process does.
func (b *Backend) Abandon() error { return b.free() }

// NeverRan is how many invocations the kernel believes to wait for their first
// time on a CPU, over all functions and CPUs, each count by itself positive.
func (b *Backend) NeverRan() (n int, err error) {
	var at uint32
	var count int32
	it := b.maps.NeverRan.Iterate()
	for it.Next(&at, &count) {
		n += int(max(count, -count))
	}
	return n, it.Err()
}
