// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// cpuTime is the CPU time that a process has used, also in threads that have ended, without its children.
func cpuTime(t *testing.T, pid int) time.Duration {
	const schedClock = 2 // of a process: CPUCLOCK_SCHED of include/linux/posix-timers.h
	var ts unix.Timespec
	require.NoError(t, unix.ClockGettime(int32(^pid<<3|schedClock), &ts))
	return time.Duration(ts.Nano())
}

// The CPU time of a modelled platform (PLATFORM) is the server's, not the invocation's.
func TestPlatformTimeIsUsedBeforeTheInvocation(t *testing.T) {
	used := func(platformUS string) time.Duration {
		s := startCode(t, "import time\ndef main(n, rounds):\n    return time.process_time_ns()\n", "fork", "normal", "1", platformUS)
		before := cpuTime(t, s.pid)
		for range 5 {
			code, body := s.post(`{"n": 1}`)
			require.Equal(t, 200, code, body)
			invocation, err := strconv.ParseInt(strings.Fields(body)[0], 10, 64)
			require.NoError(t, err)
			require.Less(t, time.Duration(invocation), 40*time.Millisecond)
		}
		return cpuTime(t, s.pid) - before
	}
	require.Less(t, used("0"), 150*time.Millisecond)
	require.GreaterOrEqual(t, used("50000"), 250*time.Millisecond)
}

// Requests use the platform's CPU time beside each other, as interpreters that start do.
func TestPlatformServesRequestsSideBySide(t *testing.T) {
	const requests = 5
	s := startCode(t, "def main(n, rounds):\n    return n\n", "fork", "normal", "1", "500000")
	var wg sync.WaitGroup
	for range requests {
		wg.Go(func() {
			code, body := s.post(`{"n": 1}`)
			assert.Equal(t, 200, code, body)
		})
	}
	require.Eventually(t, func() bool {
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", s.pid))
		return err == nil && len(threads) == 1+requests
	}, 10*time.Second, 10*time.Millisecond)
	wg.Wait()
}
