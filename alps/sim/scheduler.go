// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"math"
	"time"

	"github.com/ds2-lab/alps/internal/list"
)

// scheduler decides; the machine does. All calls are made at machine.now, and
// core is an index.
type scheduler interface {
	// selectCore chooses the core for a new task.
	selectCore(t *task) int
	// enqueue makes t runnable on core. It says whether t takes the CPU from
	// the task that runs there; an idle core is asked to pick in any case.
	enqueue(core int, t *task) (preempts bool)
	// pick says who runs next on core. prev ran there and still can, or is nil.
	// The task it returns is on core and no longer waits.
	pick(core int, prev *task) *task
	// charge tells that t, running on core, has used the CPU for ran.
	charge(core int, t *task, ran int64)
	// tick says whether t, running on core, must be weighed against the others.
	tick(core int, t *task) bool
	// exit tells that t, which ran on core, has ended.
	exit(core int, t *task)
}

// updater is a scheduler that also wants to be called periodically, with the
// CPU utilisation since the last time, in percent.
type updater interface {
	period() time.Duration
	update(loadPct float64)
}

// never is a time that does not come.
const never = math.MaxInt64

// task is an invocation's process while it lives.
type task struct {
	index    int32 // of the invocation
	function int32
	demand   int64
	left     int64 // of the CPU time, refills included
	extra    int64 // refills
	arrived  int64
	born     uint64 // its number among the tasks, from 1
	first    int64  // on a CPU; -1 before
	invol    int32
	platform bool // it is the platform's, for an invocation that has no process yet
	step     step // of a server's

	se       entity // fair schedulers
	at       int32  // the core whose runqueue it is in
	estimate int64  // srpt: what the scheduler believes the demand to be
	key      int64  // order in a list
	seq      uint64 // ties of key
	links    list.Links[*task]
	slice    int64 // rr: CPU time used in this time slice; scx: CPU time used at which the time slice ends
	fresh    bool  // sfs: it has not used its slice
}

// served is how much of its demand t has had. What a refill takes is no part of
// it: served falls when one becomes due.
func (t *task) served() int64 { return t.demand - t.left }

// Links are those of the list in which t waits, or of the machine's free tasks.
func (t *task) Links() *list.Links[*task] { return &t.links }
