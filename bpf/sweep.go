// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/internal/clock"
)

// Usage is how full a map is.
type Usage struct {
	Map  string `json:"map"`
	Used int    `json:"used"`
	Size int    `json:"size"`
}

// Full says whether nothing more fits in.
func (u Usage) Full() bool { return u.Used >= u.Size }

// The maps of which Usage tells: the names are the BPF program's.
const (
	MapFunctions = "functions" // cgroups that are functions
	MapRunning   = "running"   // invocations under way
	MapTasks     = "tasks"     // their threads and descendants
	MapEnding    = "ending"    // processes that must end
)

// stale is an entry of which user space finds that its thread is no more; the
// kernel's struct.
type stale struct {
	Arrive uint64 // of the invocation, ns
	PID    uint32
	From   uint32
}

// Maps that are swept; the kernel's enum.
const (
	sweepRunning = iota
	sweepTasks
	sweepEnding
	sweepFormer // of the map running: processes that were invocations before their function's source was busy
	sweepBusy   // the map tasks, of busy periods: settle does it
)

// initPIDNamespace is the inode of the first PID namespace (include/linux/proc_ns.h).
const initPIDNamespace = 0xEFFFFFFC

// Survey is what Sweep finds.
type Survey struct {
	Swept   int // entries of processes that were gone
	Usage   []Usage
	Running map[CgroupID]int // invocations under way, by function
	Workers map[CgroupID]int // of those, processes that may rather be a server's: isWorker
}

// A process that has lived for WorkerAge and slept WorkerSleeps times may be one
// that a server has forked to serve requests, and no invocation. Package scx has the same rule.
const (
	WorkerAge    = time.Minute
	WorkerSleeps = 60
)

// isWorker says whether e, which is under way, may be such a process.
func isWorker(e alpsEvent, now clock.KTime) bool {
	return e.Busy == 0 && now.Sub(clock.KTime(e.ArriveNs)) >= WorkerAge && e.SwitchesVol >= WorkerSleeps
}

// goneFor is for how long a thread must have been gone before its entry is removed: one
// that ends has no directory in /proc any more before it is off its CPU for the last
// time, when the observer sees its end.
const goneFor = 2 * time.Second

// Sweep removes what is left of processes that are gone and counts it as lost:
// entries of which the observer saw no end. An entry goes if its thread was
// gone at a call goneFor or more ago, and at all calls since. Calls may come at any
// moment, also from several goroutines: one waits for another.
func (b *Backend) Sweep() (Survey, error) {
	b.sweeping.Lock()
	defer b.sweeping.Unlock()
	s := Survey{Running: map[CgroupID]int{}, Workers: map[CgroupID]int{}}
	suspects, now := map[stale]clock.KTime{}, clock.Now()
	if b.busy.Load() {
		if err := b.adopt(); err != nil {
			return s, fmt.Errorf("look at the threads of functions with busy periods: %w", err)
		}
	}
	functions, err := b.Functions()
	used := map[string]int{MapFunctions: len(functions)}
	if err == nil {
		used[MapRunning], err = each(b.maps.Running, func(pid uint32, e alpsEvent) {
			if pid&keyBusy == 0 {
				suspects[stale{e.ArriveNs, pid, sweepRunning}] = now
			}
			if e.ArriveNs != 0 { // else it lies between two busy periods
				s.Running[CgroupID(e.CgroupId)]++
				if isWorker(e, now) {
					s.Workers[CgroupID(e.CgroupId)]++
				}
			}
		})
	}
	if err == nil {
		used[MapTasks], err = each(b.maps.Tasks, func(pid uint32, t alpsTask) {
			from := uint32(sweepTasks)
			if t.Root&keyBusy != 0 {
				from = sweepBusy
			}
			suspects[stale{t.ArriveNs, pid, from}] = now
		})
	}
	if err == nil {
		used[MapEnding], err = each(b.maps.Ending, func(pid uint32, _ uint64) { suspects[stale{0, pid, sweepEnding}] = now })
	}
	if err != nil {
		return s, fmt.Errorf("read the maps of the observer: %w", err)
	}
	for _, m := range []struct {
		name string
		of   *ebpf.Map
	}{{MapFunctions, b.maps.Functions}, {MapRunning, b.maps.Running}, {MapTasks, b.maps.Tasks}, {MapEnding, b.maps.Ending}} {
		s.Usage = append(s.Usage, Usage{m.name, used[m.name], int(m.of.MaxEntries())})
	}
	var ns unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &ns); err != nil || ns.Ino != initPIDNamespace {
		return s, nil // the kernel's pids are not the ones seen here
	}
	ahead := clock.SinceBoot().Sub(clock.Now()) // by how much CLOCK_BOOTTIME, of /proc, is later
	for x := range suspects {
		since, before := b.suspects[x]
		switch {
		case !isGone(x, ahead):
			delete(suspects, x)
		case before && now.Sub(since) < goneFor:
			suspects[x] = since
		case before:
			delete(suspects, x)
			if x.From == sweepBusy {
				if err := b.settle(x.PID); err != nil {
					return s, fmt.Errorf("settle the busy periods: %w", err)
				}
				s.Swept++
				continue
			}
			removed, err := b.progs.Sweep.Run(&ebpf.RunOptions{Context: x})
			if err != nil {
				return s, fmt.Errorf("remove what process %d left in the maps: %w", x.PID, err)
			}
			s.Swept += int(removed)
		}
	}
	b.suspects = suspects
	return s, nil
}

// each calls f for every entry of a hash map, and counts them. The kernel is
// asked for many at a time.
func each[K comparable, V any](m *ebpf.Map, f func(K, V)) (n int, err error) {
	keys, values := make([]K, chunk), make([]V, chunk)
	var cursor ebpf.MapBatchCursor
	for {
		got, err := m.BatchLookup(&cursor, keys, values, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return n, fmt.Errorf("%s: %w", m, err)
		}
		for i := range got {
			f(keys[i], values[i])
		}
		if n += got; err != nil { // that was the last
			return n, nil
		}
	}
}

// chunk is how many entries are read at a time: more than ever share a bucket.
const chunk = 256

// isGone says whether the thread of an entry is no more: nobody has its pid, or,
// of an invocation's own process, somebody who began later.
func isGone(s stale, ahead time.Duration) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(int(s.PID)) + "/stat")
	if err != nil {
		return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH)
	}
	if s.From != sweepRunning {
		return false // a thread may be much younger than its invocation
	}
	began, ok := startTime(string(data))
	return ok && began-ahead > time.Duration(s.Arrive)+time.Second
}

// startTime reads from /proc/PID/stat when a process began, by CLOCK_BOOTTIME.
func startTime(stat string) (time.Duration, bool) {
	const hz = 100 // USER_HZ, which has one value on Linux
	_, rest, ok := cutLast(stat, ")")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return 0, false
	}
	ticks, err := strconv.ParseInt(fields[19], 10, 64) // field 22 of proc(5)
	return time.Duration(ticks) * time.Second / hz, err == nil
}

// cutLast cuts s at the last sep: a process's name may hold anything.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
