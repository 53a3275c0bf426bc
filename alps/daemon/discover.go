// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	dockerapi "github.com/moby/moby/client"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/host"
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
		return fmt.Errorf("use Docker's address: %w; -docker gives another, -docker=none does without", err)
	}
	defer api.Close()
	var own finder
	for {
		watch, cancel := context.WithCancel(ctx)
		events := api.Events(watch, dockerapi.EventsListOptions{
			Filters: dockerapi.Filters{}.Add("type", "container").Add("event", "start", "die").Add("label", label.UID)})
		err := d.syncContainers(ctx, api, &own)
		for err == nil && ctx.Err() == nil {
			select {
			case <-events.Messages:
				err = d.syncContainers(ctx, api, &own)
			case err = <-events.Err:
			case <-time.After(resync):
				err = d.syncContainers(ctx, api, &own)
			case <-ctx.Done():
			}
		}
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d.log.Warn("ask Docker for functions", "err", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// finder is one way in which functions are found, and what it has found.
type finder struct {
	yields  bool // it takes no cgroup that is known by another uid
	found   map[bpf.CgroupID]client.Function
	refused map[bpf.CgroupID]client.Refusal
}

// same says whether now is what was found and refused before.
func (f *finder) same(now map[bpf.CgroupID]client.Function) bool {
	for id, fn := range now {
		if f.found[id] != fn && f.refused[id].Function != fn {
			return false
		}
	}
	return len(now) == len(f.found)+len(f.refused)
}

// syncContainers lists the labelled containers and registers their cgroups. A container
// that cannot be a function is refused alone: the others are registered.
func (d *daemon) syncContainers(ctx context.Context, api *dockerapi.Client, own *finder) error {
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
		id, err := bpf.CgroupOf(host.CgroupRoot + path)
		if err != nil {
			continue
		}
		now[id] = labelled(c.Labels, path, id)
	}
	return d.discovered(now, own)
}

// labelled is the function that a container's labels make of its cgroup.
func labelled(labels map[string]string, path string, id bpf.CgroupID) client.Function {
	// An empty uid is none: then the name is the uid.
	f := client.Function{UID: cmp.Or(labels[label.UID], labels[label.Name]), Name: labels[label.Name], Cgroup: path, ID: uint64(id),
		Source: labels[label.Source], Idle: labels[label.Idle]}
	if text, ok := labels[label.Concurrency]; ok {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			n = -1 // checkFunction refuses it
		}
		f.Concurrency = n
	}
	return f
}

// discovered registers the functions in now, and drops those in own.found that now lacks:
// all or, if the kernel refuses, none, and own.found stays.
func (d *daemon) discovered(now map[bpf.CgroupID]client.Function, own *finder) error {
	d.ops.Lock()
	defer d.ops.Unlock()
	next, log := d.known(), []func(){}
	refused := map[bpf.CgroupID]client.Refusal{}
	for id, f := range own.found {
		if _, ok := now[id]; !ok && next[id].ID != 0 {
			log = append(log, func() { d.log.Info("function is gone", "uid", f.UID, "name", f.Name) })
			delete(next, id)
		}
	}
	found := map[bpf.CgroupID]client.Function{}
	for _, id := range slices.Sorted(maps.Keys(now)) {
		f := now[id]
		other, known := next[id]
		if known && own.yields && other.UID != f.UID {
			refused[id] = client.Refusal{Function: f, Why: "it is known as " + other.UID + " already"}
			continue
		}
		err := checkFunction(f)
		if err == nil && !known && len(next) >= bpf.MaxFunctions {
			err = fmt.Errorf("there are %d functions already, the most possible", len(next))
		}
		if err != nil {
			refused[id] = client.Refusal{Function: f, Why: err.Error()}
			continue
		}
		if !known {
			log = append(log, func() { d.log.Info("function is found", "uid", f.UID, "name", f.Name, "cgroup", f.Cgroup) })
		}
		next[id], found[id] = f, f
	}
	err := d.setFunctions(next)
	if err == nil {
		for _, say := range log {
			say()
		}
		own.found = found
	} // else those of before are the functions still, and now is tried again
	d.mu.Lock()
	for id := range own.refused {
		delete(d.refused, id)
	}
	maps.Copy(d.refused, refused)
	d.mu.Unlock()
	own.refused = refused
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
