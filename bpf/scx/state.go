// SPDX-License-Identifier: Apache-2.0

package scx

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/internal/clock"
)

// Stats are counts since the scheduler was loaded, and what waits now.
type Stats struct {
	Functions, Others int    // tasks that run or wait, by class
	Throttled         int    // tasks that wait because their cgroup has used its cpu.max
	Invocations       uint64 // begun, and functions' servers

	Counts map[string]uint64 // by a name of CountNames
	Events map[string]uint64 // the kernel's own counters, from 6.15 on
}

// countNames are those of the programs, in their order.
var countNames = []string{"to an idle CPU", "queued", "kept", "preempted", "guarded", "rescued", "throttled", "lost invocations", "lost cgroups"}

// CountNames are the keys of Stats.Counts.
func CountNames() []string { return countNames }

// Stats reads the counts.
func (s *Scheduler) Stats() (Stats, error) {
	st := Stats{Counts: map[string]uint64{}, Events: kernelEvents("/sys/kernel/sched_ext/root/events")}
	var runnable [2]int64
	var parked int64
	for name, v := range map[string]any{"runnable": &runnable, "parked": &parked, "invocations_begun": &st.Invocations} {
		if err := s.coll.Variables[name].Get(v); err != nil {
			return Stats{}, fmt.Errorf("statistics: %s: %w", name, err)
		}
	}
	st.Functions, st.Others, st.Throttled = int(runnable[0]), int(runnable[1]), int(parked)
	for i, name := range countNames {
		var perCPU []uint64
		if err := s.coll.Maps["counts"].Lookup(uint32(i), &perCPU); err != nil {
			return Stats{}, fmt.Errorf("statistics: %s: %w", name, err)
		}
		for _, n := range perCPU {
			st.Counts[name] += n
		}
	}
	return st, nil
}

// kernelEvents parses lines of a name and a number; nil if there is no such file.
func kernelEvents(path string) map[string]uint64 {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	events := map[string]uint64{}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 64); err == nil {
			events[name] = n
		}
	}
	return events
}

// End is why the kernel took the scheduler out.
type End struct {
	Reason  string // the kernel's, such as "runnable task stall"
	Message string // and what it says of the case
	ByUser  bool   // somebody wanted it to end: SysRq-S
}

func (e End) Error() string {
	if e.Message == "" {
		return "the kernel ended the scheduler: " + e.Reason
	}
	return "the kernel ended the scheduler: " + e.Reason + ": " + e.Message
}

// kindSysRq is SCX_EXIT_SYSRQ.
const kindSysRq = 67

// Ended says whether and why the scheduler is no longer in charge.
func (s *Scheduler) Ended() (End, bool) {
	var r struct {
		Code         int64
		Kind, _      uint32
		Text, Detail [128]byte
	}
	if err := s.coll.Maps["ended"].Lookup(uint32(0), &r); err != nil {
		return End{Reason: "unknown", Message: err.Error()}, true
	}
	if r.Kind == 0 {
		return End{}, false
	}
	return End{Reason: cmp.Or(unix.ByteSliceToString(r.Text[:]), fmt.Sprintf("kind %d", r.Kind)), Message: unix.ByteSliceToString(r.Detail[:]), ByUser: r.Kind == kindSysRq}, true
}

// KeepAlive lets the scheduler be in charge for d from now; when it is not called
// again in time the kernel's own takes over. 0 lifts the limit.
func (s *Scheduler) KeepAlive(d time.Duration) error {
	if d == 0 {
		return s.word("valid_until", uint64(0))
	}
	return s.word("valid_until", uint64(clock.Now().Add(d)))
}

// Limit is a cgroup's cpu.max and cpu.max.burst.
type Limit struct {
	Quota, Period, Burst time.Duration
}

// NeedsLimits says whether the kernel does not tell of cpu.max itself (before
// 6.17), so that SetLimits must be called now and then.
func (s *Scheduler) NeedsLimits() bool { return !s.own }

// limitValue is the programs' struct limit.
type limitValue struct {
	Quota, Period, Burst, Began uint64
	Budget                      int64
}

// SetLimits makes limits those that are kept; a cgroup's budget stays while its limit does.
func (s *Scheduler) SetLimits(limits map[bpf.CgroupID]Limit) error {
	first := len(s.lims) == 0
	for id := range s.lims {
		if _, ok := limits[id]; !ok {
			_ = s.coll.Maps["limits"].Delete(uint64(id)) // the cgroup may be gone
			delete(s.lims, id)
		}
	}
	for id, l := range limits {
		if s.lims[id] == l {
			continue
		}
		v := limitValue{Quota: uint64(l.Quota), Period: uint64(l.Period), Burst: uint64(l.Burst), Began: uint64(clock.Now()), Budget: int64(l.Quota)}
		if err := s.coll.Maps["limits"].Put(uint64(id), v); err != nil {
			return fmt.Errorf("limit of cgroup %d: %w", id, err)
		}
		s.lims[id] = l
	}
	if len(s.lims) == 0 {
		return nil
	}
	if err := s.word("limited", uint64(len(s.lims))); err != nil || !first {
		return err
	}
	if _, err := s.coll.Programs["scx_limits"].Run(&ebpf.RunOptions{}); err != nil {
		return fmt.Errorf("look after limits from now on: %w", err)
	}
	return nil
}

// ReadLimits finds the cgroups below root that have a cpu.max. One that is removed
// while it is read is left out; whatever else cannot be read is an error.
func ReadLimits(root string) (map[bpf.CgroupID]Limit, error) {
	limits := map[bpf.CgroupID]Limit{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if isGone(err) && path != root {
			return nil
		}
		if err != nil || !d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(path, "cpu.max"))
		if isGone(err) {
			return nil // or it has no CPU controller
		}
		if err != nil {
			return err
		}
		l, ok, err := parseLimit(string(data))
		if err != nil {
			return fmt.Errorf("%s/cpu.max: %w", path, err)
		}
		if !ok {
			return nil
		}
		if burst, err := os.ReadFile(filepath.Join(path, "cpu.max.burst")); err == nil {
			us, _ := strconv.ParseInt(strings.TrimSpace(string(burst)), 10, 64)
			l.Burst = time.Duration(us) * time.Microsecond
		}
		if id, err := bpf.CgroupOf(path); err == nil {
			limits[id] = l
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the cpu.max of cgroups: %w", err)
	}
	return limits, nil
}

// isGone says whether a cgroup could not be read because it was removed.
func isGone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) }

// parseLimit reads a cpu.max: "20000 100000" or "max 100000", in µs. ok is false without a limit.
func parseLimit(text string) (l Limit, ok bool, err error) {
	f := strings.Fields(text)
	if len(f) != 2 {
		return l, false, fmt.Errorf("%q: want a quota and a period", text)
	}
	if f[0] == "max" {
		return l, false, nil
	}
	quota, err := strconv.ParseInt(f[0], 10, 64)
	if err != nil {
		return l, false, err
	}
	period, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return l, false, err
	}
	return Limit{Quota: time.Duration(quota) * time.Microsecond, Period: time.Duration(period) * time.Microsecond}, true, nil
}
