package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/internal/cache"
)

// order has QEMU's two threads take turns in the order that virtual time needs.
//
// When the guest halts, the main thread moves the clock to the next timer. It may
// look just after the CPU's thread has halted and before that has told how many
// instructions it ran, and then moves the clock too far by as many: two runs of
// the same differed by some nanoseconds in about one of five. So both share a
// CPU of the host, and the main thread, which has little to do, goes first.
func (m *Machine) order() error {
	cpu, err := m.takeCPU()
	if err != nil {
		return err
	}
	var set unix.CPUSet
	set.Set(cpu)
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", m.qemu.PID))
	if err != nil {
		return fmt.Errorf("vm: %w", err)
	}
	for _, t := range tasks {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			return fmt.Errorf("vm: %w", err)
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("vm: put QEMU on CPU %d: %w", cpu, err)
		}
	}
	err = unix.SchedSetAttr(m.qemu.PID, &unix.SchedAttr{Flags: unix.SCHED_FLAG_RESET_ON_FORK, Policy: unix.SCHED_FIFO, Priority: 1}, 0)
	if errors.Is(err, unix.EPERM) {
		return nil // a thread that mostly sleeps goes first mostly
	}
	if err != nil {
		return fmt.Errorf("vm: QEMU's priority: %w", err)
	}
	return nil
}

// takeCPU finds a CPU of the host that no other guest has taken in this way; one
// of those taken if there is none.
func (m *Machine) takeCPU() (int, error) {
	if len(m.Config.Pin) > 0 {
		return m.Config.Pin[0], nil
	}
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return 0, fmt.Errorf("vm: %w", err)
	}
	dir, err := cache.Dir("run")
	if err != nil {
		return 0, err
	}
	var cpus []int
	for cpu := 0; len(cpus) < allowed.Count(); cpu++ {
		if allowed.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	for _, cpu := range cpus {
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("cpu%d.lock", cpu)), os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return 0, fmt.Errorf("vm: %w", err)
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			m.cpuLock = f
			return cpu, nil
		}
		f.Close()
	}
	return cpus[m.qemu.PID%len(cpus)], nil
}

// run lets a guest run that was started silently.
func (m *Machine) run(ctx context.Context) error {
	if m.Config.Accel == ICount {
		if err := m.order(); err != nil {
			return err
		}
	}
	if _, err := m.monitor.Do(ctx, "cont", nil); err != nil {
		return fmt.Errorf("vm: %w", err)
	}
	return nil
}
