// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Program is what one of the programs costs.
type Program struct {
	Name    string
	Hook    bool   // on CFS's decisions, not only observing
	JITed   uint32 // bytes
	Calls   uint64
	Runtime time.Duration // of all calls, with the two looks at the clock around each
}

// Mean is the time of one call.
func (p Program) Mean() time.Duration {
	if p.Calls == 0 {
		return 0
	}
	return p.Runtime / time.Duration(p.Calls)
}

// Measure runs f while the kernel counts the calls of the programs.
func (b *Backend) Measure(f func() error) ([]Program, error) {
	stop, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		return nil, fmt.Errorf("BPF statistics: %w", err)
	}
	defer stop.Close()
	before, err := b.programs()
	if err != nil {
		return nil, err
	}
	if err := f(); err != nil {
		return nil, err
	}
	after, err := b.programs()
	if err != nil {
		return nil, err
	}
	for i := range after {
		after[i].Calls -= before[i].Calls
		after[i].Runtime -= before[i].Runtime
	}
	return after, nil
}

func (b *Backend) programs() ([]Program, error) {
	var all []Program
	for _, p := range []struct {
		what string
		hook bool
		prog *ebpf.Program
	}{
		{"order hook", true, b.hooks.AlpsBias}, {"slice hook", true, b.hooks.AlpsSlice},
		{"observer: switch", false, b.progs.ObserveSwitch}, {"observer: fork", false, b.progs.ObserveFork},
		{"observer: exec", false, b.progs.ObserveExec}, {"observer: rmdir", false, b.progs.Forget},
		{"observer: signal", false, b.progs.ObserveSignal}, {"observer: exit", false, b.progs.ObserveExit},
		{"observer: wakeup of a new task", false, b.hooks.ObserveWakeupNew}, {"observer: migration", false, b.hooks.ObserveMigrate},
		{"observer: wakeup", false, b.progs.ObserveWakeup},
	} {
		if p.prog == nil {
			continue // a kernel without hooks
		}
		s, err := p.prog.Stats()
		if err != nil {
			return nil, fmt.Errorf("BPF statistics of the %s: %w", p.what, err)
		}
		info, err := p.prog.Info()
		if err != nil {
			return nil, fmt.Errorf("BPF statistics of the %s: %w", p.what, err)
		}
		size, err := info.JitedSize()
		if err != nil {
			return nil, fmt.Errorf("BPF statistics of the %s: %w", p.what, err)
		}
		all = append(all, Program{Name: p.what, Hook: p.hook, JITed: size, Calls: s.RunCount, Runtime: s.Runtime})
	}
	return all, nil
}
