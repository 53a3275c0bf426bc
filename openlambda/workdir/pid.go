// SPDX-License-Identifier: Apache-2.0

package workdir

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/openlambda/config"
)

// Alive says whether a process exists.
func Alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// Running returns the pid in worker.pid if its process lives, else 0. found
// says whether there is such a file; one that no worker has written is an error.
func Running(c config.Config) (pid int, found bool, err error) {
	data, err := os.ReadFile(PIDFile(c))
	if errors.Is(err, os.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, true, err
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 0 {
		return 0, true, fmt.Errorf("%s holds %.20q, which no worker has written: remove it, or choose another worker_dir", PIDFile(c), data)
	}
	st, err := os.Stat(PIDFile(c))
	if err != nil {
		return 0, false, nil // removed at this moment
	}
	if !Alive(pid) || startedAfter(pid, st.ModTime()) {
		return 0, true, nil
	}
	return pid, true, nil
}

// startedAfter says whether the process pid began more than 2 s after moment; less may be
// a difference of clocks. If it did, another process had the number pid at that moment.
func startedAfter(pid int, moment time.Time) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	uptime, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return false
	}
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // from the third field on
	if len(f) < 20 {
		return false
	}
	ticks, err := strconv.ParseInt(f[19], 10, 64) // field 22, since boot, 100 a second
	if err != nil {
		return false
	}
	var up float64
	if _, err := fmt.Sscan(string(uptime), &up); err != nil {
		return false
	}
	age := time.Duration(up*float64(time.Second)) - time.Duration(ticks)*10*time.Millisecond
	return time.Now().Add(-age).After(moment.Add(2 * time.Second))
}

// locked calls do while no other process is in locked for the same worker_dir.
func locked(c config.Config, do func() error) error {
	dir, err := os.Open(c.WorkerDir)
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		err = unix.Flock(int(dir.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("worker_dir: lock it: %w", err)
	}
	return do()
}

// Claim writes this process's number to worker.pid. If the file is there and its process
// lives, that is an error; if its process is gone, the file is replaced.
func Claim(c config.Config) error {
	if err := os.MkdirAll(c.WorkerDir, 0o700); err != nil {
		return fmt.Errorf("worker_dir: make it: %w", err)
	}
	return locked(c, func() error {
		path := PIDFile(c)
		pid, found, err := Running(c)
		if err != nil {
			return err
		}
		if pid != 0 {
			return fmt.Errorf("a worker may be running already: %s names process %d (stop it with ol kill, or remove the file if that is none)", path, pid)
		}
		if found {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		// Linked, not written: nobody sees the file without its number, and of this worker and
		// one of OpenLambda's, which takes no lock, one wins.
		mine := fmt.Sprintf("%s.%d", path, os.Getpid())
		if err := os.WriteFile(mine, []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
			return err
		}
		err = os.Link(mine, path)
		if err := os.Remove(mine); err != nil {
			return err
		}
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("another worker starts in %s at this moment", c.WorkerDir)
		}
		return err
	})
}

// Clear calls clean and removes the worker.pid of a worker that is gone; meanwhile none
// starts. If a worker runs, Clear does nothing but return its pid.
func Clear(c config.Config, clean func() error) (pid int, err error) {
	if _, err := os.Stat(c.WorkerDir); errors.Is(err, os.ErrNotExist) {
		return 0, clean()
	}
	err = locked(c, func() (err error) {
		if pid, _, err = Running(c); err != nil || pid != 0 {
			return err
		}
		if err := clean(); err != nil {
			return err
		}
		if err := os.Remove(PIDFile(c)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	})
	return pid, err
}
