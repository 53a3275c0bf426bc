// SPDX-License-Identifier: Apache-2.0

package loadgen

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	alpsclient "github.com/ds2-lab/alps/alps/client"
)

// classes are the kernel's real-time policies, by the mode's name. Under them
// the daemon observes only.
var classes = map[string]uint32{"fifo": unix.SCHED_FIFO, "rr": unix.SCHED_RR}

// Priorities while functions are real-time. A function's server accepts and forks
// at serverPriority; each invocation lowers its own to one below (openlambda/sandbox).
// The rest of user space, which brings the requests, must wait for neither, least of
// all on a CPU that it shares with them. Kernel threads stay as they are: they get
// the time that the kernel's limit on real-time leaves (sched_rt_runtime_us).
const (
	systemPriority = 3
	serverPriority = 2
)

// realTime puts the functions under a real-time policy, and the system above them, until undo.
func realTime(class uint32, functions []alpsclient.FunctionStatus) (undo func() error, err error) {
	var servers []int
	for _, f := range functions {
		tasks, err := tasksOf(filepath.Join("/sys/fs/cgroup", f.Cgroup))
		if err != nil {
			return nil, fmt.Errorf("function %s: %w", f.UID, err)
		}
		servers = append(servers, tasks...)
	}
	system, err := systemTasks("/proc", servers)
	if err != nil {
		return nil, err
	}
	undo = func() error {
		all, err := systemTasks("/proc", nil) // with those born meanwhile
		return errors.Join(err, setPolicy(all, unix.SCHED_NORMAL, 0))
	}
	// The system first: this process is part of it.
	if err := errors.Join(setPolicy(system, unix.SCHED_RR, systemPriority), setPolicy(servers, class, serverPriority)); err != nil {
		return nil, errors.Join(err, undo())
	}
	return undo, nil
}

// setPolicy sets the policy of threads; it skips those that have ended.
func setPolicy(tasks []int, policy, priority uint32) error {
	for _, tid := range tasks {
		attr, err := unix.SchedGetAttr(tid, 0)
		if err == nil && attr.Policy != policy {
			// The nice value stays, for when the thread is normal again.
			err = unix.SchedSetAttr(tid, &unix.SchedAttr{Policy: policy, Priority: priority, Nice: attr.Nice}, 0)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("thread %d: policy %d, priority %d: %w", tid, policy, priority, err)
		}
	}
	return nil
}

// tasksOf are the threads in a cgroup and those below it.
func tasksOf(cgroup string) (tasks []int, err error) {
	err = filepath.WalkDir(cgroup, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(path, "cgroup.threads"))
		if err != nil {
			return err
		}
		for line := range strings.FieldsSeq(string(data)) {
			tid, err := strconv.Atoi(line)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			tasks = append(tasks, tid)
		}
		return nil
	})
	return tasks, err
}

// kthreadd is the parent of the kernel's threads.
const kthreadd = 2

// systemTasks are the threads of all processes but the kernel's and others.
func systemTasks(proc string, others []int) (tasks []int, err error) {
	threads, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "task", "[0-9]*"))
	if err != nil {
		return nil, err
	}
	for _, t := range threads {
		tid, err := strconv.Atoi(filepath.Base(t))
		if err != nil {
			return nil, err
		}
		stat, err := os.ReadFile(filepath.Join(t, "stat"))
		if err != nil {
			continue // gone
		}
		// After the name, which may have anything in it: state and parent.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 2 {
			return nil, fmt.Errorf("%s/stat: %q", t, stat)
		}
		if parent := fields[1]; tid != kthreadd && parent != strconv.Itoa(kthreadd) && !slices.Contains(others, tid) {
			tasks = append(tasks, tid)
		}
	}
	return tasks, nil
}
