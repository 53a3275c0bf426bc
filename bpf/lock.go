// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// lockPin makes the directory of pins this process's alone, until the process ends or
// free lets go: two processes that resume from the same maps would undo each other's functions.
func lockPin(path string) (*os.File, error) {
	for {
		if err := makePinDir(path); err != nil {
			return nil, err
		}
		dir, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // who had it removed it
		} else if err != nil {
			return nil, fmt.Errorf("pin: %w", err)
		}
		if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			defer dir.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, fmt.Errorf("pin: %s is %s's: end that first, because two would steer one kernel", path, holder(dir))
			}
			return nil, fmt.Errorf("pin: lock %s: %w", path, err)
		}
		locked, err := dir.Stat()
		if err == nil {
			var now os.FileInfo
			if now, err = os.Stat(path); err == nil && os.SameFile(locked, now) {
				return dir, nil
			}
		}
		dir.Close()
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("pin: lock %s: %w", path, err)
		}
	}
}

// holder names the process that has locked a directory, as /proc/locks has it.
func holder(dir *os.File) string {
	const another = "another daemon"
	info, err := dir.Stat()
	if err != nil {
		return another
	}
	st := info.Sys().(*syscall.Stat_t)
	inode := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return another
	}
	for line := range strings.Lines(string(locks)) {
		// such as: 1: FLOCK  ADVISORY  WRITE 123 00:1f:456 0 EOF
		f := strings.Fields(line)
		if len(f) < 6 || f[1] != "FLOCK" || f[5] != inode {
			continue
		}
		name, err := os.ReadFile(filepath.Join("/proc", f[4], "comm"))
		if err != nil {
			return "process " + f[4]
		}
		return fmt.Sprintf("process %s (%s)", f[4], strings.TrimSpace(string(name)))
	}
	return another
}
