// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// loadMeter measures CPU utilisation between two samples.
type loadMeter struct {
	cpus []int // nil: all
	read func() ([]byte, error)

	mu   sync.Mutex
	last map[int]ticks // of the CPUs that were online, by number
}

// ticks are what a CPU has counted since the boot, in ticks.
type ticks struct{ busy, idle uint64 }

func (l *loadMeter) count() int {
	if l.cpus == nil {
		return runtime.NumCPU()
	}
	return len(l.cpus)
}

// sample returns the utilisation since the last sample, in percent, of the CPUs that were
// online at both; 0 if there is none, as at the first sample.
func (l *loadMeter) sample() (float64, error) {
	read := l.read
	if read == nil {
		read = func() ([]byte, error) { return os.ReadFile("/proc/stat") }
	}
	data, err := read()
	if err != nil {
		return 0, fmt.Errorf("measure the load of the CPUs: %w", err)
	}
	now, err := parseStat(string(data), l.cpus)
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var busy, total uint64
	for cpu, t := range now {
		before, ok := l.last[cpu]
		if !ok {
			continue
		}
		b := since(t.busy, before.busy)
		busy += b
		total += b + since(t.idle, before.idle)
	}
	l.last = now
	if total == 0 {
		return 0, nil
	}
	return 100 * float64(busy) / float64(total), nil
}

// since is by how much a counter has grown: the kernel's counters of idle CPUs may also
// go back a little.
func since(now, before uint64) uint64 { return max(now, before) - before }

// parseStat reads /proc/stat's per-CPU lines, of CPUs that are online. Idle and I/O wait
// are not busy; guest time is contained in user time.
func parseStat(stat string, cpus []int) (map[int]ticks, error) {
	all := map[int]ticks{}
	for line := range strings.Lines(stat) {
		f := strings.Fields(line)
		if len(f) < 9 || !strings.HasPrefix(f[0], "cpu") || f[0] == "cpu" {
			continue
		}
		wrong := func() error {
			return fmt.Errorf("measure the load of the CPUs: /proc/stat has the line %q", strings.TrimSpace(line))
		}
		cpu, err := strconv.Atoi(f[0][3:])
		if err != nil {
			return nil, wrong()
		}
		if cpus != nil && !slices.Contains(cpus, cpu) {
			continue
		}
		var t ticks
		for i, field := range f[1:9] {
			n, err := strconv.ParseUint(field, 10, 64)
			if err != nil {
				return nil, wrong()
			}
			if i == 3 || i == 4 {
				t.idle += n
			} else {
				t.busy += n
			}
		}
		all[cpu] = t
	}
	return all, nil
}
