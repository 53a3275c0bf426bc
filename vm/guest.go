// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/internal/ours"
	"github.com/ds2-lab/alps/vm/qmp"
)

// Patience is how long to wait for something that takes a guest with few CPUs limit at
// most, on a host with nothing else to do. It is limit, but longer in virtual time,
// where all CPUs of a guest share one of the host's, and other guests and programs may
// run beside it.
func (c Config) Patience(limit time.Duration) time.Duration {
	if c.Accel == VTime {
		return limit * time.Duration(2+c.cpus()/4)
	}
	return limit
}

// bootLimit is how long a guest may take to answer on its channel.
func (c Config) bootLimit() time.Duration {
	if c.Accel == KVM {
		return time.Minute
	}
	return c.Patience(5 * time.Minute)
}

// Guest is a running guest. Close it.
type Guest struct {
	Config Config
	ID     string // among the running ones: List, Open

	paths   paths
	monitor *qmp.Monitor
	client  *ssh.Client
	qemu    *command.Process
	cancel  context.CancelFunc // ends QEMU
	exited  chan struct{}      // QEMU has ended
	exitErr error              // of QEMU, set once exited is closed
	faults  faults
	lock    *os.File // of the guest's folder, inherited by QEMU; nil for a guest from Open
	once    sync.Once
}

// absolute makes c's paths absolute: QEMU's working directory is not this process's. A
// QEMU that is a name only is looked for in PATH.
func (c Config) absolute() (Config, error) {
	paths := []*string{&c.Kernel, &c.Initrd, &c.Disk, &c.Tools, &c.Extra, &c.Share}
	if strings.Contains(c.QEMU, "/") {
		paths = append(paths, &c.QEMU)
	}
	for _, path := range paths {
		if *path == "" {
			continue
		}
		var err error
		if *path, err = filepath.Abs(*path); err != nil {
			return c, fmt.Errorf("vm: make a path absolute: %w", err)
		}
	}
	return c, nil
}

// Start boots a guest, or lets it go on from its snapshot, and waits until it answers.
// If it does not, the error has the last lines of its console and the path of the whole
// log.
func Start(ctx context.Context, c Config) (*Guest, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	c, err := c.absolute()
	if err != nil {
		return nil, err
	}
	if c.Share != "" {
		if st, err := os.Stat(c.Share); err != nil || !st.IsDir() {
			return nil, fmt.Errorf("vm: share: %s is no directory", c.Share)
		}
	}
	root, err := cache.Dir("run")
	if err != nil {
		return nil, err
	}
	sweep(root)
	logs, err := cache.Dir("log")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(root, "vm") // from here on kill removes it
	if err != nil {
		return nil, fmt.Errorf("vm: make the guest's folder: %w", err)
	}
	g := &Guest{Config: c, ID: filepath.Base(dir), exited: make(chan struct{}), faults: newFaults(), paths: paths{
		dir: dir, sshPort: port, overlay: filepath.Join(dir, "overlay.qcow2"),
		qmp: filepath.Join(dir, "qmp"), control: filepath.Join(dir, controlName),
		console: filepath.Join(logs, "console-"+filepath.Base(dir)+".log"), window: filepath.Join(dir, "window")}}
	if g.lock, err = ours.Hold(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("vm: lock the guest's folder: %w", err), os.RemoveAll(dir))
	}
	if err := g.boot(ctx); err != nil {
		g.kill()
		return nil, err
	}
	if c.silent {
		return g, nil
	}
	if err := g.mount(ctx); err != nil {
		g.kill()
		return nil, fmt.Errorf("vm: mount the shared folder: %w", err)
	}
	return g, nil
}

func (g *Guest) boot(ctx context.Context) error {
	c := g.Config
	if err := g.disk(ctx); err != nil {
		return err
	}
	out, err := os.Create(filepath.Join(g.paths.dir, "qemu.log"))
	if err != nil {
		return fmt.Errorf("vm: make QEMU's log: %w", err)
	}
	defer out.Close()
	run, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	g.qemu, err = command.Start(run, command.Cmd{Args: c.args(g.paths), Dir: g.paths.dir, Stdout: out, Stderr: out, Files: []*os.File{g.lock}, Detached: c.Detached})
	if err != nil {
		close(g.exited)
		return fmt.Errorf("vm: start QEMU: %w", err)
	}
	go func() {
		g.exitErr = g.qemu.Wait()
		close(g.exited)
	}()
	if err := g.writeState(); err != nil {
		return err
	}
	limit := c.bootLimit()
	ctx, stop := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer after %s", limit))
	defer stop()
	if err := g.connect(ctx); err != nil {
		return g.failed(err)
	}
	if c.silent {
		return nil
	}
	answered := untilAnswered(ctx, func(ctx context.Context, banner time.Duration) (*ssh.Client, error) {
		return dial(ctx, g.paths.sshPort, banner)
	})
	select {
	case g.client = <-answered:
		return nil
	case <-ctx.Done():
		return g.failed(context.Cause(ctx))
	case <-g.Gone():
		return g.failed(errors.Join(errGuestEnded, g.Fault()))
	}
}

// mount mounts the tools disk and the shared folder. No unit of the guest waits for
// these devices at boot, so a slow host cannot make the guest give up on them.
func (g *Guest) mount(ctx context.Context) error {
	line := "true"
	if g.Config.Tools != "" {
		line += " && { mountpoint -q /opt/alps || mount -o ro /dev/vdb /opt/alps; }" // there already in a snapshot
	}
	if g.Config.Share != "" {
		line += ` && { grep -qw 9p /proc/filesystems || { echo "this kernel has no 9p, through which a folder is shared: take one that is built here (kernel/kernels.yaml)" >&2; false; }; }` +
			" && mkdir -p /mnt/share && mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 share /mnt/share"
	}
	return g.Run(ctx, Cmd{Line: line})
}

var errGuestEnded = errors.New("the guest ended before it answered")

// connect waits for QEMU's monitor and listens to its events, and only then lets the
// guest run, so that no event is missed.
func (g *Guest) connect(ctx context.Context) error {
	for {
		mon := qmp.New(g.paths.qmp)
		if err := mon.ConnectContext(ctx); err == nil {
			g.monitor = mon
			break
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-g.exited:
			log, _ := os.ReadFile(filepath.Join(g.paths.dir, "qemu.log"))
			return fmt.Errorf("QEMU ended: %w: %s", g.exitErr, log)
		case <-time.After(20 * time.Millisecond):
		}
	}
	events, err := g.monitor.Events(context.Background())
	if err != nil {
		return err
	}
	go g.watch(events)
	if err := g.pin(ctx); err != nil {
		return err
	}
	if err := g.resume(ctx); err != nil {
		return err
	}
	if g.Config.silent {
		return nil // Do lets it run
	}
	_, err = g.monitor.Do(ctx, "cont", nil)
	return err
}

// failed adds the end of the console to err.
func (g *Guest) failed(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	var fault *Fault
	if errors.As(err, &fault) {
		return fmt.Errorf("vm: boot %s: %w", g.kernelName(), err) // it has the console's end
	}
	return fmt.Errorf("vm: boot %s: %w\n%s(console: %s)", g.kernelName(), err, Tail(g.paths.console, 15), g.paths.console)
}

func (g *Guest) kernelName() string { return filepath.Base(filepath.Dir(g.Config.Kernel)) }

// Console is the path of the serial console's log. It outlives the guest.
func (g *Guest) Console() string { return g.paths.console }

// powerOffLimit is how long a guest may take to shut down.
func (c Config) powerOffLimit() time.Duration {
	if c.Accel == KVM {
		return 20 * time.Second
	}
	return c.Patience(time.Minute)
}

// PowerOff presses the guest's power button and waits until QEMU has ended.
func (g *Guest) PowerOff(ctx context.Context) error {
	if _, err := g.monitor.Do(ctx, "system_powerdown", nil); err != nil {
		return fmt.Errorf("vm: press the guest's power button: %w", err)
	}
	limit := g.Config.powerOffLimit()
	select {
	case <-g.exited:
		return g.exitErr
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(limit):
		return fmt.Errorf("vm: the guest did not power off within %s (console: %s)", limit, g.paths.console)
	}
}

// Close ends the guest and removes its files but for the console's log. A guest whose
// disk is kept is powered off by its button, unless it is dead; another ends at once.
func (g *Guest) Close() error {
	var err error
	if g.Config.Keep != "" && g.Fault() == nil {
		err = g.PowerOff(context.Background())
	}
	g.kill()
	return err
}

// kill ends QEMU, asking it first.
func (g *Guest) kill() {
	g.once.Do(func() {
		if g.client != nil {
			g.client.Close()
		}
		if g.monitor != nil {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			_, _ = g.monitor.Do(ctx, "quit", nil)
			cancel()
			select {
			case <-g.exited:
			case <-time.After(2 * time.Second):
			}
		}
		if g.cancel != nil {
			g.cancel()
			<-g.exited
		}
		if g.monitor != nil {
			g.monitor.Disconnect()
		}
		if g.lock != nil { // else another process has started it
			g.lock.Close()
			os.RemoveAll(g.paths.dir)
		}
	})
}

// Detach ends this process's connections to a guest that is Detached, or is from Open.
// The guest goes on.
func (g *Guest) Detach() {
	g.lock.Close()
	g.client.Close()
	if g.monitor != nil {
		g.monitor.Disconnect()
	}
}

// DebugLine is the command that attaches gdb, for a guest with a GDBPort.
func (g *Guest) DebugLine(vmlinux string) string {
	return "gdb " + vmlinux + " -ex 'target remote 127.0.0.1:" + strconv.Itoa(g.Config.GDBPort) + "'"
}
