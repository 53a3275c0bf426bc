// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bufio"
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

	mu          sync.Mutex
	busy, total uint64
}

func (l *loadMeter) count() int {
	if l.cpus == nil {
		return runtime.NumCPU()
	}
	return len(l.cpus)
}

// sample returns the utilisation since the last sample, in percent; 0 the
// first time.
func (l *loadMeter) sample() (float64, error) {
	read := l.read
	if read == nil {
		read = func() ([]byte, error) { return os.ReadFile("/proc/stat") }
	}
	data, err := read()
	if err != nil {
		return 0, fmt.Errorf("measure the load of the CPUs: %w", err)
	}
	busy, total, err := parseStat(string(data), l.cpus)
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	dBusy, dTotal := busy-l.busy, total-l.total
	first := l.total == 0
	l.busy, l.total = busy, total
	if first || dTotal == 0 {
		return 0, nil
	}
	return 100 * float64(dBusy) / float64(dTotal), nil
}

// parseStat sums /proc/stat's per-CPU lines, in ticks. Idle and I/O wait are
// not busy; guest time is contained in user time.
func parseStat(stat string, cpus []int) (busy, total uint64, err error) {
	sc := bufio.NewScanner(strings.NewReader(stat))
	for sc.Scan() {
		f := strings.Fields(sc.Text())
		if len(f) < 9 || !strings.HasPrefix(f[0], "cpu") || f[0] == "cpu" {
			continue
		}
		cpu, err := strconv.Atoi(f[0][3:])
		if err != nil {
			return 0, 0, fmt.Errorf("measure the load of the CPUs: /proc/stat has the line %q", sc.Text())
		}
		if cpus != nil && !slices.Contains(cpus, cpu) {
			continue
		}
		for i, field := range f[1:9] {
			n, err := strconv.ParseUint(field, 10, 64)
			if err != nil {
				return 0, 0, fmt.Errorf("measure the load of the CPUs: /proc/stat has the line %q", sc.Text())
			}
			total += n
			if i != 3 && i != 4 {
				busy += n
			}
		}
	}
	return busy, total, sc.Err()
}
