// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/ds2-lab/alps/vm/qmp"
)

// Fault is how a guest died that nobody had asked to end.
type Fault struct {
	What    string
	Frozen  bool   // nothing ran in it
	Lines   string // the console's last
	Console string // its whole log
}

func (f *Fault) Error() string {
	return fmt.Sprintf("%s\n%s(console: %s)", f.What, f.Lines, f.Console)
}

// faults keeps the first one.
type faults struct {
	mu   sync.Mutex
	gone chan struct{}
	err  error
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
func (m *Machine) Gone() <-chan struct{} { return m.faults.gone }

// Fault says how the guest died; nil while it lives and after it was shut down.
func (m *Machine) Fault() error {
	m.faults.mu.Lock()
	defer m.faults.mu.Unlock()
	return m.faults.err
}

// watch reads QEMU's events to their end.
func (m *Machine) watch(events <-chan qmp.Event) {
	for e := range events {
		if what := m.died(e); what != "" {
			fault := m.fault(what)
			fault.Frozen = e.Event == "WATCHDOG"
			m.faults.set(fault)
		} else if e.Event == "SHUTDOWN" {
			m.faults.set(nil)
		}
	}
	// The monitor ends with QEMU, a moment before the process does.
	what := "QEMU's monitor ended"
	select {
	case <-m.exited:
		what = fmt.Sprintf("QEMU ended: %v", m.exitErr)
	case <-time.After(time.Second):
	}
	m.faults.set(m.fault(what))
}

// died says what an event means if it means that the guest is dead.
func (m *Machine) died(e qmp.Event) string {
	switch e.Event {
	case "GUEST_PANICKED":
		return "its kernel panicked" + suffix(m.panicLine())
	case "WATCHDOG":
		return "its watchdog fired: nothing ran in it for a while"
	case "SHUTDOWN":
		if e.Data["reason"] != "guest-reset" {
			return "" // asked for, from inside or outside
		}
		if line := m.panicLine(); line != "" {
			return "its kernel panicked" + suffix(line)
		}
		return "it reset itself: a triple fault, or somebody's reboot"
	}
	return ""
}

func suffix(line string) string {
	if line == "" {
		return ""
	}
	return ": " + line
}

func (m *Machine) fault(what string) *Fault {
	// A panic's message comes before its trace.
	return &Fault{What: what, Lines: Tail(m.paths.console, 40), Console: m.paths.console}
}

// panicLine is the console's line about a panic, if there is one.
func (m *Machine) panicLine() string {
	data, err := os.ReadFile(m.paths.console)
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
