// SPDX-License-Identifier: Apache-2.0

package bpf

// Abandon leaves everything in the kernel as a killed process does.
func (b *Backend) Abandon() error { return b.free() }
