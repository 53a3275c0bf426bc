// SPDX-License-Identifier: Apache-2.0

package ours

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const lockName = "lock"

// Hold marks dir as in use for as long as the returned file is open, in this process
// or in a child that inherits it. If dir is held already there is an error. A lock,
// unlike the number of a process, means the same in all containers that share a disk.
//
// A directory without a lock gets one that is held from the first moment at which it
// can be seen: else Abandoned, called in between, would say that nobody holds dir.
// Two processes must not call Hold for the same directory without a lock at once:
// both would hold it.
func Hold(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	fresh := errors.Is(err, fs.ErrNotExist)
	if fresh {
		f, err = os.CreateTemp(dir, lockName+".*")
	}
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil && fresh {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// Abandoned reports whether dir was held once and nobody holds it any more. It is false of a directory without a
// lock.
func Abandoned(dir string) bool {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}
