// SPDX-License-Identifier: Apache-2.0

package cgrouptest

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/internal/clock"
)

// envThreads is the environment variable with how many threads a process that plays server has for requests.
const envThreads = "ALPS_THREADS"

// Request is a request to a process that plays server, which uses CPU time, pauses, and uses CPU time again.
type Request struct {
	CPU   time.Duration // each of the two times
	Pause time.Duration
}

// Served is what the server's own thread says of a request.
type Served struct {
	TID        uint32
	Begin, End clock.KTime
	CPU        time.Duration // CPU time that the thread used for it
}

// Server starts a process in the cgroup at dir that serves requests in so many threads;
// with one thread it serves them in a child process. When Server returns the threads, or
// the child, are there.
func (p Parent) Server(dir string, threads int) Process {
	p.t.Setenv(envThreads, strconv.Itoa(threads))
	s := p.Start(dir, "server")
	require.True(p.t, s.Scan())
	return s
}

// Send gives the server a request.
func (p Process) Send(t *testing.T, r Request) {
	b := binary.LittleEndian.AppendUint64(nil, uint64(r.CPU))
	_, err := p.Stdin.Write(binary.LittleEndian.AppendUint64(b, uint64(r.Pause)))
	require.NoError(t, err)
}

// Answer is the server's next answer; it waits for it.
func (p Process) Answer(t *testing.T) (s Served) {
	require.True(t, p.Scan(), "the server has ended")
	_, err := fmt.Sscan(p.Text(), &s.TID, (*uint64)(&s.Begin), (*uint64)(&s.End), (*int64)(&s.CPU))
	require.NoError(t, err)
	return s
}

// server serves requests of 16 bytes from its input. With one thread a child serves
// them, in which nothing else runs. With several they are threads of Go's runtime,
// which has others beside them that wake now and then.
func server() {
	n, err := strconv.Atoi(os.Getenv(envThreads))
	if err != nil {
		panic(err)
	}
	_ = unix.SetNonblock(0, false)
	if n == 1 {
		serveInChild()
		return
	}
	runtime.GOMAXPROCS(n)
	var ready sync.WaitGroup
	for range n {
		ready.Add(1)
		go func() {
			runtime.LockOSThread()
			ready.Done()
			serve(syscall.Syscall)
			os.Exit(0)
		}()
	}
	ready.Wait()
	fmt.Println("ready")
	select {}
}

// serveInChild forks without exec. The child has the calling thread only, so it
// may do nothing for which Go's scheduler or allocator is needed.
func serveInChild() {
	runtime.LockOSThread()
	ready := []byte("ready\n")
	runtime.Gosched() // a request to make way that is still open would stop the child for good: it has no scheduler
	pid, _, errno := syscall.RawSyscall(unix.SYS_FORK, 0, 0, 0)
	if errno != 0 {
		panic(errno)
	}
	if pid == 0 {
		_, _, _ = syscall.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0)
		_, _, _ = syscall.RawSyscall(unix.SYS_WRITE, 1, uintptr(unsafe.Pointer(unsafe.SliceData(ready))), uintptr(len(ready)))
		serve(syscall.RawSyscall)
		_, _, _ = syscall.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	_, _ = unix.Wait4(int(pid), nil, 0, nil)
}

// serve serves requests until the input ends. It makes its system calls that may sleep by call.
func serve(call func(nr, a, b, c uintptr) (r1, r2 uintptr, err syscall.Errno)) {
	var request [16]byte
	var line [128]byte
	tid, _, _ := syscall.RawSyscall(unix.SYS_GETTID, 0, 0, 0)
	for {
		if n, _, _ := call(unix.SYS_READ, 0, uintptr(unsafe.Pointer(&request)), uintptr(len(request))); int(n) != len(request) {
			return
		}
		begin, cpu := readClock(unix.CLOCK_MONOTONIC), readClock(unix.CLOCK_THREAD_CPUTIME_ID)
		each := time.Duration(binary.LittleEndian.Uint64(request[:]))
		burn(each)
		if pause := binary.LittleEndian.Uint64(request[8:]); pause > 0 {
			ts := unix.NsecToTimespec(int64(pause))
			_, _, _ = call(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
		}
		burn(each)
		out := line[:0]
		for _, n := range [...]int64{int64(tid), begin, readClock(unix.CLOCK_MONOTONIC), readClock(unix.CLOCK_THREAD_CPUTIME_ID) - cpu} {
			out = append(strconv.AppendInt(out, n, 10), ' ')
		}
		out = append(out, '\n')
		if _, _, err := call(unix.SYS_WRITE, 1, uintptr(unsafe.Pointer(unsafe.SliceData(out))), uintptr(len(out))); err != 0 {
			return
		}
	}
}
