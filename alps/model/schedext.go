// SPDX-License-Identifier: Apache-2.0

package model

import "time"

// What a sched_ext scheduler (package bpf/scx) does with a policy, where that is
// another thing than the hooks do.
const (
	// SchedExtOctave bounds policy.SteadyParams.Octave: from the default floor of 1 ms
	// there are 18 octaves to SchedExtMaxBias, which an index of 262 s has. Longer
	// octaves whose biases are cut off there make the long invocations alike: the mean
	// turnaround is several times as long.
	SchedExtOctave = time.Second
	// SchedExtMaxBias bounds a bias. The kernel's watchdog ends a scheduler that
	// lets a task wait for 30 s.
	SchedExtMaxBias = 18 * time.Second
	// SchedExtSlice bounds for how much CPU time an invocation keeps its key. With a key
	// for a whole quantum, invocations that come together are served by arrival.
	SchedExtSlice = 10 * time.Millisecond
	// SchedExtGuardEvery is how often at least the oldest waiting invocation of a
	// queue goes first.
	SchedExtGuardEvery = 500 * time.Millisecond
)

// SchedExtBias is the bias of an invocation of the function that has used so much CPU time.
func (s *Steady) SchedExtBias(used time.Duration) time.Duration {
	p := *s.Params
	p.Octave = min(p.Octave, SchedExtOctave)
	return min(p.Bias(s.Table.Index(used)), SchedExtMaxBias)
}

// SchedExtEnd is the CPU time used at which an invocation that has used so much is weighed anew.
func (s *Steady) SchedExtEnd(used time.Duration) time.Duration {
	return max(min(s.Table.End(used), used+SchedExtSlice), used+LeastSlice)
}
