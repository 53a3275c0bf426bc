// SPDX-License-Identifier: Apache-2.0

// Package cgrouptest lets a test binary start itself as the processes under test: CPU
// hogs, short tasks, functions with invocations, in cgroups. Guest tests call Main
// first in their TestMain.
package cgrouptest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ShortCPU is the CPU time that a short task and an invocation use.
const ShortCPU = 50 * time.Millisecond

// env is the environment variable with the part that this process plays.
const env = "ALPS_PLAY"

// Main does not return if this process was started to play a part.
func Main() {
	part, ok := map[string]func(){
		"hog": hog, "gaps": gaps, "short": short, "once": once, "parent": parent, "computing parent": computingParent, "forked hog": forkedHog, "family": family,
		"glutton": glutton, "threads": threads, "forked threads": forkedThreads, "server": server,
		"hogs": hogs, "disk": disk, "fickle": fickle, "waker": waker, "forked waker": forkedWaker, "restless": restless, "forked restless": forkedRestless, "forked parent": forkedParent, "service": service,
	}[os.Getenv(env)]
	if ok {
		part()
		os.Exit(0)
	}
}

// hog uses all the CPU time it gets, on one CPU. Nothing in its loop calls Go's own
// scheduler: on a slow host the scheduler puts the thread to sleep, and sleeping ends a
// time slice.
func hog() {
	pin()
	fmt.Println("pinned")
	for {
		spin(1 << 20)
	}
}

// Hogs is how many threads a process that plays hogs has that use CPU time.
const Hogs = 80

// hogs is a hog with many threads, which begin at the same time: before, each would wait for the time slices of all
// that are there.
func hogs() {
	runtime.GOMAXPROCS(Hogs + 1) // a thread that spins, or waits for the gate, never makes way for another of Go's
	var gate [2]int
	if err := unix.Pipe(gate[:]); err != nil {
		panic(err)
	}
	var pinned sync.WaitGroup
	for range Hogs - 1 {
		pinned.Add(1)
		go func() {
			pin()
			pinned.Done()
			b := []byte{0}
			_, _, _ = syscall.RawSyscall(unix.SYS_READ, uintptr(gate[0]), uintptr(unsafe.Pointer(unsafe.SliceData(b))), 1)
			for {
				spin(1 << 20)
			}
		}()
	}
	pinned.Wait()
	_ = unix.Close(gate[1])
	hog()
}

// restless is a hog with two more threads that wake up every millisecond and sleep again at once,
// as threads of a language's runtime do.
func restless() {
	for range 2 {
		go func() {
			pin()
			for {
				_ = unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil)
			}
		}()
	}
	hog()
}

// service wakes up every 2 ms and sleeps again at once, on one CPU.
func service() {
	pin()
	fmt.Println("pinned")
	for {
		_ = unix.Nanosleep(&unix.Timespec{Nsec: 2e6}, nil)
	}
}

// forkedRestless is a function's warm process with an invocation that plays restless.
func forkedRestless() { runForked("restless") }

// Gluttony is the memory that a glutton holds, in bytes.
const Gluttony = 64 << 20

// glutton is a hog that also holds Gluttony bytes of memory.
func glutton() {
	memory := make([]byte, Gluttony)
	for i := 0; i < len(memory); i += os.Getpagesize() {
		memory[i] = 1
	}
	hog()
	runtime.KeepAlive(memory)
}

// Threads is how many threads a process that plays threads has at least.
const Threads = 100

// threads has many threads, all of which sleep for good.
func threads() {
	var ready sync.WaitGroup
	for range Threads {
		ready.Add(1)
		go func() {
			runtime.LockOSThread()
			ready.Done()
			for {
				_ = unix.Pause()
			}
		}()
	}
	ready.Wait()
	fmt.Println("ready")
	for {
		_ = unix.Pause()
	}
}

// forkedThreads is a function's warm process with an invocation that plays threads.
func forkedThreads() { runForked("threads") }

// DiskCPU is the CPU time that a process that plays disk uses for each byte that it reads.
const DiskCPU = 100 * time.Millisecond

// disk uses DiskCPU for every byte that it reads, a millisecond at a time, and prints how long that took, in ns. In
// between it waits for the disk, where no signal wakes it.
func disk() {
	pin()
	fd, block := onDisk()
	for b := []byte{0}; ; {
		if n, _, _ := syscall.RawSyscall(unix.SYS_READ, 0, uintptr(unsafe.Pointer(unsafe.SliceData(b))), 1); n != 1 {
			return
		}
		begun := readClock(unix.CLOCK_MONOTONIC)
		for range DiskCPU / time.Millisecond {
			burn(time.Millisecond)
			must(syscall.RawSyscall6(unix.SYS_PREAD64, fd, block, blockSize, 0, 0, 0))
		}
		fmt.Println(readClock(unix.CLOCK_MONOTONIC) - begun)
	}
}

const blockSize = 4096

// onDisk makes a file of a block that is read past all caches, and memory to read it into.
func onDisk() (fd, block uintptr) {
	file, err := os.CreateTemp("/var/tmp", "alps-disk-") // /tmp may have no disk
	if err == nil {
		_, err = file.Write(make([]byte, blockSize))
	}
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		panic(err)
	}
	n, err := unix.Open(file.Name(), unix.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		panic(err)
	}
	_ = os.Remove(file.Name())
	memory, err := unix.Mmap(-1, 0, blockSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS) // aligned
	if err != nil {
		panic(err)
	}
	return uintptr(n), uintptr(unsafe.Pointer(unsafe.SliceData(memory)))
}

// forkedWaker is a function's warm process with an invocation that plays waker.
func forkedWaker() { runForked("waker") }

// waker wakes another thread of its own through a pipe, again and again, and uses 2 * ShortCPU each time before it
// sleeps. The other thread has slept on the same CPU, and may run on all. waker prints how long each wait was, in ns.
func waker() {
	runtime.GOMAXPROCS(4) // the other thread keeps one of them
	var pipe [2]int
	if err := unix.Pipe(pipe[:]); err != nil {
		panic(err)
	}
	var woken atomic.Int64
	thread := make(chan int)
	b := []byte{0}
	go func() {
		runtime.LockOSThread()
		thread <- unix.Gettid()
		for b := []byte{0}; ; {
			pin()
			_, _, _ = syscall.RawSyscall(unix.SYS_READ, uintptr(pipe[0]), uintptr(unsafe.Pointer(unsafe.SliceData(b))), 1)
			woken.Store(readClock(unix.CLOCK_MONOTONIC))
		}
	}()
	other := <-thread
	pin()
	var all unix.CPUSet
	for i := range runtime.NumCPU() {
		all.Set(i)
	}
	sleep := func(d time.Duration) { _ = unix.Nanosleep(&unix.Timespec{Nsec: int64(d)}, nil) }
	for {
		sleep(ShortCPU)
		_ = unix.SchedSetaffinity(other, &all)
		woken.Store(0)
		begun := readClock(unix.CLOCK_MONOTONIC)
		_, _, _ = syscall.RawSyscall(unix.SYS_WRITE, uintptr(pipe[1]), uintptr(unsafe.Pointer(unsafe.SliceData(b))), 1)
		burn(2 * ShortCPU)
		for woken.Load() == 0 {
			sleep(time.Millisecond)
		}
		fmt.Println(woken.Load() - begun)
	}
}

// gaps is a hog on the same CPU. For every byte that it reads it prints, in ns, the longest time
// that it waited for the CPU since the byte before. It has one thread and makes bare system calls:
// a wait in Go's own scheduler would be taken for one of the kernel's.
func gaps() {
	pin()
	call := func(nr, fd uintptr, b []byte) bool {
		n, _, _ := syscall.RawSyscall(nr, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		return int(n) == len(b)
	}
	_ = unix.SetNonblock(0, true)
	call(unix.SYS_WRITE, 1, []byte("ready\n"))
	asked := make([]byte, 1)
	var longest int64
	for last := readClock(unix.CLOCK_MONOTONIC); ; {
		for range 200 { // so that reading does not take longer than spinning
			now := readClock(unix.CLOCK_MONOTONIC)
			longest = max(longest, now-last)
			last = now
			spin(2000)
		}
		if call(unix.SYS_READ, 0, asked) {
			call(unix.SYS_WRITE, 1, fmt.Appendln(nil, longest))
			longest = 0
		}
	}
}

// short uses ShortCPU again and again, with pauses of twice that time, and prints how
// long each use took, in ns.
func short() {
	pin()
	for {
		begun := time.Now()
		burn(ShortCPU)
		fmt.Println(time.Since(begun).Nanoseconds())
		time.Sleep(2 * ShortCPU)
	}
}

func once() {
	pin()
	burn(ShortCPU)
}

// parent is a function's warm process: for every line it reads it forks an
// invocation, and prints the invocation's pid and resource usage.
func parent() {
	for sc := bufio.NewScanner(os.Stdin); sc.Scan(); {
		report(run("once"))
	}
}

// ParentCPU is the CPU time that a process that plays computing parent uses for each line, after its invocation.
const ParentCPU = 6 * ShortCPU

// computingParent is a parent that computes as well.
func computingParent() {
	for sc := bufio.NewScanner(os.Stdin); sc.Scan(); {
		p := run("once")
		burn(ParentCPU)
		report(p)
	}
}

// forkedHog is a function's warm process with one invocation that never ends.
func forkedHog() { runForked("hog") }

// forkedParent is a first process that has started a function's warm process.
func forkedParent() { runForked("parent") }

func runForked(part string) {
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), env+"="+part)
	c.Stdin, c.Stdout = os.Stdin, os.Stdout
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Run(); err != nil {
		panic(err)
	}
}

// family is a warm process with one invocation that has a second thread and a
// child, each of which uses ShortCPU.
func family() {
	if os.Getenv("ALPS_DEPTH") == "" {
		os.Setenv("ALPS_DEPTH", "1")
		report(run("family"))
		return
	}
	pin()
	var wg sync.WaitGroup
	wg.Go(func() {
		pin()
		burn(ShortCPU)
	})
	burn(ShortCPU)
	wg.Wait()
	run("once")
}

func run(part string) *os.ProcessState {
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), env+"="+part)
	if err := c.Run(); err != nil {
		panic(err)
	}
	return c.ProcessState
}

// report prints a process's pid, and, as the kernel accounts them, the CPU time (ns) and the context switches of the
// process and the children that it waited for.
func report(p *os.ProcessState) {
	ru := p.SysUsage().(*syscall.Rusage)
	fmt.Println(p.Pid(), ru.Utime.Nano()+ru.Stime.Nano(), ru.Nvcsw, ru.Nivcsw)
}

// pin keeps the calling thread on the last CPU, or on the one that ALPS_CPU names; with -1 on any.
func pin() {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(runtime.NumCPU() - 1)
	if n, err := strconv.Atoi(os.Getenv("ALPS_CPU")); err == nil {
		if n < 0 {
			return
		}
		set.Zero()
		set.Set(n)
	}
	_ = unix.SchedSetaffinity(0, &set)
}

// burn uses d of this thread's CPU time. Like readClock it gives Go's scheduler no chance to act.
//
//go:nosplit
func burn(d time.Duration) {
	for end := readClock(unix.CLOCK_THREAD_CPUTIME_ID) + int64(d); readClock(unix.CLOCK_THREAD_CPUTIME_ID) < end; {
		spin(20000)
	}
}

// readClock reads a clock, in ns. It has no point at which Go's scheduler could take the
// thread off the CPU for a moment. The scheduler would do so every 10 ms where another CPU
// is free to ask for it, and sleeping ends a time slice.
//
//go:nosplit
func readClock(id int32) int64 {
	var ts unix.Timespec
	_, _, _ = syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, uintptr(id), uintptr(unsafe.Pointer(&ts)), 0) // cannot fail for these clocks
	return ts.Sec*1e9 + ts.Nsec
}

func spin(n int) {
	x := 0
	for i := range n {
		x ^= i
	}
	runtime.KeepAlive(x) // else there is nothing to compute
}
