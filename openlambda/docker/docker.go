// SPDX-License-Identifier: Apache-2.0

// Package docker makes sandboxes of containers, by the Docker Engine API. A container
// has the labels by which schedulers find functions (package label).
package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/internal/label"
	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/sandbox"
)

// Labels by which others find a function's container.
const (
	LabelUID     = label.UID
	LabelName    = label.Name
	LabelCluster = "ol.cluster" // the worker's directory
)

// StartLimit bounds a cold start; emulated guests need most of it.
const StartLimit = 2 * time.Minute

// slowStart is how long a start may take before a line of the log tells of it, with what
// the container has written until then. Tests set it.
var slowStart = 15 * time.Second

// Docker makes sandboxes by the Docker Engine API.
type Docker struct {
	api    *client.Client
	config config.Config
	log    *slog.Logger
}

// New returns a maker that uses the Docker daemon at DOCKER_HOST, or at Docker's default address.
func New(c config.Config, log *slog.Logger) (*Docker, error) {
	api, err := client.New(client.FromEnv)
	if err != nil {
		return nil, fmt.Errorf("docker: use the address in DOCKER_HOST: %w", err)
	}
	return &Docker{api: api, config: c, log: log}, nil
}

// Check returns an error if Docker is not there or lacks the image.
func (d *Docker) Check(ctx context.Context) error {
	if _, err := d.api.ImageInspect(ctx, d.config.Image); err != nil {
		return d.explain(err)
	}
	return nil
}

// Reap removes every container that has this worker_dir as its LabelCluster.
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

// gone says whether err is Docker's for a container that is removed, or being removed.
func gone(err error) bool {
	return strings.Contains(err.Error(), "No such container") || strings.Contains(err.Error(), "is already in progress")
}

// labels tell others which function and worker a container is of, and what its invocations are.
func labels(c config.Config, uid, name string) map[string]string {
	m := map[string]string{LabelUID: uid, LabelName: name, LabelCluster: c.WorkerDir}
	switch c.Invocation {
	case config.Import:
		m[label.Source], m[label.Concurrency] = "busy", strconv.Itoa(c.Concurrency)
	case config.Fork, config.Exec:
		m[label.Source] = "process"
	}
	return m
}

// create returns Docker's options for the container that s asks for.
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
			Env:    s.Env,
			Labels: labels(c, s.Function.UID, name),
		},
		HostConfig: host,
	}
}

// Start makes a container and returns once its server is ready. After an error it removes the container.
func (d *Docker) Start(ctx context.Context, s sandbox.Spec) (sandbox.Sandbox, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, StartLimit, fmt.Errorf("not ready after %s", StartLimit))
	defer cancel()
	if err := errors.Join(sandbox.Install(s.HostDir), os.Mkdir(filepath.Join(s.HostDir, "tmp"), 0o700)); err != nil {
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
	c := &dockerContainer{docker: d, function: s.Function.Name, id: created.ID, hostDir: s.HostDir, ended: make(chan struct{})}
	slow := time.AfterFunc(slowStart, func() {
		d.log.Warn("sandbox is slow to start", "function", s.Function.Name, "uid", s.Function.UID, "sandbox", c, "after", slowStart, "said", c.said())
	})
	defer slow.Stop()
	if err := c.start(ctx, pipe); err != nil {
		err = fmt.Errorf("function %s: %w", s.Function.Name, err)
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), sandbox.Deadline)
		defer cancel()
		return nil, errors.Join(err, d.remove(late, c.id))
	}
	return c, nil
}

// readyPipe makes the fifo on which the container's server says how its start went. Opened
// for reading and writing, it can be opened before, and read after, the server has it open.
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
