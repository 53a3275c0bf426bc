// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/host"
	"github.com/ds2-lab/alps/bpf"
)

// platforms are the patterns of a platform's functions, by the platform's name.
var platforms = map[string][]string{
	"kubernetes": { // with the cgroup driver systemd, and with cgroupfs
		"kubepods.slice/kubepods-pod{uid}.slice", "kubepods.slice/kubepods-*.slice/kubepods-*-pod{uid}.slice",
		"kubepods/pod{uid}", "kubepods/*/pod{uid}",
	},
	"faasd":       {"openfaas-fn/{uid}"},
	"firecracker": {"firecracker/{uid}"}, // its jailer's default parent
}

// pathsEvery is how often cgroups are looked for: a new one is a function so much later at most.
const pathsEvery = 2 * time.Second

// pattern finds functions by the paths of their cgroups.
type pattern struct {
	text     string
	segments []*regexp.Regexp
}

// CheckCgroups refuses a list in which something is neither a pattern nor a platform's name.
func CheckCgroups(list []string) error {
	_, err := parsePatterns(list)
	return err
}

// parsePatterns reads patterns and names of platforms.
func parsePatterns(list []string) (all []pattern, err error) {
	for _, text := range list {
		texts, ok := platforms[text]
		if !ok {
			texts = []string{text}
		}
		for _, t := range texts {
			p, err := parsePattern(t)
			if err != nil {
				return nil, err
			}
			all = append(all, p)
		}
	}
	return all, nil
}

// parsePattern reads one: a path below /sys/fs/cgroup, with * for any text within
// a name, {uid} for what becomes the function's uid, and {name} for its name.
func parsePattern(text string) (p pattern, err error) {
	wrong := func(why string) (pattern, error) {
		names := slices.Collect(func(yield func(string) bool) {
			for name := range platforms {
				if !yield(name) {
					return
				}
			}
		})
		slices.Sort(names)
		return pattern{}, fmt.Errorf("cgroup pattern %q: %s; want a path below %s such as functions.slice/{uid}.service, or one of %s",
			text, why, host.CgroupRoot, strings.Join(names, ", "))
	}
	if strings.Count(text, "{uid}") != 1 {
		return wrong("it has not one {uid}")
	}
	if strings.Count(text, "{name}") > 1 {
		return wrong("it has more than one {name}")
	}
	p.text = strings.Trim(text, "/")
	for _, segment := range strings.Split(p.text, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return wrong("a name in it is empty")
		}
		if strings.ContainsAny(strings.NewReplacer("{uid}", "", "{name}", "").Replace(segment), "{}") {
			return wrong("braces are for {uid} and {name}")
		}
		re := regexp.QuoteMeta(segment)
		re = strings.NewReplacer(`\{uid\}`, `(?P<uid>.+)`, `\{name\}`, `(?P<name>.+)`, `\*`, `.*`).Replace(re)
		p.segments = append(p.segments, regexp.MustCompile("^"+re+"$"))
	}
	return p, nil
}

// find lists the cgroups below root that match.
func (p pattern) find(root string) (all []client.Function) {
	var walk func(dir string, f client.Function, rest []*regexp.Regexp)
	walk = func(dir string, f client.Function, rest []*regexp.Regexp) {
		if len(rest) == 0 {
			f.Cgroup, f.Name = "/"+dir, cmp.Or(f.Name, f.UID)
			all = append(all, f)
			return
		}
		entries, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil {
			return // it went meanwhile
		}
		for _, e := range entries {
			m := rest[0].FindStringSubmatch(e.Name())
			if m == nil || !e.IsDir() {
				continue
			}
			next := f
			if i := rest[0].SubexpIndex("uid"); i > 0 {
				next.UID = m[i]
			}
			if i := rest[0].SubexpIndex("name"); i > 0 {
				next.Name = m[i]
			}
			walk(path.Join(dir, e.Name()), next, rest[1:])
		}
	}
	walk("", client.Function{}, p.segments)
	return all
}

// discoverPaths keeps the functions equal to the cgroups that match, until ctx ends.
func (d *daemon) discoverPaths(ctx context.Context, patterns []pattern) error {
	tick := time.NewTicker(pathsEvery)
	defer tick.Stop()
	own := finder{yields: true}
	said := fault{what: "look for functions by their paths"}
	for {
		said.say(d.log, d.syncPaths(patterns, &own))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// syncPaths registers the cgroups that match, if they are others than those that it
// has registered.
func (d *daemon) syncPaths(patterns []pattern, own *finder) error {
	now := map[bpf.CgroupID]client.Function{}
	for _, p := range patterns {
		for _, f := range p.find(d.host.Cgroups) {
			id, err := bpf.CgroupOf(filepath.Join(d.host.Cgroups, f.Cgroup))
			if err != nil {
				continue // it went meanwhile
			}
			f.ID = uint64(id)
			now[id] = f
		}
	}
	if own.same(now, d.known()) {
		return nil
	}
	return d.discovered(now, own)
}
