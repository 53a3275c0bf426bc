// SPDX-License-Identifier: Apache-2.0

package scx

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// queuesOf is the queue of each of n CPUs, and how many queues there are.
func queuesOf(given []uint32, n int) (queues [maxCPUs]uint32, count uint32, err error) {
	if n > maxCPUs {
		return queues, 0, fmt.Errorf("%d CPUs: at most %d", n, maxCPUs)
	}
	if given == nil && n > oneQueue {
		given = cacheQueues("/sys/devices/system/cpu", n)
	}
	copy(queues[:], given)
	count = 1 + slices.Max(queues[:])
	if count > maxQueues {
		return queues, 0, fmt.Errorf("%d queues: at most %d", count, maxQueues)
	}
	return queues, count, nil
}

// cacheQueues gives CPUs that share their last-level cache a queue. Those that
// the kernel says nothing of, and those of more caches than there can be queues,
// share the last.
func cacheQueues(sys string, n int) []uint32 {
	queues := make([]uint32, n)
	known := map[string]uint32{}
	for cpu := range n {
		shared := ""
		for _, level := range []string{"index3", "index2"} {
			data, err := os.ReadFile(filepath.Join(sys, fmt.Sprintf("cpu%d", cpu), "cache", level, "shared_cpu_list"))
			if err == nil {
				shared = strings.TrimSpace(string(data))
				break
			}
		}
		q, ok := known[shared]
		if !ok {
			q = min(uint32(len(known)), maxQueues-1)
			known[shared] = q
		}
		queues[cpu] = q
	}
	return queues
}
