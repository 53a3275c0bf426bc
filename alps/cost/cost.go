// SPDX-License-Identifier: Apache-2.0

// Package cost measures what scheduling costs on the running kernel: a system
// call, a context switch between two cgroups, and what the hooks add to it.
//
// Times are of the kernel's clock. In a guest in virtual time that clock counts
// instructions, one per nanosecond, and the measurements repeat exactly.
package cost

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/internal/cgroup"
	"github.com/ds2-lab/alps/internal/clock"
)

// Switches is the cost of switching between two processes.
type Switches struct {
	Syscall time.Duration // getppid()
	Round   time.Duration // there and back over two pipes: two switches, four system calls
	Switch  time.Duration // half of a round, without its system calls
	Count   int           // of switches
}

// Bench is two cgroups with a process each, on one CPU. It must be closed.
type Bench struct {
	Groups [2]string // their directories
	made   []string  // cgroups, the parent first
	home   string    // cgroup of the calling process before
	peer   *exec.Cmd
	to     int // file descriptors
	from   int
}

const cgroupRoot = "/sys/fs/cgroup"

// NewBench makes the cgroups and moves the calling process into the first one. The
// calling thread is locked to the goroutine and to the last CPU from then on.
func NewBench() (*Bench, error) {
	runtime.LockOSThread()
	if err := pin(); err != nil {
		return nil, err
	}
	return newBench(cgroupRoot)
}

// newBench makes the cgroups below root, where cgroup v2 is mounted; all or none.
func newBench(root string) (*Bench, error) {
	if _, err := os.Stat(root + "/cgroup.controllers"); err != nil {
		return nil, fmt.Errorf("bench: no cgroup v2 at %s: %w", root, err)
	}
	b := &Bench{home: root}
	if path, err := cgroup.Of("/proc", "self"); err == nil {
		b.home = filepath.Join(root, path)
	}
	if err := b.begin(root); err != nil {
		b.Close() // the cause is what counts
		return nil, err
	}
	return b, nil
}

// begin makes the cgroups and starts the other process. What it made before it failed,
// Close removes.
func (b *Bench) begin(root string) error {
	if err := os.WriteFile(root+"/cgroup.subtree_control", []byte("+cpu"), 0o644); err != nil {
		return fmt.Errorf("bench: %w (root is needed)", err)
	}
	parent := filepath.Join(root, fmt.Sprintf("alpsbench%d", os.Getpid()))
	if err := b.make(parent); err != nil {
		return err
	}
	if err := os.WriteFile(parent+"/cgroup.subtree_control", []byte("+cpu"), 0o644); err != nil {
		return fmt.Errorf("bench: turn the CPU controller on: %w", err)
	}
	for i, name := range []string{"ping", "pong"} {
		b.Groups[i] = filepath.Join(parent, name)
		if err := b.make(b.Groups[i]); err != nil {
			return err
		}
	}
	return b.start()
}

// make makes a cgroup, which Close removes; one that is there is not ours.
func (b *Bench) make(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("bench: make a cgroup: %w", err)
	}
	b.made = append(b.made, dir)
	return nil
}

func (b *Bench) start() error {
	var there, back [2]int
	if err := errors.Join(unix.Pipe2(there[:], unix.O_CLOEXEC), unix.Pipe2(back[:], unix.O_CLOEXEC)); err != nil {
		return fmt.Errorf("bench: make the pipes to the other process: %w", err)
	}
	b.to, b.from = there[1], back[0]
	group, err := os.Open(b.Groups[1])
	if err != nil {
		return fmt.Errorf("bench: open the other process's cgroup: %w", err)
	}
	defer group.Close()
	in, out := os.NewFile(uintptr(there[0]), "in"), os.NewFile(uintptr(back[1]), "out")
	defer in.Close()
	defer out.Close()
	b.peer = exec.Command("/proc/self/exe")
	b.peer.Args = []string{pongName}
	b.peer.ExtraFiles = []*os.File{in, out}
	b.peer.Stderr = os.Stderr
	b.peer.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(group.Fd()), Pdeathsig: syscall.SIGKILL}
	if err := b.peer.Start(); err != nil {
		return fmt.Errorf("bench: start the other process: %w", err)
	}
	if err := os.WriteFile(b.Groups[0]+"/cgroup.procs", []byte("0"), 0o644); err != nil {
		return fmt.Errorf("bench: enter a cgroup: %w", err)
	}
	return nil
}

// pongName is how the other process knows itself.
const pongName = "alps-bench-pong"

// Main does not return if this process is the other one of a Bench.
func Main() {
	if os.Args[0] != pongName {
		return
	}
	runtime.LockOSThread()
	if err := pin(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var c byte
	for transfer(unix.SYS_READ, 3, &c) && transfer(unix.SYS_WRITE, 4, &c) {
	}
	os.Exit(0)
}

// transfer moves a byte by a bare system call: Go's scheduler must not notice.
func transfer(call uintptr, fd int, c *byte) bool {
	n, _, _ := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(c)), 1)
	return n == 1
}

// batches is how many batches are run. The quickest counts, because whatever else runs
// can only add time. They are short, so that one of them is without a tick.
const batches = 200

// Run goes n times, at least 200 (batches), there and back.
func (b *Bench) Run(n int) (Switches, error) {
	var c byte
	round := func() bool { return transfer(unix.SYS_WRITE, b.to, &c) && transfer(unix.SYS_READ, b.from, &c) }
	getppid := func() bool { syscall.RawSyscall(unix.SYS_GETPPID, 0, 0, 0); return true }
	best := func(f func() bool) (time.Duration, error) {
		quickest := time.Duration(math.MaxInt64)
		for range batches {
			begun := clock.Now()
			for range n / batches {
				if !f() {
					return 0, errors.New("bench: the other process is gone")
				}
			}
			quickest = min(quickest, clock.Now().Sub(begun)/time.Duration(n/batches))
		}
		return quickest, nil
	}
	var s Switches
	var errs [2]error
	s.Round, errs[0] = best(round)
	s.Syscall, errs[1] = best(getppid)
	s.Switch = s.Round/2 - 2*s.Syscall
	s.Count = 2 * (n / batches * batches)
	return s, errors.Join(errs[:]...)
}

// Close ends the other process and removes the cgroups.
func (b *Bench) Close() error {
	if b.to != b.from { // the pipes are there
		unix.Close(b.to)
		unix.Close(b.from)
	}
	if b.peer != nil && b.peer.Process != nil {
		b.peer.Process.Kill()
		b.peer.Wait()
	}
	errs := []error{os.WriteFile(b.home+"/cgroup.procs", []byte("0"), 0o644)}
	for _, dir := range slices.Backward(b.made) {
		errs = append(errs, os.Remove(dir))
	}
	return errors.Join(errs...)
}

// pin keeps the calling thread on the last CPU.
func pin() error {
	var set unix.CPUSet
	set.Set(runtime.NumCPU() - 1)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("bench: keep to the last CPU: %w", err)
	}
	return nil
}
