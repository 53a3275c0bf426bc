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

// Hold marks dir as in use by whoever has the returned file open: this process,
// and children that inherit it. Unlike process numbers that holds across containers
// that share a disk.
//
// A directory that has no lock yet gets one that is held from the first moment it
// can be seen: in between, Abandoned would take the directory for a dead one's.
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

// Abandoned reports whether dir was held once and nobody holds it any more.
func Abandoned(dir string) bool {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}
