// SPDX-License-Identifier: Apache-2.0

package model

import (
	"math"
	"time"

	"github.com/ds2-lab/alps/alps/policy"
)

// Steady is what a backend is told of one function under the policy steady:
// the rules by which it answers. They are in integers, because BPF has no other
// numbers. bpf/table.bpf.h has the same rules, and a test compares both on
// random tables.
type Steady struct {
	Params *policy.SteadyParams
	Table  Table
}

// Table is a policy.Table in integers. Its methods are those of policy.Table.
type Table struct {
	Steps [policy.MaxSteps]Step // by From; those that are not used come last and are from Never
	Seen  time.Duration         // no recorded invocation has used more
	Least time.Duration         // the least index of an invocation that has used more
}

// Step is a piece of a table, for the CPU times from From up to the next step's.
type Step struct {
	From  time.Duration // CPU time used
	Index time.Duration // there
	Slope int64         // by how much the index grows per CPU time used, in 1/2^SlopeBits
	End   time.Duration // CPU time used at which the quantum ends
}

// SlopeBits is how many bits of a slope are its fraction. A slope times the length of its
// step is a difference of indices: the product fits into 64 bits up to two hours.
const SlopeBits = 20

// Never is later than any time.
const Never = time.Duration(math.MaxInt64)

// LeastSlice is the least slice of an invocation: less costs more than it gains.
const LeastSlice = time.Millisecond

// NoOne is the index of whoever is not there.
const NoOne = Never

// NoInvocation is the index of a function that has nothing to run.
const NoInvocation = time.Hour

// NewSteady are the rules of a function with table t.
func NewSteady(p *policy.SteadyParams, t *policy.Table) *Steady {
	s := &Steady{Params: p, Table: Table{Seen: t.Seen(), Least: policy.MinIndex}}
	steps := t.Steps()
	if len(steps) == 0 {
		s.Table.Least = t.Index(0)
	}
	for i := range s.Table.Steps {
		if i >= len(steps) {
			s.Table.Steps[i] = Step{From: Never}
			continue
		}
		x := steps[i]
		s.Table.Steps[i] = Step{From: x.From, Index: x.Index, Slope: int64(math.Round(x.Slope * (1 << SlopeBits))), End: x.End}
	}
	return s
}

// Index is the Gittins index of an invocation that has used so much CPU time.
func (t *Table) Index(used time.Duration) time.Duration {
	if used >= t.Seen {
		return max(used, t.Least)
	}
	s := t.at(used)
	return max(s.Index+(used-s.From)*time.Duration(s.Slope)>>SlopeBits, policy.MinIndex)
}

// ServerGrace is for how much CPU time a task that is no invocation, such as one of the function's
// server, goes first whenever it wakes.
const ServerGrace = 2 * time.Millisecond

// StrangerIndex is the index of a task that is no invocation and has used burst of CPU time since it
// woke. It has to run before the next invocation can begin, so it is worth as much as that one; and
// at the begin of each burst it goes first.
func (t *Table) StrangerIndex(burst time.Duration) time.Duration {
	if burst < ServerGrace {
		return policy.MinIndex
	}
	return t.Index(0)
}

// End is the CPU time used at which the quantum of an invocation ends that has
// used so much. It is above used.
func (t *Table) End(used time.Duration) time.Duration {
	if used >= t.Seen {
		return 2*used + policy.BeyondQuantum
	}
	return max(t.at(used).End, used+1)
}

// at is the step for a CPU time below t.Seen.
func (t *Table) at(used time.Duration) *Step {
	i := 0
	for half := policy.MaxSteps / 2; half > 0; half /= 2 {
		if t.Steps[i+half].From <= used {
			i += half
		}
	}
	return &t.Steps[i]
}

// biasOf is by how much a function yields whose next invocation has an index.
func (s *Steady) biasOf(index time.Duration) time.Duration {
	return min(s.Params.Bias(index), MaxBias)
}

// Bias is by how much the function yields whose next task on a CPU has that index. other is the
// least index of those who wait there and should not wait for the end of another's quantum, because
// they never ran or were woken: once the function has the CPU they get it. NoOne if nobody does.
func (s *Steady) Bias(index, other time.Duration) time.Duration { return s.biasOf(min(index, other)) }

// Idle is by how much the function yields that has nothing to run.
func (s *Steady) Idle() time.Duration { return s.biasOf(NoInvocation) }

// Slice is the time slice, within its function, of a task with that index, whose invocation has used
// that much CPU time, sliceUsed of it since the slice began: it lasts to the quantum's end, but from
// LeastSlice to MaxSlice. It is 0, CFS's own slice, if the task has run before (ran) and somebody
// waits who is worth more (other, as of Bias).
func (s *Steady) Slice(index, used, sliceUsed time.Duration, ran bool, other time.Duration) time.Duration {
	if ran && s.biasOf(other) < s.biasOf(index) {
		return 0
	}
	begun := max(used-sliceUsed, 0)
	return min(max(s.Table.End(begun)-begun, LeastSlice), MaxSlice)
}
