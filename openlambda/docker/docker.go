// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/internal/label"
	"github.com/ds2-lab/alps/internal/socket"
	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/sandbox"
)

// Labels by which others find a function's container.
const (
	LabelUID     = label.UID
	LabelName    = label.Name
	LabelCluster = "ol.cluster" // the worker's directory
)

// StartLimit bounds a cold start; emulated machines need most of it.
const StartLimit = 2 * time.Minute

// Docker makes sandboxes by the Docker Engine API.
type Docker struct {
	api    *client.Client
	config config.Config
	log    *slog.Logger
}

// New returns the maker that DOCKER_HOST, or its default, names.
func New(c config.Config, log *slog.Logger) (*Docker, error) {
	api, err := client.New(client.FromEnv)
	if err != nil {
		return nil, fmt.Errorf("docker: %w", err)
	}
	return &Docker{api: api, config: c, log: log}, nil
}

func (d *Docker) Reap(ctx context.Context) error {
	list, err := d.api.ContainerList(ctx, client.ContainerListOptions{
		All: true, Filters: client.Filters{}.Add("label", LabelCluster+"="+d.config.WorkerDir)})
	if err != nil {
		return d.explain(err)
	}
	var errs []error
	for _, c := range list.Items {
		errs = append(errs, d.remove(ctx, c.ID))
	}
	return errors.Join(errs...)
}

func (d *Docker) remove(ctx context.Context, id string) error {
	_, err := d.api.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true})
	if err != nil && !gone(err) {
		return fmt.Errorf("docker: remove %.12s: %w", id, err)
	}
	return nil
}

// gone says whether Docker's complaint is that the container is none any more.
func gone(err error) bool {
	return strings.Contains(err.Error(), "No such container") || strings.Contains(err.Error(), "is already in progress")
}

// create is the container that s asks for.
func (d *Docker) create(s sandbox.Spec) client.ContainerCreateOptions {
	c := d.config
	binds := []string{s.CodeDir + ":/handler:ro", s.HostDir + ":/host"}
	if st, err := os.Stat(c.PkgsDir); err == nil && st.IsDir() {
		binds = append(binds, c.PkgsDir+":/packages:ro")
	}
	name := s.Function.Name
	if c.FunctionName != "" {
		name = c.FunctionName
	}
	resources := container.Resources{CgroupParent: c.CgroupParent, CpusetCpus: c.CPUs, NanoCPUs: int64(c.Limits.CPUPercent) * 1e7}
	if n := int64(c.Limits.Procs); n > 0 {
		resources.PidsLimit = &n
	}
	if c.Limits.MemMB > 0 {
		resources.Memory = int64(c.Limits.MemMB) << 20
		resources.MemorySwap = resources.Memory // no swap beside it
		if n := int64(c.Limits.Swappiness); n > 0 {
			resources.MemorySwap, resources.MemorySwappiness = -1, &n
		}
	}
	host := &container.HostConfig{
		Binds: binds, NetworkMode: container.NetworkMode(c.Network), Runtime: c.DockerRuntime, Resources: resources,
		LogConfig: container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "1m"}},
	}
	if c.Sched != "normal" {
		host.CapAdd = []string{"SYS_NICE"}
	}
	return client.ContainerCreateOptions{
		Config: &container.Config{
			Image:  c.Image,
			Cmd:    sandbox.Command(c),
			Labels: map[string]string{LabelUID: s.Function.UID, LabelName: name, LabelCluster: c.WorkerDir},
		},
		HostConfig: host,
	}
}

func (d *Docker) Start(ctx context.Context, s sandbox.Spec) (sandbox.Sandbox, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, StartLimit, fmt.Errorf("not ready after %s", StartLimit))
	defer cancel()
	if err := os.WriteFile(filepath.Join(s.HostDir, "server.py"), sandbox.Server, 0o644); err != nil {
		return nil, err
	}
	pipe, err := readyPipe(s.HostDir)
	if err != nil {
		return nil, err
	}
	defer pipe.Close()
	created, err := d.api.ContainerCreate(ctx, d.create(s))
	if err != nil {
		return nil, d.explain(err)
	}
	c := &dockerContainer{docker: d, id: created.ID, hostDir: s.HostDir, ended: make(chan struct{})}
	if err := c.start(ctx, pipe); err != nil {
		err = fmt.Errorf("function %s: %w", s.Function.Name, err)
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), sandbox.Deadline)
		defer cancel()
		return nil, errors.Join(err, d.remove(late, c.id))
	}
	return c, nil
}

// readyPipe makes the fifo on which the container's server says how it went.
// Opened for both ways it can be read before, and after, a writer is there.
func readyPipe(dir string) (*os.File, error) {
	path := filepath.Join(dir, "server_pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return nil, &os.PathError{Op: "mkfifo", Path: path, Err: err}
	}
	return os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
}

// explain says what to do about Docker's common refusals.
func (d *Docker) explain(err error) error {
	switch {
	case client.IsErrConnectionFailed(err):
		return fmt.Errorf("docker: not up at %s: %w (try: systemctl start docker)", d.api.DaemonHost(), err)
	case strings.Contains(strings.ToLower(err.Error()), "no such image"):
		return fmt.Errorf("docker: image %q is not loaded: %w (make it with openlambda:build, then: docker load -i lambda.tar)", d.config.Image, err)
	}
	return fmt.Errorf("docker: %w", err)
}

// dockerContainer is a sandbox.
type dockerContainer struct {
	docker  *Docker
	id      string
	hostDir string
	ended   chan struct{}
	ours    atomic.Bool // ended by Destroy
}

func (c *dockerContainer) String() string        { return c.id[:min(12, len(c.id))] }
func (c *dockerContainer) Dead() <-chan struct{} { return c.ended }

func (c *dockerContainer) Dial(ctx context.Context) (net.Conn, error) {
	return socket.Dial(ctx, filepath.Join(c.hostDir, "ol.sock"))
}

// start starts the container and waits until its server has said how it went.
func (c *dockerContainer) start(ctx context.Context, pipe *os.File) error {
	if _, err := c.docker.api.ContainerStart(ctx, c.id, client.ContainerStartOptions{}); err != nil {
		return fmt.Errorf("docker: start: %w", err)
	}
	go c.watch()
	said := make(chan string, 1)
	go func() {
		b := make([]byte, 4096) // written at once
		n, _ := pipe.Read(b)
		said <- string(b[:n])
	}()
	select {
	case s := <-said:
		if s != "ready" {
			return fmt.Errorf("its server said: %s", s)
		}
		return nil
	case <-c.ended:
		return fmt.Errorf("its process ended before it was ready:\n%s", c.logs())
	case <-ctx.Done():
		return fmt.Errorf("%w:\n%s", context.Cause(ctx), c.logs())
	}
}

// watch closes ended when the container has. While dockerd is away nobody
// knows; its next word counts.
func (c *dockerContainer) watch() {
	defer close(c.ended)
	for pause := 100 * time.Millisecond; !c.ours.Load(); pause = min(2*pause, 2*time.Second) {
		wait := c.docker.api.ContainerWait(context.Background(), c.id, client.ContainerWaitOptions{})
		select {
		case <-wait.Result:
			if !c.ours.Load() {
				c.docker.log.Warn("sandbox ended", "sandbox", c)
			}
			return
		case err := <-wait.Error:
			if gone(err) {
				return
			}
			if !c.ours.Load() {
				c.docker.log.Warn("watch sandbox", "sandbox", c, "err", err)
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

func (c *dockerContainer) Destroy(ctx context.Context) error {
	c.ours.Store(true)
	if c.docker.config.LogOutput {
		if out := c.logs(); out != "" {
			c.docker.log.Info("output", "sandbox", c, "text", out)
		}
	}
	return errors.Join(c.docker.remove(ctx, c.id), os.RemoveAll(c.hostDir))
}

// logs is the last of what the container wrote.
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
