// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"context"
	"encoding/json"
	"fmt"

	"golang.org/x/sys/unix"
)

// pin puts the threads that run the guest's CPUs on the host's CPUs in Config.Pin.
func (g *Guest) pin(ctx context.Context) error {
	if len(g.Config.Pin) == 0 {
		return nil
	}
	threads, err := g.cpuThreads(ctx)
	if err != nil {
		return err
	}
	for i, tid := range threads {
		cpu := g.Config.Pin[i%len(g.Config.Pin)]
		var set unix.CPUSet
		set.Set(cpu)
		if err := unix.SchedSetaffinity(tid, &set); err != nil {
			return fmt.Errorf("pin the guest's CPU %d to the host's %d: %w", i, cpu, err)
		}
	}
	return nil
}

// cpuThreads are the threads of QEMU that run the guest's CPUs, in the CPUs' order. A
// thread that runs them all is listed once per CPU.
func (g *Guest) cpuThreads(ctx context.Context) ([]int, error) {
	raw, err := g.monitor.Do(ctx, "query-cpus-fast", nil)
	if err != nil {
		return nil, err
	}
	var cpus []struct {
		Thread int `json:"thread-id"`
	}
	if err := json.Unmarshal(raw, &cpus); err != nil {
		return nil, fmt.Errorf("query-cpus-fast: %w", err)
	}
	var threads []int
	for _, c := range cpus {
		threads = append(threads, c.Thread)
	}
	return threads, nil
}
