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
)

// initPIDNamespace is the inode of the first PID namespace (include/linux/proc_ns.h).
const initPIDNamespace = 0xEFFFFFFC

// Sweep removes what is left of processes that are gone and counts it as lost:
// entries of which the observer saw no end. An entry goes if its thread was
// gone at the last call, too, so calls should be seconds apart. It also says
// how full the maps are.
func (b *Backend) Sweep() (swept int, usage []Usage, err error) {
	var events map[uint32]alpsEvent
	var tasks map[uint32]alpsTask
	var ending map[uint32]uint64
	functions, err := b.Functions()
	if err == nil {
		events, err = all[uint32, alpsEvent](b.maps.Running)
	}
	if err == nil {
		tasks, err = all[uint32, alpsTask](b.maps.Tasks)
	}
	if err == nil {
		ending, err = all[uint32, uint64](b.maps.Ending)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("sweep: %w", err)
	}
	usage = []Usage{
		{MapFunctions, len(functions), int(b.maps.Functions.MaxEntries())}, {MapRunning, len(events), int(b.maps.Running.MaxEntries())},
		{MapTasks, len(tasks), int(b.maps.Tasks.MaxEntries())}, {MapEnding, len(ending), int(b.maps.Ending.MaxEntries())},
	}
	var ns unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &ns); err != nil || ns.Ino != initPIDNamespace {
		return 0, usage, nil // the kernel's pids are not the ones seen here
	}
	ahead, err := bootAhead()
	if err != nil {
		return 0, usage, err
	}
	suspects := map[stale]bool{}
	for pid, e := range events {
		suspects[stale{e.ArriveNs, pid, sweepRunning}] = true
	}
	for pid, t := range tasks {
		suspects[stale{t.ArriveNs, pid, sweepTasks}] = true
	}
	for pid := range ending {
		suspects[stale{0, pid, sweepEnding}] = true
	}
	for s := range suspects {
		switch {
		case !isGone(s, ahead):
			delete(suspects, s)
		case b.suspects[s]:
			delete(suspects, s)
			removed, err := b.progs.Sweep.Run(&ebpf.RunOptions{Context: s})
			if err != nil {
				return swept, usage, fmt.Errorf("sweep: %w", err)
			}
			swept += int(removed)
		}
	}
	b.suspects = suspects
	return swept, usage, nil
}

// all reads a hash map.
func all[K comparable, V any](m *ebpf.Map) (map[K]V, error) {
	keys, values := make([]K, m.MaxEntries()), make([]V, m.MaxEntries())
	var cursor ebpf.MapBatchCursor
	n, err := m.BatchLookup(&cursor, keys, values, nil)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) { // the end
		return nil, fmt.Errorf("%s: %w", m, err)
	}
	out := make(map[K]V, n)
	for i := range n {
		out[keys[i]] = values[i]
	}
	return out, nil
}

// bootAhead is how much later CLOCK_BOOTTIME is than CLOCK_MONOTONIC.
func bootAhead() (time.Duration, error) {
	var boot, mono unix.Timespec
	if err := errors.Join(unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot), unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono)); err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	return time.Duration(boot.Nano() - mono.Nano()), nil
}

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
