// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
	dockerapi "github.com/moby/moby/client"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/host"
	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/internal/cgroup"
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
	said := fault{what: "ask Docker for functions", todo: "those found before stay, and Docker is asked again every second; -docker=none does without"}
	for {
		watch, cancel := context.WithCancel(ctx)
		events := api.Events(watch, dockerapi.EventsListOptions{
			Filters: dockerapi.Filters{}.Add("type", "container").Add("event", "start", "die").Add("label", label.UID)})
		err := d.syncContainers(ctx, api, &own)
		if ctx.Err() == nil {
			said.say(d.log, err)
		}
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
		said.say(d.log, err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// fault is why something that is tried again and again fails.
type fault struct {
	what string // is tried
	todo string // by whom reads of it; "" for nothing
	why  string // at the last try; "" if it went well
}

// say logs that the fault begins, becomes another, or is over, and nothing while it lasts.
func (f *fault) say(log *slog.Logger, err error) {
	before := f.why
	f.why = ""
	if err != nil {
		f.why = err.Error()
	}
	switch {
	case f.why == before:
	case err == nil:
		log.Info(f.what+": over", "err", before)
	case f.todo != "":
		log.Warn(f.what, "err", err, "to do", f.todo)
	default:
		log.Warn(f.what, "err", err)
	}
}

// finder is one way in which functions are found, and what it has found.
type finder struct {
	yields  bool                             // it leaves alone what is a function already by another way
	seen    map[bpf.CgroupID]client.Function // what there was
	found   map[bpf.CgroupID]client.Function // of it, what it has registered
	left    map[bpf.CgroupID]bool            // of it, what it has left alone
	refused map[bpf.CgroupID]client.Refusal
}

// same says whether now is as it was when the kernel took it last, and nothing that was
// left or refused then because it was a function already can be one by now.
func (f *finder) same(now, functions map[bpf.CgroupID]client.Function) bool {
	for id := range f.left {
		if _, ok := functions[id]; !ok {
			return false
		}
	}
	return maps.Equal(now, f.seen)
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
		if errdefs.IsNotFound(err) {
			continue // it ended meanwhile
		} else if err != nil {
			return fmt.Errorf("inspect container %s: %w", c.ID, err)
		}
		if info.Container.State == nil || info.Container.State.Pid == 0 {
			continue // it ended meanwhile
		}
		path, err := cgroup.Of("/proc", strconv.Itoa(info.Container.State.Pid))
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
		if own.yields && next[id] != f {
			continue // somebody has registered it anew
		}
		if _, ok := now[id]; !ok && next[id].ID != 0 {
			log = append(log, func() { d.log.Info("function is gone", "uid", f.UID, "name", f.Name) })
			delete(next, id)
		}
	}
	found, left := map[bpf.CgroupID]client.Function{}, map[bpf.CgroupID]bool{}
	for _, id := range slices.Sorted(maps.Keys(now)) {
		f := now[id]
		other, known := next[id]
		if known && own.yields && other != f && other != own.found[id] {
			left[id] = true // with the settings of whoever has registered it
			if other.UID != f.UID {
				refused[id] = client.Refusal{Function: f, Why: "it is known as " + other.UID + " already"}
			}
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
		own.seen, own.found, own.left = maps.Clone(now), found, left
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
