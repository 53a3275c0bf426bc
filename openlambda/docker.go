package openlambda

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// Labels by which others find a function's container.
const (
	LabelUID     = "alps.function.uid"
	LabelName    = "alps.function.name"
	LabelCluster = "ol.cluster" // the worker's directory
)

// startLimit bounds a cold start; emulated machines need most of it.
const startLimit = 2 * time.Minute

// sandbox runs functions' containers.
type sandbox interface {
	// start returns once the function answers on the unix socket returned.
	start(ctx context.Context, f Function) (socket string, stop func(context.Context) error, err error)
	// reap removes what a crashed worker left.
	reap(ctx context.Context) error
}

// docker is the sandbox on the Docker Engine API.
type docker struct {
	api    *client.Client
	config Config
}

func newDocker(c Config) (*docker, error) {
	api, err := client.New(client.FromEnv)
	if err != nil {
		return nil, fmt.Errorf("docker: %w", err)
	}
	return &docker{api: api, config: c}, nil
}

func (d *docker) reap(ctx context.Context) error {
	list, err := d.api.ContainerList(ctx, client.ContainerListOptions{
		All: true, Filters: client.Filters{}.Add("label", LabelCluster+"="+d.config.WorkerDir)})
	if err != nil {
		return d.explain(err)
	}
	for _, c := range list.Items {
		if err := d.remove(ctx, c.ID); err != nil {
			return err
		}
	}
	return nil
}

func (d *docker) remove(ctx context.Context, id string) error {
	_, err := d.api.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true})
	if err != nil && !strings.Contains(err.Error(), "No such container") {
		return fmt.Errorf("docker: remove %.12s: %w", id, err)
	}
	return nil
}

func (d *docker) start(ctx context.Context, f Function) (string, func(context.Context) error, error) {
	file, err := handler(d.config.Registry, f.Name)
	if err != nil {
		return "", nil, err
	}
	// Sockets have short names: a path may have 107 bytes.
	dir := filepath.Join(d.config.WorkerDir, "fn", f.UID+"-"+f.Port)
	if err := os.RemoveAll(dir); err != nil {
		return "", nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, err
	}
	created, err := d.api.ContainerCreate(ctx, client.ContainerCreateOptions{
		Config: &container.Config{
			Image:  d.config.Image,
			Cmd:    []string{"python3", "/server.py", d.config.Invocation, "/handler/" + filepath.Base(file), "/host/ol.sock"},
			Labels: map[string]string{LabelUID: f.UID, LabelName: f.Name, LabelCluster: d.config.WorkerDir},
		},
		HostConfig: &container.HostConfig{
			Binds:       []string{filepath.Dir(file) + ":/handler:ro", dir + ":/host"},
			NetworkMode: "none", // functions of this worker talk through the socket only
			Resources:   container.Resources{CgroupParent: d.config.CgroupParent},
		},
	})
	if err != nil {
		return "", nil, d.explain(err)
	}
	stop := func(ctx context.Context) error { return d.remove(ctx, created.ID) }
	if _, err := d.api.ContainerStart(ctx, created.ID, client.ContainerStartOptions{}); err != nil {
		return "", nil, errors.Join(fmt.Errorf("docker: start %s: %w", f.Name, err), stop(ctx))
	}
	socket := filepath.Join(dir, "ol.sock")
	if err := d.await(ctx, created.ID, socket, f); err != nil {
		return "", nil, errors.Join(err, stop(context.WithoutCancel(ctx)))
	}
	return socket, stop, nil
}

// await waits for the function's socket and gives up when its container ends.
func (d *docker) await(ctx context.Context, id, socket string, f Function) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("function %s: not ready after %s", f.Name, startLimit))
	defer cancel()
	for i := 0; ; i++ {
		if _, err := os.Stat(socket); err == nil {
			return nil
		}
		// Asking costs an emulated machine more than looking.
		if i%20 == 19 {
			c, err := d.api.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
			if err == nil && c.Container.State != nil && !c.Container.State.Running {
				return fmt.Errorf("function %s: its process ended with code %d:\n%s", f.Name, c.Container.State.ExitCode, d.logs(ctx, id))
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w:\n%s", context.Cause(ctx), d.logs(context.WithoutCancel(ctx), id))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (d *docker) logs(ctx context.Context, id string) string {
	r, err := d.api.ContainerLogs(ctx, id, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Tail: "20"})
	if err != nil {
		return "(no log: " + err.Error() + ")"
	}
	defer r.Close()
	var b strings.Builder
	_, _ = stdcopy.StdCopy(&b, &b, io.LimitReader(r, 1<<16))
	return b.String()
}

// explain says what to do about Docker's common refusals.
func (d *docker) explain(err error) error {
	switch {
	case client.IsErrConnectionFailed(err):
		return fmt.Errorf("docker: not up at %s: %w (try: systemctl start docker)", d.api.DaemonHost(), err)
	case strings.Contains(err.Error(), "No such image"):
		return fmt.Errorf("docker: image %q is not loaded: %w (make it with openlambda:build, then: docker load -i lambda.tar)", d.config.Image, err)
	}
	return fmt.Errorf("docker: %w", err)
}
