// SPDX-License-Identifier: Apache-2.0

// Package ivshmem hands a job into a guest and its outcome out again through
// memory that both share. It takes no interrupt and no device that answers in
// its own time, so a guest in virtual time does not notice when the host looks.
//
// The window begins with a header of 4096 bytes, the first four words of which (8 bytes each) are: the kind of what the
// window holds, its length in bytes, how much of the job is done, and out of how much. The held bytes follow the header.
package ivshmem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Window is the shared memory, seen from one side.
type Window struct {
	mem      []byte
	networks string // directory of the guest's interfaces
}

// What a window holds.
const (
	nothing uint64 = iota
	waiting        // Serve looks for jobs in the guest, whose network is down
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
		return nil, fmt.Errorf("ivshmem: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("ivshmem: %w", err)
	}
	if st.Size() <= headerBytes {
		return nil, fmt.Errorf("ivshmem: %s has %d bytes: more than %d are needed", path, st.Size(), headerBytes)
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("ivshmem: map %s: %w", path, err)
	}
	return &Window{mem, "/sys/class/net"}, nil
}

// pciID is the vendor and the device of QEMU's ivshmem on the PCI bus.
const pciID = "0x1af4 0x1110"

// InGuest maps the window of the guest in which this process runs; a guest without one is an error.
func InGuest() (*Window, error) {
	devices, err := filepath.Glob("/sys/bus/pci/devices/*")
	if err != nil {
		return nil, fmt.Errorf("ivshmem: %w", err)
	}
	for _, d := range devices {
		vendor, _ := os.ReadFile(filepath.Join(d, "vendor"))
		device, _ := os.ReadFile(filepath.Join(d, "device"))
		if strings.TrimSpace(string(vendor))+" "+strings.TrimSpace(string(device)) != pciID {
			continue
		}
		if err := os.WriteFile(filepath.Join(d, "enable"), []byte("1"), 0); err != nil {
			return nil, fmt.Errorf("ivshmem: %w", err)
		}
		return Open(filepath.Join(d, "resource2"))
	}
	return nil, errors.New("ivshmem: this guest has no memory that it shares with a host")
}

// Close unmaps the window.
func (w *Window) Close() error { return unix.Munmap(w.mem) }

func (w *Window) word(i int) *uint64 { return (*uint64)(unsafe.Pointer(&w.mem[8*i])) }

func (w *Window) put(holds uint64, data []byte) error {
	if len(data) > len(w.mem)-headerBytes {
		return fmt.Errorf("ivshmem: %d bytes do not fit into %d", len(data), len(w.mem)-headerBytes)
	}
	copy(w.mem[headerBytes:], data)
	atomic.StoreUint64(w.word(wordLength), uint64(len(data)))
	atomic.StoreUint64(w.word(wordHolds), holds) // last: who sees it sees all
	return nil
}

func (w *Window) data() ([]byte, error) {
	n := atomic.LoadUint64(w.word(wordLength))
	if n > uint64(len(w.mem)-headerBytes) {
		return nil, fmt.Errorf("ivshmem: holds %d bytes of %d", n, len(w.mem)-headerBytes)
	}
	return append([]byte(nil), w.mem[headerBytes:headerBytes+n]...), nil
}

// Give puts a job into the window; one that does not fit is an error. It is for the host's side.
func (w *Window) Give(data []byte) error {
	w.Progress(0, 0)
	return w.put(job, data)
}

// pollEvery is how long the host waits before it looks into the window again.
const pollEvery = 20 * time.Millisecond

// poll calls done every pollEvery until it is true, or ctx ends: then the error is the cause of that.
func poll(ctx context.Context, done func() bool) error {
	for !done() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pollEvery):
		}
	}
	return nil
}

func (w *Window) holds() uint64 { return atomic.LoadUint64(w.word(wordHolds)) }

// AwaitServer returns when Serve looks for jobs in the guest, or ctx ends. It is for the host's side.
func (w *Window) AwaitServer(ctx context.Context) error {
	return poll(ctx, func() bool { return w.holds() == waiting })
}

// Await waits for the job's outcome and returns it; a job that failed, and the end of ctx, are errors. It is for the
// host's side. progress, which may be nil, is called when the number done has changed.
func (w *Window) Await(ctx context.Context, progress func(done, total int)) ([]byte, error) {
	var last uint64
	err := poll(ctx, func() bool {
		if done := atomic.LoadUint64(w.word(wordDone)); done != last && progress != nil {
			last = done
			progress(int(done), int(atomic.LoadUint64(w.word(wordTotal))))
		}
		return w.holds() == outcome || w.holds() == failure
	})
	if err != nil {
		return nil, err
	}
	data, err := w.data()
	if err == nil && w.holds() == failure {
		err = errors.New(string(data))
	}
	return data, err
}

// Serve runs the jobs that the host puts in while the guest's network is down. It looks for one whenever wait returns,
// and ends with the error of wait or of an access of its own; a job's error goes to the host. It is for the guest's side.
func (w *Window) Serve(ctx context.Context, wait func(context.Context) error, run func(job io.Reader) ([]byte, error)) error {
	for {
		if err := wait(ctx); err != nil {
			return err
		}
		online, err := onNetwork(w.networks)
		if err != nil {
			return err
		}
		if online {
			continue
		}
		if w.holds() == nothing {
			atomic.StoreUint64(w.word(wordHolds), waiting)
		}
		if w.holds() != job {
			continue
		}
		var out []byte
		data, err := w.data()
		if err == nil {
			out, err = run(bytes.NewReader(data))
		}
		if err == nil {
			err = w.put(outcome, out)
		}
		if err != nil {
			if err := w.put(failure, []byte(err.Error())); err != nil {
				return err
			}
		}
	}
}

// onNetwork reports whether a network interface in sys is up that has a device, as lo and docker0 have not.
func onNetwork(sys string) (bool, error) {
	devices, err := filepath.Glob(filepath.Join(sys, "*", "device"))
	if err != nil {
		return false, fmt.Errorf("ivshmem: %w", err)
	}
	for _, d := range devices {
		data, err := os.ReadFile(filepath.Join(filepath.Dir(d), "flags"))
		if err != nil {
			return false, fmt.Errorf("ivshmem: %w", err)
		}
		flags, err := strconv.ParseUint(strings.TrimSpace(string(data)), 0, 64)
		if err != nil {
			return false, fmt.Errorf("ivshmem: %s: %w", d, err)
		}
		if flags&unix.IFF_UP != 0 {
			return true, nil
		}
	}
	return false, nil
}

// Progress tells the host how much of the job is done, out of total.
func (w *Window) Progress(done, total int) {
	atomic.StoreUint64(w.word(wordTotal), uint64(total))
	atomic.StoreUint64(w.word(wordDone), uint64(done))
}
