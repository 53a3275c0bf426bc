// SPDX-License-Identifier: Apache-2.0

// Package clock is the kernel's monotonic clock, which dates all events of the
// kernel: bpf_ktime_get_ns() there, CLOCK_MONOTONIC here.
package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// KTime is a time of CLOCK_MONOTONIC in nanoseconds since the kernel's boot, or
// of a simulation's virtual clock since its begin. It does not go on while the
// host sleeps. Never compare it with time.Time.
type KTime uint64

// Add is t moved by d.
func (t KTime) Add(d time.Duration) KTime { return t + KTime(d) }

// Sub is the time from u to t; negative if u is later.
func (t KTime) Sub(u KTime) time.Duration { return time.Duration(t - u) }

// Now reads CLOCK_MONOTONIC.
func Now() KTime { return read(unix.CLOCK_MONOTONIC) }

// SinceBoot reads CLOCK_BOOTTIME, which goes on while the host sleeps.
func SinceBoot() KTime { return read(unix.CLOCK_BOOTTIME) }

// ThreadCPU is the CPU time that the calling thread has used.
func ThreadCPU() time.Duration { return time.Duration(read(unix.CLOCK_THREAD_CPUTIME_ID)) }

func read(id int32) KTime {
	var ts unix.Timespec
	_ = unix.ClockGettime(id, &ts) // cannot fail for the clocks above
	return KTime(ts.Nano())
}
