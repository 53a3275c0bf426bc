// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ds2-lab/alps/internal/atomicfile"
	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/internal/ours"
	"github.com/ds2-lab/alps/internal/tree"
	"github.com/ds2-lab/alps/vm/qmp"
)

// State is what other processes may know of a running guest.
type State struct {
	ID       string    `json:"id"`
	PID      int       `json:"pid"`   // QEMU's
	Owner    int       `json:"owner"` // the process with which the guest ends; 0: it outlives that, and Stop ends it
	Since    time.Time `json:"since"`
	SSHPort  int       `json:"ssh_port"`
	GDBPort  int       `json:"gdb_port,omitzero"`
	Kernel   string    `json:"kernel"`
	Accel    Accel     `json:"accel"`
	CPUs     int       `json:"cpus"`
	MemMiB   int       `json:"mem_mib"`
	Keep     string    `json:"keep,omitzero"`
	Shared   bool      `json:"shared"`
	Console  string    `json:"console"`
	Checkout string    `json:"checkout,omitzero"` // where the process that started it ran; "" outside one
	Measures bool      `json:"-"`                 // it is not Shared, for nobody may disturb it
}

const (
	stateName   = "vm.json"
	controlName = "control"
)

func (g *Guest) writeState() error {
	st := State{ID: g.ID, PID: g.qemu.PID, Owner: os.Getpid(), Since: time.Now(), SSHPort: g.paths.sshPort, GDBPort: g.Config.GDBPort,
		Kernel: g.Config.Kernel, Accel: g.Config.Accel, CPUs: g.Config.cpus(), MemMiB: g.Config.memMiB(), Keep: g.Config.Keep,
		Shared: g.Config.Shared, Console: g.paths.console, Checkout: checkout()}
	if g.Config.Detached {
		st.Owner = 0
	}
	data, err := json.Marshal(st)
	if err == nil {
		err = atomicfile.Write(filepath.Join(g.paths.dir, stateName), data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("vm: keep the guest's state: %w", err)
	}
	return nil
}

// ErrNoneRunning means that there is no guest of this checkout to enter.
var ErrNoneRunning = errors.New("no guest of this checkout is running that can be entered: start one with vm:up or vm:shell")

// checkout is the path of the checkout that this process runs in, with symbolic links
// resolved; "" if it runs in none.
func checkout() string {
	root, err := tree.Root()
	if err != nil {
		return ""
	}
	if real, err := filepath.EvalSymlinks(root); err == nil {
		return real
	}
	return root
}

// List are the running guests, the oldest first.
func List() ([]State, error) {
	root, err := cache.Dir("run")
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(root, "vm*", stateName))
	if err != nil {
		return nil, err
	}
	var list []State
	for _, f := range files {
		if st, ok := readState(f); ok && st.running() {
			list = append(list, st)
		}
	}
	slices.SortFunc(list, func(a, b State) int { return a.Since.Compare(b.Since) })
	return list, nil
}

// Find returns a running guest by its ID; "" means the one of this checkout that can be
// entered. Several of these are an error; that there is none is one that wraps
// ErrNoneRunning.
func Find(id string) (State, error) {
	list, err := List()
	if err != nil {
		return State{}, err
	}
	return choose(list, id, checkout())
}

// choose is Find among list, in the checkout here.
func choose(list []State, id, here string) (State, error) {
	var ids, ours, others []string
	var found State
	for _, st := range list {
		switch {
		case id != "" && st.ID == id:
			return st, nil
		case st.Shared && st.Checkout == here:
			found = st
			ours = append(ours, st.ID)
		case st.Shared:
			others = append(others, fmt.Sprintf("%s of %s", st.ID, cmp.Or(st.Checkout, "no checkout")))
		}
		ids = append(ids, st.ID)
	}
	switch {
	case id != "":
		return State{}, fmt.Errorf("no guest %s is running; there are: %s", id, cmp.Or(strings.Join(ids, ", "), "none"))
	case len(ours) > 1:
		return State{}, fmt.Errorf("several guests of this checkout are running: say which by -id, one of %s (vm:list)", strings.Join(ours, ", "))
	case len(ours) == 0 && len(others) > 0:
		return State{}, fmt.Errorf("%w; or name another's by -id: %s", ErrNoneRunning, strings.Join(others, ", "))
	case len(ours) == 0:
		return State{}, ErrNoneRunning
	}
	return found, nil
}

// Open connects to the running guest that Find returns for id. A guest that measures is
// not Shared, so that only its ID finds it: nobody enters it by accident.
func Open(ctx context.Context, id string) (*Guest, error) {
	st, err := Find(id)
	if err != nil {
		return nil, err
	}
	client, err := dial(ctx, st.SSHPort, 10*time.Second)
	if err != nil {
		return nil, fmt.Errorf("vm: %s does not answer: %w (console: %s)", st.ID, err, st.Console)
	}
	return &Guest{ID: st.ID, Config: Config{Kernel: st.Kernel, Accel: st.Accel}, client: client, faults: newFaults(),
		paths: paths{dir: st.dir(), sshPort: st.SSHPort, console: st.Console}, exited: make(chan struct{})}, nil
}

func (s State) dir() string {
	root, _ := cache.Dir("run") // it was there when s was read
	return filepath.Join(root, s.ID)
}

// control connects to the QEMU monitor that other processes may use.
func (s State) control(ctx context.Context) (*qmp.Monitor, error) {
	mon := qmp.New(filepath.Join(s.dir(), controlName))
	if err := mon.ConnectContext(ctx); err != nil {
		return nil, fmt.Errorf("vm: %s: %w", s.ID, err)
	}
	return mon, nil
}

// Stop presses the guest's power button; a guest that does not react is ended
// by QEMU, and a QEMU that does not react is killed. how says which it was.
func (s State) Stop(ctx context.Context) (how string, err error) {
	defer func() {
		if err == nil {
			os.RemoveAll(s.dir())
		}
	}()
	mon, err := s.control(ctx)
	if err == nil {
		defer mon.Disconnect()
		how = "it did not power off; QEMU ended it"
		if !cpusRun(ctx, mon) {
			how = "it was dead; QEMU ended it"
		} else if _, err := mon.Do(ctx, "system_powerdown", nil); err == nil && s.ended(ctx, (Config{Accel: s.Accel, CPUs: s.CPUs}).powerOffLimit()) {
			return "powered off", nil
		}
		quit, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		if _, _ = mon.Do(quit, "quit", nil); s.ended(ctx, 2*time.Second) {
			return how, nil
		}
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if s.running() {
		if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
			return "", fmt.Errorf("vm: kill QEMU of %s: %w", s.ID, err)
		}
	}
	if !s.ended(ctx, 10*time.Second) {
		return "", fmt.Errorf("vm: %s: QEMU, process %d, survives SIGKILL", s.ID, s.PID)
	}
	return "QEMU did not answer and was killed", nil
}

// cpusRun reports whether the guest's CPUs run; after a panic they do not.
func cpusRun(ctx context.Context, mon *qmp.Monitor) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	raw, err := mon.Do(ctx, "query-status", nil)
	var status struct{ Running bool }
	return err == nil && json.Unmarshal(raw, &status) == nil && status.Running
}

func (s State) ended(ctx context.Context, limit time.Duration) bool {
	end := time.Now().Add(limit)
	for s.running() {
		if ctx.Err() != nil || time.Now().After(end) {
			return false
		}
		time.Sleep(100 * time.Millisecond)
	}
	return true
}

// Reset presses the guest's reset button, which ends it: no guest boots twice.
func (s State) Reset(ctx context.Context) error {
	mon, err := s.control(ctx)
	if err != nil {
		return err
	}
	defer mon.Disconnect()
	_, err = mon.Do(ctx, "system_reset", nil)
	return err
}

// Dump writes the guest's memory to a file that the programs crash and gdb read. The
// guest stands still meanwhile.
func (s State) Dump(ctx context.Context, path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("vm: dump: %w", err)
	}
	mon, err := s.control(ctx)
	if err != nil {
		return err
	}
	defer mon.Disconnect()
	if _, err := mon.Do(ctx, "dump-guest-memory", map[string]any{"paging": false, "protocol": "file:" + path}); err != nil {
		return fmt.Errorf("vm: dump %s: %w", s.ID, err)
	}
	return nil
}

// consoleAge is how long a dead guest's console is kept.
const consoleAge = 14 * 24 * time.Hour

var (
	folderRE  = regexp.MustCompile(`^vm[0-9]+$`)
	consoleRE = regexp.MustCompile(`^console-vm[0-9]+\.log$`)
)

// sweep removes the folders below root of guests that were killed, and consoles' logs
// older than consoleAge. It leaves what has another name than those have.
func sweep(root string) {
	entries, _ := os.ReadDir(root)
	for _, e := range entries {
		dir := filepath.Join(root, e.Name())
		if e.IsDir() && folderRE.MatchString(e.Name()) && ours.Abandoned(dir) {
			os.RemoveAll(dir)
		}
	}
	logs := filepath.Join(filepath.Dir(root), "log")
	entries, _ = os.ReadDir(logs)
	for _, e := range entries {
		st, err := e.Info()
		if err == nil && st.Mode().IsRegular() && consoleRE.MatchString(e.Name()) && time.Since(st.ModTime()) > consoleAge {
			os.Remove(filepath.Join(logs, e.Name()))
		}
	}
}

func readState(path string) (State, bool) {
	data, err := os.ReadFile(path)
	if err != nil {
		return State{}, false
	}
	var st State
	err = json.Unmarshal(data, &st)
	st.Measures = !st.Shared
	// Stop removes the folder that the ID names, so it must be the one that has the file.
	id := filepath.Base(filepath.Dir(path))
	return st, err == nil && st.ID == id && folderRE.MatchString(id)
}

// running reports whether the guest's QEMU runs. Its process number may be another
// program's by now, but no other has the guest's folder among its arguments.
func (s State) running() bool {
	args, err := os.ReadFile("/proc/" + strconv.Itoa(s.PID) + "/cmdline")
	return err == nil && s.ID != "" && strings.Contains(string(args), "/"+s.ID+"/")
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("vm: no free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
