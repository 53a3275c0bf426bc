// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// CPUTime is the CPU time that the guest's QEMU has used on the host, with all its
// threads, to 10 ms. Other processes that compete for the host's CPUs hardly change it.
func (g *Guest) CPUTime() (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", g.qemu.PID))
	if err != nil {
		return 0, fmt.Errorf("vm: read QEMU's CPU time: %w", err)
	}
	return cpuTime(data)
}

// cpuTime reads the fields utime and stime of /proc/PID/stat, in ticks of 10 ms
// (USER_HZ is 100 on x86-64).
func cpuTime(stat []byte) (time.Duration, error) {
	const utime, stime = 11, 12 // among the fields behind the name, which may have anything in it
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) <= stime {
		return 0, fmt.Errorf("vm: /proc/PID/stat: %q", stat)
	}
	var sum time.Duration
	for _, i := range []int{utime, stime} {
		ticks, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("vm: /proc/PID/stat: %w", err)
		}
		sum += time.Duration(ticks) * 10 * time.Millisecond
	}
	return sum, nil
}
