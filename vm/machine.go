package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/ds2-lab/alps/internal/atomicfile"
	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/vm/qmp"
)

// bootLimit is how long a guest may take to answer on its channel.
func bootLimit(a Accel) time.Duration {
	if a == KVM {
		return time.Minute
	}
	return 5 * time.Minute
}

// Machine is a running guest. Close it.
type Machine struct {
	Config Config

	paths   paths
	monitor *qmp.Monitor
	client  *ssh.Client
	cancel  context.CancelFunc
	exited  chan struct{}
	exitErr error // QEMU's, after exited
	once    sync.Once
}

// state is what another process needs to use a running guest.
type state struct {
	PID     int    `json:"pid"` // of the process that started it
	SSHPort int    `json:"ssh_port"`
	Kernel  string `json:"kernel"`
	Accel   Accel  `json:"accel"`
	Shared  bool   `json:"shared"`
}

const stateName = "vm.json"

// Start boots a guest and waits until it answers. If it does not, the error
// carries the last lines of its console and the path of the whole log.
func Start(ctx context.Context, c Config) (*Machine, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	root, err := cache.Dir("run")
	if err != nil {
		return nil, err
	}
	sweep(root)
	dir, err := os.MkdirTemp(root, "vm")
	if err != nil {
		return nil, fmt.Errorf("vm: %w", err)
	}
	logs, err := cache.Dir("log")
	if err != nil {
		return nil, err
	}
	m := &Machine{Config: c, exited: make(chan struct{}), paths: paths{
		dir: dir, overlay: filepath.Join(dir, "overlay.qcow2"), qmp: filepath.Join(dir, "qmp"),
		console: filepath.Join(logs, "console-"+filepath.Base(dir)+".log")}}
	if m.paths.sshPort, err = freePort(); err != nil {
		return nil, err
	}
	if err := m.boot(ctx); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

func (m *Machine) boot(ctx context.Context) error {
	c := m.Config
	if !c.Writable {
		err := command.Run(ctx, command.Cmd{Args: []string{
			"qemu-img", "create", "-q", "-f", "qcow2", "-b", c.Disk, "-F", "qcow2", m.paths.overlay}})
		if err != nil {
			return fmt.Errorf("vm: overlay: %w", err)
		}
	}
	run, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	go func() {
		defer close(m.exited)
		m.exitErr = command.Run(run, command.Cmd{Args: c.args(m.paths)})
	}()
	st, err := json.Marshal(state{PID: os.Getpid(), SSHPort: m.paths.sshPort, Kernel: c.Kernel, Accel: c.Accel, Shared: c.Shared})
	if err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(m.paths.dir, stateName), st, 0o600); err != nil {
		return fmt.Errorf("vm: %w", err)
	}
	limit := bootLimit(c.Accel)
	ctx, stop := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer after %s", limit))
	defer stop()
	for {
		if m.monitor == nil {
			if mon := qmp.New(m.paths.qmp); mon.Connect() == nil {
				m.monitor = mon
			}
		}
		client, err := dial(m.paths.sshPort)
		if err == nil {
			m.client = client
			return m.mountTools(ctx)
		}
		if line := m.panicked(); line != "" {
			return m.failed(fmt.Errorf("the guest's kernel panicked: %s", line))
		}
		select {
		case <-ctx.Done():
			return m.failed(context.Cause(ctx))
		case <-m.exited:
			return m.failed(fmt.Errorf("QEMU ended: %w", m.exitErr))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// mountTools waits for the tools disk. Boot does not: in a slow guest the first
// command can come before it is mounted, or after systemd gave its device up.
func (m *Machine) mountTools(ctx context.Context) error {
	if m.Config.Tools == "" {
		return nil
	}
	err := m.Run(ctx, Cmd{Line: "for i in 1 2 3 4 5; do systemctl start opt-alps.mount && exit 0; done; exit 1"})
	if err != nil {
		return m.failed(fmt.Errorf("mount the tools disk: %w", err))
	}
	return nil
}

// failed adds the end of the console to err.
func (m *Machine) failed(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("vm: boot %s: %w\n%s(console: %s)", filepath.Base(filepath.Dir(m.Config.Kernel)), err, Tail(m.paths.console, 15), m.paths.console)
}

// panicked returns the console's line about a panic, if there is one.
func (m *Machine) panicked() string {
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

// Console is the path of the serial console's log. It outlives the guest.
func (m *Machine) Console() string { return m.paths.console }

// SSHPort is the port of the host's loopback behind which the guest's sshd is.
func (m *Machine) SSHPort() int { return m.paths.sshPort }

// Done is closed when QEMU has ended.
func (m *Machine) Done() <-chan struct{} { return m.exited }

// PowerOff asks the guest to shut down and waits until QEMU has ended.
func (m *Machine) PowerOff(ctx context.Context) error {
	// The connection breaks before the command's exit status comes.
	_ = m.Run(ctx, Cmd{Line: "systemctl poweroff"})
	select {
	case <-m.exited:
		return m.exitErr
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Minute):
		return errors.New("vm: the guest did not power off within a minute")
	}
}

// Close ends QEMU at once and removes the guest's files but for the console's
// log. What the guest had not written to the results is lost.
func (m *Machine) Close() error {
	m.once.Do(func() {
		if m.client != nil {
			m.client.Close()
		}
		if m.monitor != nil {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			_, _ = m.monitor.Do(ctx, "quit", nil)
			cancel()
			select {
			case <-m.exited:
			case <-time.After(2 * time.Second):
			}
		}
		if m.cancel != nil {
			m.cancel()
			<-m.exited
		}
		if m.monitor != nil {
			m.monitor.Disconnect()
		}
		os.RemoveAll(m.paths.dir)
	})
	return nil
}

// Running attaches to the shared guest of another process. Guests that measure
// are not shared, so nobody disturbs them by accident.
func Running() (*Machine, error) {
	root, err := cache.Dir("run")
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(root, "vm*", stateName))
	if err != nil {
		return nil, err
	}
	for i := len(files) - 1; i >= 0; i-- {
		st, ok := readState(files[i])
		if !ok || !st.Shared || !alive(st.PID) {
			continue
		}
		client, err := dial(st.SSHPort)
		if err != nil {
			continue
		}
		return &Machine{Config: Config{Kernel: st.Kernel, Accel: st.Accel}, client: client,
			paths: paths{sshPort: st.SSHPort}, exited: make(chan struct{})}, nil
	}
	return nil, ErrNoneRunning
}

// Detach leaves a guest got from Running as it is.
func (m *Machine) Detach() { m.client.Close() }

// ErrNoneRunning is returned by Running.
var ErrNoneRunning = errors.New("no guest is running: start one with vm:shell")

// sweep removes what processes that were killed left behind.
func sweep(root string) {
	files, _ := filepath.Glob(filepath.Join(root, "vm*", stateName))
	for _, f := range files {
		if st, ok := readState(f); ok && !alive(st.PID) {
			os.RemoveAll(filepath.Dir(f))
		}
	}
	logs, _ := filepath.Glob(filepath.Join(filepath.Dir(root), "log", "console-*.log"))
	for _, f := range logs {
		if st, err := os.Stat(f); err == nil && time.Since(st.ModTime()) > 14*24*time.Hour {
			os.Remove(f)
		}
	}
}

func readState(path string) (state, bool) {
	data, err := os.ReadFile(path)
	if err != nil {
		return state{}, false
	}
	var st state
	return st, json.Unmarshal(data, &st) == nil
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("vm: no free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
