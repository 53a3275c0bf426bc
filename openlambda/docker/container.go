// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/internal/socket"
	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/sandbox"
)

// dockerContainer is a sandbox.
type dockerContainer struct {
	docker   *Docker
	function string
	id       string
	hostDir  string
	ended    chan struct{}
	death    sandbox.Death // set before ended is closed
	ours     atomic.Bool   // ended by Destroy
	group    atomic.Value  // its cgroup, once it is known
	oomTold  atomic.Int64  // how many of the cgroup's kills for want of memory Death has told
}

func (c *dockerContainer) String() string        { return c.id[:min(12, len(c.id))] }
func (c *dockerContainer) Dead() <-chan struct{} { return c.ended }

func (c *dockerContainer) Dial(ctx context.Context) (net.Conn, error) {
	return socket.Dial(ctx, filepath.Join(c.hostDir, "ol.sock"))
}

// start starts the container and waits until its server has said how its start went.
func (c *dockerContainer) start(ctx context.Context, pipe *os.File) error {
	if _, err := c.docker.api.ContainerStart(ctx, c.id, client.ContainerStartOptions{}); err != nil {
		return fmt.Errorf("docker: start: %w", err)
	}
	go c.watch()
	said := make(chan string, 1)
	go func() {
		b := make([]byte, 4096) // the server writes in one piece: one Read is enough
		n, _ := pipe.Read(b)
		said <- string(b[:n])
	}()
	select {
	case s := <-said:
		if why, ok := strings.CutPrefix(s, "refused: "); ok {
			return fmt.Errorf("%w: %s", sandbox.ErrRefused, why)
		}
		if s != "ready" {
			return fmt.Errorf("its server said: %s", s)
		}
		return nil
	case <-c.ended:
		return fmt.Errorf("its process ended before it was ready (%s); its last output:\n%s", c.death.Text, c.said())
	case <-ctx.Done():
		return fmt.Errorf("%w; its last output:\n%s", context.Cause(ctx), c.said())
	}
}

// watch closes ended when the container has ended. While dockerd does not answer that
// is not known, and watch asks again.
func (c *dockerContainer) watch() {
	defer close(c.ended)
	for pause := 100 * time.Millisecond; !c.ours.Load(); pause = min(2*pause, 2*time.Second) {
		if r, err := c.docker.api.ContainerInspect(context.Background(), c.id, client.ContainerInspectOptions{}); err == nil && r.Container.State != nil && c.cgroup() == "" {
			c.group.Store(cgroupOf(r.Container.State.Pid))
		}
		wait := c.docker.api.ContainerWait(context.Background(), c.id, client.ContainerWaitOptions{})
		select {
		case <-wait.Result:
			if !c.ours.Load() {
				c.death = c.examine()
			}
			return
		case err := <-wait.Error:
			if gone(err) {
				c.death = sandbox.Death{Kind: "gone", Text: "it was removed from outside"}
				return
			}
			if !c.ours.Load() {
				c.docker.log.Warn("cannot watch sandbox", "function", c.function, "sandbox", c, "err", err)
			}
		}
		time.Sleep(pause)
	}
}

func (c *dockerContainer) Pause(ctx context.Context) error {
	_, err := c.docker.api.ContainerPause(ctx, c.id, client.ContainerPauseOptions{})
	return err
}

func (c *dockerContainer) Unpause(ctx context.Context) error {
	_, err := c.docker.api.ContainerUnpause(ctx, c.id, client.ContainerUnpauseOptions{})
	return err
}

// Destroy removes the container and its HostDir. If log_output is on, it logs the container's last lines.
func (c *dockerContainer) Destroy(ctx context.Context) error {
	c.awaitOwnEnd(ctx)
	c.ours.Store(true)
	if c.docker.config.LogOutput {
		if out := c.logs(); out != "" {
			c.docker.log.Info("sandbox printed", "function", c.function, "sandbox", c, "text", out)
		}
	}
	return errors.Join(c.docker.remove(ctx, c.id), os.RemoveAll(c.hostDir))
}

// logs is the last 20 lines that the container wrote, cut off after 64 KiB.
func (c *dockerContainer) logs() string {
	ctx, cancel := context.WithTimeout(context.Background(), sandbox.Deadline)
	defer cancel()
	r, err := c.docker.api.ContainerLogs(ctx, c.id, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Tail: "20"})
	if err != nil {
		return "(no log: " + err.Error() + ")"
	}
	defer r.Close()
	var b strings.Builder
	_, _ = stdcopy.StdCopy(&b, &b, io.LimitReader(r, 1<<16))
	return b.String()
}

// awaitOwnEnd returns at once if the container runs. If it has ended by itself, awaitOwnEnd
// waits until watch has examined it, because removing it would hide why it ended. Docker may
// not have heard of the end that the kernel knows of.
func (c *dockerContainer) awaitOwnEnd(ctx context.Context) {
	r, err := c.docker.api.ContainerInspect(ctx, c.id, client.ContainerInspectOptions{})
	if err != nil || r.Container.State == nil || (r.Container.State.Running || r.Container.State.Paused) && !c.cgroup().empty() {
		return
	}
	select {
	case <-c.ended:
	case <-time.After(sandbox.Deadline / 2):
	}
}

// said is what logs returns, or a remark that the container wrote nothing.
func (c *dockerContainer) said() string {
	if out := strings.TrimSpace(c.logs()); out != "" {
		return out
	}
	return "(nothing)"
}

// examine says why the container ended, from what Docker keeps of it.
func (c *dockerContainer) examine() sandbox.Death {
	ctx, cancel := context.WithTimeout(context.Background(), sandbox.Deadline)
	defer cancel()
	for begun := time.Now(); ; time.Sleep(noticed / 40) {
		r, err := c.docker.api.ContainerInspect(ctx, c.id, client.ContainerInspectOptions{})
		if err != nil || r.Container.State == nil {
			return sandbox.Death{Kind: "gone", Text: "it was removed from outside"}
		}
		st := r.Container.State
		killed := st.ExitCode == 128+int(unix.SIGKILL)
		switch {
		case killed && (st.OOMKilled || c.cgroup().killedForMemory() > 0):
			return c.outOfMemory() // OOMKilled alone may be of a process that the server started
		case killed && c.docker.config.Limits.MemMB > 0 && time.Since(begun) < noticed:
			continue // Docker may hear of the end before it hears of the reason
		case st.ExitCode > 128 && st.ExitCode < 128+65:
			sig := unix.Signal(st.ExitCode - 128)
			return sandbox.Death{Kind: "signal", Text: fmt.Sprintf("it was ended by signal %d (%s)", int(sig), unix.SignalName(sig))}
		}
		return sandbox.Death{Kind: "exit", Text: fmt.Sprintf("its server ended with exit code %d", st.ExitCode)}
	}
}

func (c *dockerContainer) outOfMemory() sandbox.Death {
	if mb := c.docker.config.Limits.MemMB; mb > 0 {
		return sandbox.Death{Kind: "oom", Text: fmt.Sprintf("it was out of memory: limits.mem_mb is %d", mb)}
	}
	return sandbox.Death{Kind: "oom", Text: "the host was out of memory, and the kernel ended it"}
}

// noticed is how long Docker may need to say that a container, or a process in it, has
// ended, as long as the kernel does not say that the container has no process left.
const noticed = 2 * time.Second

// Death says why an exchange got no answer: the container has ended, or the kernel
// killed a process in it for want of memory. If neither is known, Kind is "".
func (c *dockerContainer) Death(ctx context.Context) sandbox.Death {
	oneEnds := c.docker.config.Invocation != config.Import // as a rule a process that the server started
	patience := noticed
	if oneEnds {
		patience /= 20
	}
	for begun := time.Now(); ; {
		select {
		case <-c.ended:
			return c.death
		default:
		}
		group := c.cgroup()
		empty := group.empty()
		switch {
		case oneEnds && c.oneMoreKilled(group), empty && group.killedForMemory() > 0:
			return c.outOfMemory()
		case empty:
			patience = sandbox.Deadline // the container has ended, and Docker is going to say how
		}
		if time.Since(begun) > patience {
			return sandbox.Death{}
		}
		select {
		case <-c.ended:
		case <-ctx.Done():
			return sandbox.Death{}
		case <-time.After(noticed / 100):
		}
	}
}

// oneMoreKilled says whether the kernel killed more processes of the container for want of
// memory than were told of. Each is told of once: of several that end at a time, as many as
// were killed.
func (c *dockerContainer) oneMoreKilled(group cgroup) bool {
	for {
		told := c.oomTold.Load()
		if group.killedForMemory() <= told {
			return false
		}
		if c.oomTold.CompareAndSwap(told, told+1) {
			return true
		}
	}
}

// cgroup is the container's, once watch has found it.
func (c *dockerContainer) cgroup() cgroup {
	g, _ := c.group.Load().(cgroup)
	return g
}

// LookEvery is how long Logs waits between two looks for new containers.
const LookEvery = 250 * time.Millisecond

// Logs copies to w what the function's containers of this worker_dir wrote. With follow it
// copies what they write, those that start later too, until ctx ends; of one that is removed
// within LookEvery of its start nothing may be seen. Several goroutines call w.Write.
func (d *Docker) Logs(ctx context.Context, function string, follow bool, w io.Writer) error {
	g, ctx := errgroup.WithContext(ctx)
	seen := map[string]bool{}
	g.Go(func() error {
		for {
			list, err := d.api.ContainerList(ctx, client.ContainerListOptions{All: true,
				Filters: client.Filters{}.Add("label", LabelCluster+"="+d.config.WorkerDir).Add("label", LabelName+"="+function)})
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return d.explain(err)
			}
			for _, c := range list.Items {
				// Docker does not follow a container that has not started.
				if !seen[c.ID] && c.State != container.StateCreated {
					seen[c.ID] = true
					g.Go(func() error { return d.copyLog(ctx, c.ID, follow, w) })
				}
			}
			if !follow {
				return nil
			}
			select {
			case <-ctx.Done():
			case <-time.After(LookEvery):
			}
		}
	})
	return g.Wait()
}

// copyLog copies to w what a container wrote, and with follow what it writes until it or ctx ends.
func (d *Docker) copyLog(ctx context.Context, id string, follow bool, w io.Writer) error {
	r, err := d.api.ContainerLogs(ctx, id, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Follow: follow})
	if err == nil {
		defer r.Close()
		_, err = stdcopy.StdCopy(w, w, r)
	}
	if err == nil || ctx.Err() != nil || gone(err) || strings.Contains(err.Error(), "marked for removal") {
		return nil
	}
	return d.explain(err)
}
