// SPDX-License-Identifier: Apache-2.0

package cgrouptest

import (
	"fmt"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fickle is a hog that every millisecond changes its nice value, its scheduling policy and, where
// there are several, the CPUs that it may run on. In the end it may run on the last one only.
func fickle() {
	pin()
	fmt.Println("pinned")
	cpus := runtime.NumCPU()
	var last, two unix.CPUSet
	last.Set(cpus - 1)
	two.Set(cpus - 1)
	two.Set(max(cpus-2, 0))
	policies := [...]uintptr{unix.SCHED_NORMAL, unix.SCHED_BATCH}
	var param int32 // no real-time priority
	for i := 0; ; i++ {
		burn(time.Millisecond)
		must(syscall.RawSyscall(unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 0, uintptr(i%2)))
		must(syscall.RawSyscall(unix.SYS_SCHED_SETSCHEDULER, 0, policies[i%2], uintptr(unsafe.Pointer(&param))))
		for _, set := range []*unix.CPUSet{&two, &last} {
			must(syscall.RawSyscall(unix.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(*set), uintptr(unsafe.Pointer(set))))
		}
	}
}

// must is for system calls that cannot fail.
func must(_, _ uintptr, err syscall.Errno) {
	if err != 0 {
		panic(err)
	}
}
