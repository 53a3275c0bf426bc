// SPDX-License-Identifier: Apache-2.0

package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
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
		return nil, fmt.Errorf("results: %s %w%s: wait for it, or give another directory by -results=DIR", dir, ErrBusy, describe(path))
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
