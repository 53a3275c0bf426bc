// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Where processes are, and where the second version of cgroups is mounted.
var procFS, cgroupFS = "/proc", "/sys/fs/cgroup"

// cgroup is a container's directory under cgroupFS, or "" if it is not known. The kernel
// writes there that it killed a process, or that the last one ended, before Docker hears
// of it: on a busy host seconds before.
type cgroup string

// cgroupOf returns the cgroup in which process pid is, or "" if it cannot be seen from here.
func cgroupOf(pid int) cgroup {
	text, err := os.ReadFile(filepath.Join(procFS, strconv.Itoa(pid), "cgroup"))
	if err != nil || pid <= 0 {
		return ""
	}
	g := cgroup("")
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			g = cgroup(filepath.Join(cgroupFS, path))
		}
	}
	if _, err := g.read("cgroup.events", "populated"); err != nil {
		return "" // the worker is in a container of its own
	}
	return g
}

// read returns the value of a key in one of the cgroup's files that has lines of a key
// and a number.
func (g cgroup) read(file, key string) (value int64, err error) {
	text, err := os.ReadFile(filepath.Join(string(g), file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == key {
			return strconv.ParseInt(f[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s: no line %s", filepath.Join(string(g), file), key)
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
