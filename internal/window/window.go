// Package window hands a job into a guest and its outcome out again through
// memory that both share. It takes no interrupt and no device that answers in
// its own time, so a guest in virtual time does not notice when the host looks.
//
// The window begins with a header of four words: what it holds, the length of
// that, and how much of the job is done out of how much. What it holds comes after.
package window

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Window is the shared memory, seen from one side.
type Window struct {
	mem []byte
}

// What a window holds.
const (
	nothing uint64 = iota
	job
	outcome
	failure
)

const (
	wordHolds = iota
	wordLength
	wordDone
	wordTotal

	headerBytes = 4096
)

// Open maps the window at path.
func Open(path string) (*Window, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("window: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("window: %w", err)
	}
	if st.Size() <= headerBytes {
		return nil, fmt.Errorf("window: %s has %d bytes: more than %d are needed", path, st.Size(), headerBytes)
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("window: map %s: %w", path, err)
	}
	return &Window{mem}, nil
}

// pciID is how QEMU's shared memory announces itself: vendor and device.
const pciID = "0x1af4 0x1110"

// InGuest maps the window of the guest this runs in.
func InGuest() (*Window, error) {
	devices, err := filepath.Glob("/sys/bus/pci/devices/*")
	if err != nil {
		return nil, fmt.Errorf("window: %w", err)
	}
	for _, d := range devices {
		vendor, _ := os.ReadFile(filepath.Join(d, "vendor"))
		device, _ := os.ReadFile(filepath.Join(d, "device"))
		if strings.TrimSpace(string(vendor))+" "+strings.TrimSpace(string(device)) != pciID {
			continue
		}
		if err := os.WriteFile(filepath.Join(d, "enable"), []byte("1"), 0); err != nil {
			return nil, fmt.Errorf("window: %w", err)
		}
		return Open(filepath.Join(d, "resource2"))
	}
	return nil, errors.New("window: this machine has no memory that it shares with a host")
}

// Close unmaps the window.
func (w *Window) Close() error { return unix.Munmap(w.mem) }

func (w *Window) word(i int) *uint64 { return (*uint64)(unsafe.Pointer(&w.mem[8*i])) }

func (w *Window) put(holds uint64, data []byte) error {
	if len(data) > len(w.mem)-headerBytes {
		return fmt.Errorf("window: %d bytes do not fit into %d", len(data), len(w.mem)-headerBytes)
	}
	copy(w.mem[headerBytes:], data)
	atomic.StoreUint64(w.word(wordLength), uint64(len(data)))
	atomic.StoreUint64(w.word(wordHolds), holds) // last: who sees it sees all
	return nil
}

func (w *Window) data() ([]byte, error) {
	n := atomic.LoadUint64(w.word(wordLength))
	if n > uint64(len(w.mem)-headerBytes) {
		return nil, fmt.Errorf("window: holds %d bytes of %d", n, len(w.mem)-headerBytes)
	}
	return append([]byte(nil), w.mem[headerBytes:headerBytes+n]...), nil
}

// Give puts a job in: the host's side.
func (w *Window) Give(data []byte) error {
	w.Progress(0, 0)
	return w.put(job, data)
}

// pollEvery is how often the host looks.
const pollEvery = 20 * time.Millisecond

// Await returns the outcome once it is there: the host's side. progress is
// called when it changes; it may be nil.
func (w *Window) Await(ctx context.Context, progress func(done, total int)) ([]byte, error) {
	var last uint64
	for {
		switch atomic.LoadUint64(w.word(wordHolds)) {
		case outcome:
			return w.data()
		case failure:
			msg, err := w.data()
			if err == nil {
				err = errors.New(string(msg))
			}
			return nil, err
		}
		if done := atomic.LoadUint64(w.word(wordDone)); done != last && progress != nil {
			last = done
			progress(int(done), int(atomic.LoadUint64(w.word(wordTotal))))
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(pollEvery):
		}
	}
}

// Job is the job that was put in, and whether one was: the guest's side.
func (w *Window) Job() (io.Reader, bool, error) {
	if atomic.LoadUint64(w.word(wordHolds)) != job {
		return nil, false, nil
	}
	data, err := w.data()
	return strings.NewReader(string(data)), true, err
}

// Progress tells how much of the job is done: the guest's side.
func (w *Window) Progress(done, total int) {
	atomic.StoreUint64(w.word(wordTotal), uint64(total))
	atomic.StoreUint64(w.word(wordDone), uint64(done))
}

// Finish puts the outcome, or why there is none, in place of the job: the
// guest's side.
func (w *Window) Finish(data []byte, err error) error {
	if err == nil {
		err = w.put(outcome, data)
	}
	if err != nil {
		return w.put(failure, []byte(err.Error()))
	}
	return nil
}
