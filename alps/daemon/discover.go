// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	dockerapi "github.com/moby/moby/client"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/internal/label"
)

// resync is how often containers are listed even if Docker told of no change.
const resync = 30 * time.Second

// discover keeps the functions equal to Docker's labelled containers. Docker
// may go and come back; what is running then stays registered.
func (d *daemon) discover(ctx context.Context) error {
	opts := []dockerapi.Opt{dockerapi.FromEnv}
	if d.config.Docker != "" {
		opts = append(opts, dockerapi.WithHost(d.config.Docker))
	}
	api, err := dockerapi.New(opts...)
	if err != nil {
		return fmt.Errorf("docker: %w", err)
	}
	defer api.Close()
	found := map[bpf.CgroupID]client.Function{}
	for {
		watch, cancel := context.WithCancel(ctx)
		events := api.Events(watch, dockerapi.EventsListOptions{
			Filters: dockerapi.Filters{}.Add("type", "container").Add("event", "start", "die").Add("label", label.UID)})
		err := d.syncContainers(ctx, api, found)
		for err == nil && ctx.Err() == nil {
			select {
			case <-events.Messages:
				err = d.syncContainers(ctx, api, found)
			case err = <-events.Err:
			case <-time.After(resync):
				err = d.syncContainers(ctx, api, found)
			case <-ctx.Done():
			}
		}
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d.log.Warn("docker", "err", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// syncContainers lists the labelled containers and registers their cgroups;
// found is what it registered before. One that cannot be a function keeps no
// other from it.
func (d *daemon) syncContainers(ctx context.Context, api *dockerapi.Client, found map[bpf.CgroupID]client.Function) error {
	list, err := api.ContainerList(ctx, dockerapi.ContainerListOptions{Filters: dockerapi.Filters{}.Add("label", label.UID)})
	if err != nil {
		return err
	}
	now := map[bpf.CgroupID]client.Function{}
	for _, c := range list.Items {
		info, err := api.ContainerInspect(ctx, c.ID, dockerapi.ContainerInspectOptions{})
		if err != nil || info.Container.State == nil || info.Container.State.Pid == 0 {
			continue // it ended meanwhile
		}
		path, err := cgroupOfPID(info.Container.State.Pid)
		if err != nil {
			continue
		}
		id, err := bpf.CgroupOf(cgroupRoot + path)
		if err != nil {
			continue
		}
		// A uid that is there but empty is no uid.
		now[id] = client.Function{UID: cmp.Or(c.Labels[label.UID], c.Labels[label.Name]), Name: c.Labels[label.Name], Cgroup: path, ID: uint64(id)}
	}
	return d.discovered(now, found)
}

// discovered makes now what was found among containers; found is what was.
func (d *daemon) discovered(now, found map[bpf.CgroupID]client.Function) error {
	d.ops.Lock()
	defer d.ops.Unlock()
	next, log := d.known(), []func(){}
	refused := map[bpf.CgroupID]client.Refusal{}
	for id, f := range found {
		if _, ok := now[id]; !ok && next[id].ID != 0 {
			log = append(log, func() { d.log.Info("function gone", "uid", f.UID, "name", f.Name) })
			delete(next, id)
		}
	}
	clear(found)
	for _, id := range slices.Sorted(maps.Keys(now)) {
		f := now[id]
		_, known := next[id]
		err := checkFunction(f)
		if err == nil && !known && len(next) >= bpf.MaxFunctions {
			err = fmt.Errorf("there are %d functions already, the most possible", len(next))
		}
		if err != nil {
			refused[id] = client.Refusal{Function: f, Why: err.Error()}
			continue
		}
		if !known {
			log = append(log, func() { d.log.Info("function", "uid", f.UID, "name", f.Name, "cgroup", f.Cgroup) })
		}
		next[id], found[id] = f, f
	}
	err := d.setFunctions(next)
	if err == nil {
		for _, say := range log {
			say()
		}
	}
	d.mu.Lock()
	d.refused = refused
	d.mu.Unlock()
	d.check()
	return err
}

// cgroupOfPID is a process's path in the unified hierarchy.
func cgroupOfPID(pid int) (string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return path, nil
		}
	}
	return "", fmt.Errorf("process %d is in no cgroup v2", pid)
}
