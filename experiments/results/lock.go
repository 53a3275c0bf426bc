// SPDX-License-Identifier: Apache-2.0

package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/internal/ours"
)

// ErrBusy says that another process works in a results directory.
var ErrBusy = errors.New("is in use")

const lockName = ".lock"

// holder is the content of the lock's file: the process that has the lock.
type holder struct {
	PID     int       `json:"pid"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`
}

// Lock makes a results directory this process's until unlock or the process's
// death, and removes the results that a killed process left half-written. The
// error wraps ErrBusy if another process has the directory.
func Lock(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("results: %w", err)
	}
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("results: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("results: lock %s: %w", path, err)
		}
		return nil, busy(dir)
	}
	if !isStill(f, path) { // Clean has just removed it: another process may lock a new one
		f.Close()
		return nil, busy(dir)
	}
	if data, err := os.ReadFile(path); err != nil || len(data) > 0 && json.Unmarshal(data, &holder{}) != nil {
		f.Close()
		return nil, errors.Join(err, fmt.Errorf("results: %s is not a lock of ours: give another directory by -results=DIR", path))
	}
	me, err := json.Marshal(holder{os.Getpid(), strings.Join(os.Args[1:], " "), time.Now()})
	if err == nil {
		err = errors.Join(f.Truncate(0), writeAt(f, me))
	}
	if err == nil {
		err = RemovePartial(dir)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("results: lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

// Clean removes the results below dir, and the directories that are empty then, dir too.
// It returns the files that ALPS did not make, which stay, by their paths from dir. The
// error wraps ErrBusy if another process works in dir. A dir that is not there is no error.
func Clean(dir string) (left []string, err error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	unlock, err := Lock(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	// The lock's file goes last: without it another process could begin to write here.
	forms := Forms()
	if _, err := ours.Prune(dir, slices.DeleteFunc(slices.Clone(forms), func(f string) bool { return f == lockForm })...); err != nil {
		return nil, err
	}
	return ours.Prune(dir, forms...)
}

// busy says that another process has dir, and which.
func busy(dir string) error {
	return fmt.Errorf("results: %s %w%s: wait for it, or give another directory by -results=DIR", dir, ErrBusy, describe(filepath.Join(dir, lockName)))
}

// isStill says whether f is the file at path.
func isStill(f *os.File, path string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(opened, there)
}

func writeAt(f *os.File, data []byte) error {
	_, err := f.WriteAt(data, 0)
	return err
}

// describe says which process holds the lock; "" if the file does not say it yet.
func describe(path string) string {
	data, err := os.ReadFile(path)
	var h holder
	if err != nil || json.Unmarshal(data, &h) != nil {
		return ""
	}
	return fmt.Sprintf(" by process %d (%s), since %s", h.PID, h.Command, h.Since.Format(time.TimeOnly))
}
