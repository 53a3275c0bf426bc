// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/vm/qmp"
)

// Fault is how a guest died that nobody had asked to end.
type Fault struct {
	What    string // for people
	Frozen  bool   // its watchdog fired: nothing ran in it
	Lines   string // the last lines of the console
	Console string // path of the console's log
}

func (f *Fault) Error() string {
	return fmt.Sprintf("%s\n%s(console: %s)", f.What, f.Lines, f.Console)
}

// faults keeps the first reason why a guest is gone.
type faults struct {
	mu   sync.Mutex
	gone chan struct{} // closed when the guest is gone
	err  error         // a *Fault; nil if the guest was asked to end
}

func newFaults() faults { return faults{gone: make(chan struct{})} }

// set notes why the guest is gone; later reasons are consequences.
func (f *faults) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.gone:
	default:
		f.err = err
		close(f.gone)
	}
}

// Gone is closed when the guest has died or QEMU has ended.
func (g *Guest) Gone() <-chan struct{} { return g.faults.gone }

// Fault is a *Fault if the guest died; nil while it lives and after it was shut down.
func (g *Guest) Fault() error {
	g.faults.mu.Lock()
	defer g.faults.mu.Unlock()
	return g.faults.err
}

// watch reads QEMU's events to their end.
func (g *Guest) watch(events <-chan qmp.Event) {
	for e := range events {
		if what := g.died(e); what != "" {
			fault := g.fault(what)
			fault.Frozen = e.Event == "WATCHDOG"
			g.faults.set(fault)
		} else if e.Event == "SHUTDOWN" {
			g.faults.set(nil)
		}
	}
	// The monitor ends with QEMU, a moment before the process does.
	what := "QEMU's monitor ended"
	select {
	case <-g.exited:
		what = fmt.Sprintf("QEMU ended: %v", g.exitErr)
	case <-time.After(time.Second):
	}
	g.faults.set(g.fault(what))
}

// died says how the guest died if the event means that it did; else "".
func (g *Guest) died(e qmp.Event) string {
	switch e.Event {
	case "GUEST_PANICKED":
		return "its kernel panicked" + suffix(g.panicLine())
	case "WATCHDOG":
		return "its watchdog fired: nothing ran in it for a while"
	case "SHUTDOWN":
		if e.Data["reason"] != "guest-reset" {
			return "" // asked for, from inside or outside
		}
		if line := g.panicLine(); line != "" {
			return "its kernel panicked" + suffix(line)
		}
		return "it reset itself: a triple fault, or somebody's reboot"
	case "BLOCK_IO_ERROR":
		return g.diskFailed(e)
	}
	return ""
}

// diskFailed says what is wrong with the host's file system that has the guest's disk if
// QEMU has stopped the guest over it; "" if QEMU leaves the error to the guest. By default
// QEMU stops a guest when the file system is full (werror=enospc).
func (g *Guest) diskFailed(e qmp.Event) string {
	if e.Data["action"] != "stop" {
		return ""
	}
	path := g.paths.overlay
	if g.Config.Writable {
		path = g.Config.Disk
	}
	at := mountPoint(path)
	if e.Data["nospace"] == true {
		return fmt.Sprintf("this host's file system %s is full: QEMU could not write the guest's disk %s and stopped the guest: free space there, or set ALPS_CACHE to a directory in another file system, and run the same command again", at, path)
	}
	return fmt.Sprintf("QEMU could not %v the guest's disk %s and stopped the guest (%v): see what this host's kernel says of the file system %s (dmesg)", e.Data["operation"], path, e.Data["reason"], at)
}

// mountPoint is the directory at which the file system with path is mounted. Of path, the
// file and directories above it may be gone.
func mountPoint(path string) string {
	device := func(path string) (uint64, bool) {
		var st unix.Stat_t
		err := unix.Stat(path, &st)
		return st.Dev, err == nil
	}
	at := path
	for at != filepath.Dir(at) {
		here, there := device(at)
		above, _ := device(filepath.Dir(at))
		if there && here != above {
			break
		}
		at = filepath.Dir(at)
	}
	return at
}

func suffix(line string) string {
	if line == "" {
		return ""
	}
	return ": " + line
}

func (g *Guest) fault(what string) *Fault {
	// 40 lines, because a panic's message comes before its trace.
	return &Fault{What: what, Lines: Tail(g.paths.console, 40), Console: g.paths.console}
}

// panicLine is the console's line about a panic, if there is one.
func (g *Guest) panicLine() string {
	data, err := os.ReadFile(g.paths.console)
	if err != nil {
		return ""
	}
	return findPanic(string(data))
}

func findPanic(console string) string {
	for line := range strings.Lines(console) {
		if _, msg, ok := strings.Cut(line, "Kernel panic - not syncing: "); ok {
			return strings.TrimSpace(msg)
		}
	}
	return ""
}

// Tail is the last n lines of the file at path, each indented.
func Tail(path string, n int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimRight(string(data), "\r\n"), "\n")
	lines = lines[max(0, len(lines)-n):]
	var b strings.Builder
	for _, l := range lines {
		b.WriteString("    " + strings.TrimRight(l, "\r") + "\n")
	}
	return b.String()
}
