// SPDX-License-Identifier: Apache-2.0

package backend

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ds2-lab/alps/alps/host"
	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/internal/cpulist"
)

// poolName is a cgroup that holds functions and nothing else.
const poolName = "/alps.slice"

// pools are the cgroups that hold nothing but functions.
func (b *schedExt) pools() []bpf.Function {
	if !b.host.Exists(poolName) || !slices.ContainsFunc(b.functions, func(f bpf.Function) bool { return strings.HasPrefix(f.Cgroup, poolName+"/") }) {
		return nil
	}
	id, err := bpf.CgroupOf(filepath.Join(b.host.Cgroups, poolName))
	if err != nil {
		return nil
	}
	return []bpf.Function{{ID: id, Cgroup: poolName}}
}

// ownCPUs says whether nobody but functions may use cpus: then only functions' tasks
// need another scheduler. All functions must lie in poolName, and every other cgroup
// at the top must be kept from cpus.
func ownCPUs(h host.Host, cpus []int, functions []bpf.Function) bool {
	if len(cpus) == 0 || len(functions) == 0 {
		return false
	}
	entries, err := os.ReadDir(h.Cgroups)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if slices.ContainsFunc(functions, func(f bpf.Function) bool { return strings.HasPrefix(f.Cgroup, "/"+e.Name()+"/") }) {
			if "/"+e.Name() != poolName {
				return false // others may be beside them
			}
			continue
		}
		others, err := cpulist.Parse(host.Read(h.Cgroups, e.Name(), "cpuset.cpus.effective"))
		if len(others) == 0 && !h.Exists(e.Name()) {
			continue // it was removed meanwhile
		}
		if err != nil || len(others) == 0 || slices.ContainsFunc(others, func(c int) bool { return slices.Contains(cpus, c) }) {
			return false
		}
	}
	return true
}

// take gives a partial scheduler those threads of functions that it does not have yet,
// and notes the functions of which it does not get them all. The caller holds mu.
func (b *schedExt) take() {
	b.untaken = map[bpf.CgroupID]string{}
	if !b.partial {
		return
	}
	for _, f := range b.functions {
		_ = filepath.WalkDir(filepath.Join(b.host.Cgroups, f.Cgroup), func(path string, e os.DirEntry, err error) error {
			if err != nil || !e.IsDir() {
				return nil // it was removed meanwhile
			}
			for _, text := range strings.Fields(host.Read(path, "cgroup.threads")) {
				if tid, err := strconv.Atoi(text); err == nil {
					if err := b.takeThread(tid); err != nil {
						b.untaken[f.ID] = err.Error()
					}
				}
			}
			return nil
		})
	}
}
