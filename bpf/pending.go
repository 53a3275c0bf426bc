// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"sync/atomic"

	"github.com/ds2-lab/alps/internal/clock"
)

// invocation identifies one that has not ended.
type invocation struct {
	arrive clock.KTime
	pid    uint32
}

const (
	// maxPending bounds what waits for the end of its invocation, in slices: 16 MiB.
	maxPending = 1 << 22
	// pendingCost is what an invocation costs beside its slices, in slices.
	pendingCost = 32
)

// pending are the full slices, in µs, of invocations that have not ended. One
// whose end is lost leaves its slices behind; when there are too many, all are
// dropped and counted.
type pending struct {
	slices  map[invocation][]uint32
	size    int           // in slices
	newest  clock.KTime   // arrival
	since   clock.KTime   // of invocations that arrived until then some slices are dropped
	dropped atomic.Uint64 // slices
}

func (p *pending) add(k invocation, us uint32) {
	p.newest = max(p.newest, k.arrive)
	if k.arrive <= p.since {
		p.dropped.Add(1)
		return
	}
	if p.size >= maxPending {
		for _, s := range p.slices {
			p.dropped.Add(uint64(len(s)))
		}
		p.dropped.Add(1)
		p.slices, p.size, p.since = nil, 0, p.newest
		return
	}
	if p.slices == nil {
		p.slices = map[invocation][]uint32{}
	}
	if p.slices[k] == nil {
		p.size += pendingCost
	}
	p.slices[k] = append(p.slices[k], us)
	p.size++
}

// take removes the slices of an invocation that has ended; nil if some of them
// were dropped.
func (p *pending) take(k invocation) []uint32 {
	s := p.slices[k]
	if s != nil {
		delete(p.slices, k)
		p.size -= len(s) + pendingCost
	}
	return s
}
