// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"os"
	"path/filepath"
	"strconv"

	cgroupfile "github.com/ds2-lab/alps/internal/cgroup"
)

// Where processes are, and where the second version of cgroups is mounted.
var procFS, cgroupFS = "/proc", cgroupfile.Root

// cgroup is a container's directory under cgroupFS, or "" if it is not known. The kernel
// writes there that it killed a process, or that the last one ended, before Docker hears
// of it: on a busy host seconds before.
type cgroup string

// cgroupOf returns the cgroup in which process pid is, or "" if it cannot be seen from here.
func cgroupOf(pid int) cgroup {
	path, err := cgroupfile.Of(procFS, strconv.Itoa(pid))
	g := cgroup(filepath.Join(cgroupFS, path))
	if err != nil {
		return ""
	}
	if _, err := g.read("cgroup.events", "populated"); err != nil {
		return "" // the worker is in a container of its own
	}
	return g
}

func (g cgroup) read(file, key string) (int64, error) {
	return cgroupfile.Value(filepath.Join(string(g), file), key)
}

// killedForMemory is how many processes in the cgroup the kernel has killed for want of
// memory; 0 if that is not known.
func (g cgroup) killedForMemory() int64 {
	if g == "" {
		return 0
	}
	n, _ := g.read("memory.events", "oom_kill")
	return n
}

// empty says whether the cgroup is known and has no process, or is removed.
func (g cgroup) empty() bool {
	if g == "" {
		return false
	}
	n, err := g.read("cgroup.events", "populated")
	return os.IsNotExist(err) || err == nil && n == 0
}
