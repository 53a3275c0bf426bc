// SPDX-License-Identifier: Apache-2.0

package cgrouptest

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/internal/cgroup"
)

// Parent is a cgroup for one test, the parent of those that compete.
type Parent struct {
	t   *testing.T
	Dir string
}

var made int

// NewParent makes a cgroup below the root of cgroup v2, and removes it when the test ends.
func NewParent(t *testing.T) Parent {
	const root = "/sys/fs/cgroup"
	_ = os.WriteFile(root+"/cgroup.subtree_control", []byte("+cpu"), 0o644)
	made++
	p := Parent{t, fmt.Sprintf("%s/alpstest%d-%d", root, os.Getpid(), made)}
	p.make(p.Dir)
	return p
}

func (p Parent) make(dir string) {
	require.NoError(p.t, os.Mkdir(dir, 0o755))
	p.t.Cleanup(func() {
		for range 50 {
			if os.Remove(dir) == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
}

// Group makes a cgroup below the parent, removes it when the test ends, and returns its
// directory. name may be a path below a cgroup made before. Inner cgroups get the CPU
// controller too.
func (p Parent) Group(name string) string {
	dir := filepath.Join(p.Dir, name)
	require.NoError(p.t, os.WriteFile(filepath.Dir(dir)+"/cgroup.subtree_control", []byte("+cpu"), 0o644))
	p.make(dir)
	return dir
}

// Process is this binary, started to play a part (see Main).
type Process struct {
	*bufio.Scanner // of its standard output, by lines
	Stdin          io.Writer
	PID            int
}

// Start runs this binary in the cgroup at dir, where it plays part until the test ends.
func (p Parent) Start(dir, part string) Process {
	fd, err := os.Open(dir)
	require.NoError(p.t, err)
	defer fd.Close()
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), env+"="+part, "GOMAXPROCS=1", "GOGC=off", "GODEBUG=asyncpreemptoff=1")
	c.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(fd.Fd()), Pdeathsig: syscall.SIGKILL}
	out, err := c.StdoutPipe()
	require.NoError(p.t, err)
	in, err := c.StdinPipe()
	require.NoError(p.t, err)
	require.NoError(p.t, c.Start())
	p.t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	return Process{bufio.NewScanner(out), in, c.Process.Pid}
}

// Hog starts a CPU-bound process in the cgroup at dir, and returns when the process is pinned to its CPU.
func (p Parent) Hog(dir string) Process {
	h := p.Start(dir, "hog")
	require.True(p.t, h.Scan())
	return h
}

// Invoke asks a process that plays parent for n invocations, one after the
// other, and returns what the kernel says each used, by pid.
func (p Process) Invoke(t *testing.T, n int) map[uint32]Used {
	all := map[uint32]Used{}
	for range n {
		pid, u, err := p.InvokeOnce()
		require.NoError(t, err)
		all[pid] = u
	}
	return all
}

// InvokeOnce is Invoke for goroutines that are not the test's own.
func (p Process) InvokeOnce() (pid uint32, u Used, err error) {
	if _, err := io.WriteString(p.Stdin, "\n"); err != nil {
		return 0, Used{}, err
	}
	return p.used()
}

// Used is a process's resource usage.
type Used struct {
	CPU        time.Duration
	Vol, Invol uint32 // context switches: voluntary, and not
}

// Used reads the next line, in which p reports of a process that has ended.
func (p Process) Used(t *testing.T) (pid uint32, u Used) {
	pid, u, err := p.used()
	require.NoError(t, err)
	return pid, u
}

func (p Process) used() (pid uint32, u Used, err error) {
	if !p.Scan() {
		return 0, Used{}, fmt.Errorf("process %d says no more: %w", p.PID, cmp.Or(p.Err(), io.ErrUnexpectedEOF))
	}
	_, err = fmt.Sscan(p.Text(), &pid, (*int64)(&u.CPU), &u.Vol, &u.Invol)
	return pid, u, err
}

// Numbers reads n lines of one number each.
func (p Process) Numbers(t *testing.T, n int) []int {
	var all []int
	for len(all) < n && p.Scan() {
		v, err := strconv.Atoi(p.Text())
		require.NoError(t, err)
		all = append(all, v)
	}
	require.Len(t, all, n)
	return all
}

// Turnaround is the median of the next n turnarounds of a process that plays short, rounded to 1 ms.
func (p Process) Turnaround(t *testing.T, n int) time.Duration {
	all := p.Numbers(t, n)
	slices.Sort(all)
	return time.Duration(all[n/2]).Round(time.Millisecond)
}

// Longest asks a process that plays gaps for how long it waited at most since
// it was asked before.
func (p Process) Longest(t *testing.T) time.Duration {
	_, err := io.WriteString(p.Stdin, "?")
	require.NoError(t, err)
	return time.Duration(p.Numbers(t, 1)[0])
}

// Usage is the CPU time that the processes of a cgroup have used.
func Usage(t *testing.T, dir string) time.Duration {
	us, err := cgroup.Value(dir+"/cpu.stat", "usage_usec")
	require.NoError(t, err)
	return time.Duration(us) * time.Microsecond
}

// Shares lets the processes of the cgroups at dirs run for d, and returns each cgroup's part (0 to 1) of the CPU time
// that all of them used.
func Shares(t *testing.T, dirs []string, d time.Duration) []float64 {
	before := make([]time.Duration, len(dirs))
	for i, dir := range dirs {
		before[i] = Usage(t, dir)
	}
	time.Sleep(d)
	var total time.Duration
	used := make([]time.Duration, len(dirs))
	for i, dir := range dirs {
		used[i] = Usage(t, dir) - before[i]
		total += used[i]
	}
	out := make([]float64, len(dirs))
	for i := range dirs {
		out[i] = float64(used[i]) / float64(total)
	}
	return out
}

// KeepOnLastCPU keeps all threads that a process has on the last CPU.
func KeepOnLastCPU(t *testing.T, pid int) { KeepOnCPU(t, pid, runtime.NumCPU()-1) }

// KeepOnCPU keeps all threads that a process has on CPUs.
func KeepOnCPU(t *testing.T, pid int, cpus ...int) {
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	require.NoError(t, err)
	for _, thread := range threads {
		tid, err := strconv.Atoi(thread.Name())
		require.NoError(t, err)
		require.NoError(t, unix.SchedSetaffinity(tid, &set))
	}
}
