// SPDX-License-Identifier: Apache-2.0

package sim

// rrSlice is SCHED_RR's time slice (RR_TIMESLICE).
const rrSlice = 100e6

// rr is SCHED_RR: fifo with time slices, counted in ticks.
type rr struct{ *rt }

func (r rr) tick(core int, t *task) bool {
	if r.overrun(core) {
		return true
	}
	if t.slice < rrSlice-r.m.tick/2 {
		return false
	}
	t.slice = 0
	return r.queue[core].Len > 0
}
