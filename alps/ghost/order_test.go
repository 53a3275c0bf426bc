// SPDX-License-Identifier: Apache-2.0

package ghost

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/bpf/ghost"
)

const ms = uint64(time.Millisecond)

// wish is a thread of a function (its cgroup) that wants a CPU.
func wish(pid uint32, at uint64, used time.Duration) ghost.Message {
	return ghost.Message{What: ghost.Runnable, PID: pid, Cgroup: uint64(pid), Seq: at, CPU: used}
}

func rank(bias, slice time.Duration) client.Entry {
	return client.Entry{BiasUS: uint32(bias / time.Microsecond), SliceUS: uint32(slice / time.Microsecond)}
}

func TestEveryWishIsGrantedOnce(t *testing.T) {
	o := newOrder([]int{1})
	o.take(wish(10, 1*ms, 0))
	require.Equal(t, []ghost.Decision{{Seq: 1 * ms, PID: 10, CPU: 1, Slice: latency}}, o.decide(1*ms))
	require.Empty(t, o.decide(2*ms), "it has its CPU")
	o.take(wish(10, 7*ms, 6*time.Millisecond))
	require.Equal(t, uint64(7*ms), o.decide(7 * ms)[0].Seq, "its slice is used, and nobody else waits")
	o.take(ghost.Message{What: ghost.Blocked, PID: 10, Seq: 8 * ms, CPU: 7 * time.Millisecond})
	require.Empty(t, o.decide(8*ms))
	require.Empty(t, o.has)
}

func TestByVruntime(t *testing.T) {
	o := newOrder([]int{1})
	o.take(wish(10, 0, 0))
	o.take(wish(11, 0, 0))
	got := map[uint32]time.Duration{}
	now := uint64(0)
	for range 20 {
		d := o.decide(now)
		require.Len(t, d, 1)
		got[d[0].PID] += d[0].Slice
		now += uint64(d[0].Slice)
		o.take(wish(d[0].PID, now, got[d[0].PID]))
	}
	require.Equal(t, got[10], got[11], "equal shares")
	require.Equal(t, latency*10, got[10]+got[11], "each slice is latency/2")

	// Who comes takes the CPU from one that has had more, but not for a trifle.
	o = newOrder([]int{1})
	o.take(wish(10, 0, 0))
	o.decide(0)
	o.take(wish(12, 0, 0))
	require.Empty(t, o.decide(uint64(wakeup/2)))
	require.Equal(t, []ghost.Decision{{PID: 12, CPU: 1, Slice: latency / 2, Preempt: true}}, o.decide(uint64(2*wakeup)))
}

// A task whose CPU was given to another before it looked waits again.
func TestNobodyIsLost(t *testing.T) {
	o := newOrder([]int{1})
	o.take(wish(10, 0, 0))
	o.decide(0)
	o.take(wish(12, 0, 0))
	require.Len(t, o.decide(uint64(2*wakeup)), 1, "12 instead of 10")
	o.again(10)
	o.take(ghost.Message{What: ghost.Blocked, PID: 12, Seq: 4 * ms})
	require.Equal(t, []ghost.Decision{{PID: 10, CPU: 1, Slice: latency}}, o.decide(4*ms))
	o.take(ghost.Message{What: ghost.Blocked, PID: 10, Seq: 5 * ms})
	o.again(10)
	require.Empty(t, o.decide(5*ms), "who sleeps does not wait")
}

func TestByRank(t *testing.T) {
	o := newOrder([]int{1})
	o.entries = map[uint64]client.Entry{10: rank(time.Second, 20*time.Millisecond), 11: rank(2*time.Second, 100*time.Millisecond), 12: rank(2*time.Second, 0)}
	o.take(wish(11, 0, 0))
	require.Equal(t, []ghost.Decision{{Seq: 0, PID: 11, CPU: 1, Slice: 100 * time.Millisecond}}, o.decide(0))
	o.take(wish(10, 1*ms, 0))
	require.Empty(t, o.decide(1*ms), "within its slice nobody takes the CPU from a task")

	// The agent itself interrupts it: its time slice goes on.
	o.take(ghost.Message{What: ghost.Runnable, PID: 11, Cgroup: 11, Seq: 2 * ms, CPU: 2 * time.Millisecond, Left: 98 * time.Millisecond})
	require.Equal(t, []ghost.Decision{{Seq: 2 * ms, PID: 11, CPU: 1, Slice: 98 * time.Millisecond}}, o.decide(2*ms))

	// Its time slice over, the lower rank goes first, unless it comes a step later.
	o.take(wish(11, 100*ms, 100*time.Millisecond))
	require.Equal(t, uint32(10), o.decide(100 * ms)[0].PID)
	o.take(wish(10, 1200*ms, 20*time.Millisecond))
	require.Equal(t, uint32(11), o.decide(1200 * ms)[0].PID)
}

// As with the hooks, it is a function that is queued and has time slices; what its tasks
// do not use of one is the next task's, and it loses its position only when all sleep.
func TestAFunctionsTasksShareItsTimeSlices(t *testing.T) {
	of := func(pid uint32, cgroup, at uint64, used time.Duration) ghost.Message {
		m := wish(pid, at, used)
		m.Cgroup = cgroup
		return m
	}
	o := newOrder([]int{1})
	o.entries = map[uint64]client.Entry{1: rank(time.Second, 100*time.Millisecond), 2: rank(time.Second, 100*time.Millisecond)}
	o.take(of(10, 1, 0, 0))
	o.take(of(20, 2, 1*ms, 0))
	o.take(of(11, 1, 2*ms, 0))
	require.Equal(t, []ghost.Decision{{PID: 10, CPU: 1, Slice: 100 * time.Millisecond}}, o.decide(2*ms))
	o.take(ghost.Message{What: ghost.Blocked, PID: 10, Seq: 30 * ms, CPU: 30 * time.Millisecond})
	require.Equal(t, []ghost.Decision{{Seq: 2 * ms, PID: 11, CPU: 1, Slice: 70 * time.Millisecond}}, o.decide(30*ms), "the rest of the time slice, at the position of the first")
	o.take(of(11, 1, 100*ms, 70*time.Millisecond))
	require.Equal(t, []ghost.Decision{{Seq: 1 * ms, PID: 20, CPU: 1, Slice: 100 * time.Millisecond}}, o.decide(100*ms), "the time slice is over")
	o.take(ghost.Message{What: ghost.Blocked, PID: 20, Seq: 110 * ms, CPU: 10 * time.Millisecond})
	o.take(of(20, 2, 111*ms, 10*time.Millisecond))
	require.Equal(t, uint32(11), o.decide(111 * ms)[0].PID, "who slept is queued anew")
}

// The kernel's watchdog ends a scheduler that lets a task wait for 30 s.
func TestWhoWaitsLongGetsAGlimpse(t *testing.T) {
	o := newOrder([]int{1})
	o.entries = map[uint64]client.Entry{10: rank(time.Second, time.Second), 11: rank(100*time.Second, time.Second)}
	o.take(wish(11, 0, 0))
	longest, last := uint64(0), uint64(0)
	glimpses := 0
	for now := uint64(0); now < uint64(time.Minute); now += 1000 * ms {
		o.take(wish(10, now, time.Duration(now)))
		for d := o.decide(now); d[0].PID == 11; d = o.decide(now) {
			longest, last = max(longest, now-last), now
			require.Equal(t, granularity, d[0].Slice)
			require.Zero(t, o.tasks[11].queued, "it keeps its position")
			glimpses++
			o.take(wish(11, now, 0))
		}
	}
	require.Equal(t, 3, glimpses)
	require.Less(t, longest, uint64(patience+2*time.Second))
}

func TestEveryCPUIsUsed(t *testing.T) {
	o := newOrder([]int{1, 3})
	o.entries = map[uint64]client.Entry{}
	for pid := range uint32(3) {
		o.take(wish(10+pid, uint64(pid), 0))
	}
	d := o.decide(0)
	require.Len(t, d, 2)
	require.ElementsMatch(t, []uint32{1, 3}, []uint32{d[0].CPU, d[1].CPU})
	require.ElementsMatch(t, []uint32{10, 11}, []uint32{d[0].PID, d[1].PID})
}

func TestTheDeadAreForgotten(t *testing.T) {
	o := newOrder([]int{0})
	for pid := range uint32(3 * maxTasks) {
		o.take(wish(pid, uint64(pid), 0))
		require.Len(t, o.decide(uint64(pid)), 1)
		o.take(ghost.Message{What: ghost.Blocked, PID: pid, Seq: uint64(pid)})
	}
	require.LessOrEqual(t, len(o.tasks), maxTasks+1)
}

func BenchmarkDecide(b *testing.B) {
	o := newOrder([]int{1})
	for pid := range uint32(maxTasks - 200) { // those that sleep, or are dead, cost nothing
		o.take(wish(1000+pid, 0, 0))
		o.decide(0)
		o.take(ghost.Message{What: ghost.Blocked, PID: 1000 + pid})
	}
	for pid := range uint32(100) {
		o.take(wish(pid, uint64(pid), 0))
	}
	now := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		now += ms
		for _, d := range o.decide(now) {
			o.take(wish(d.PID, now, time.Duration(now)))
		}
	}
}
