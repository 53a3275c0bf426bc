// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/internal/cpulist"
)

// host is where the kernel tells of what the daemon depends on.
type host struct {
	cgroups  string // cgroup v2
	schedExt string
	proc     string
	cpus     string
}

var thisHost = host{cgroups: cgroupRoot, schedExt: "/sys/kernel/sched_ext", proc: "/proc/sys/kernel", cpus: "/sys/devices/system/cpu/online"}

// read is a file's text; "" if there is none.
func read(path ...string) string {
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// hasController says whether a cgroup has the CPU controller, without which the
// kernel schedules its processes as its parent's: no order, no slice.
func (h host) hasController(cgroup string) bool {
	_, err := os.Stat(filepath.Join(h.cgroups, cgroup, "cpu.weight"))
	return err == nil
}

// askController has the kernel give the CPU controller to a cgroup, from the
// root down. Where a manager of cgroups keeps it from that, the error says where.
func (h host) askController(cgroup string) error {
	dir := h.cgroups
	for _, name := range strings.Split(strings.Trim(cgroup, "/"), "/") {
		control := filepath.Join(dir, "cgroup.subtree_control")
		if !slices.Contains(strings.Fields(read(control)), "cpu") {
			if err := os.WriteFile(control, []byte("+cpu"), 0o644); err != nil {
				return fmt.Errorf("ask for the CPU controller: %w", err)
			}
		}
		dir = filepath.Join(dir, name)
	}
	if !h.hasController(cgroup) {
		return fmt.Errorf("%s has no CPU controller", dir)
	}
	return nil
}

// ensureController asks for it if it is missing.
func (h host) ensureController(cgroup string) error {
	if h.hasController(cgroup) || !h.exists(cgroup) {
		return nil
	}
	return h.askController(cgroup)
}

func (h host) exists(cgroup string) bool {
	_, err := os.Stat(filepath.Join(h.cgroups, cgroup))
	return err == nil
}

// usage is the CPU time that a cgroup has used.
func (h host) usage(cgroup string) (time.Duration, error) {
	for line := range strings.Lines(read(h.cgroups, cgroup, "cpu.stat")) {
		if us, ok := strings.CutPrefix(line, "usage_usec "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(us), 10, 64)
			return time.Duration(n) * time.Microsecond, err
		}
	}
	return 0, fmt.Errorf("cgroup %s: no usage_usec: %w", cgroup, fs.ErrNotExist)
}

// userScheduler is the sched_ext scheduler in charge, and which time that is; ""
// if there is none.
func (h host) userScheduler() (name, seq string) {
	if read(h.schedExt, "state") != "enabled" {
		return "", ""
	}
	name = read(h.schedExt, "root", "ops")
	if name == "" {
		name = "unknown"
	}
	return name, read(h.schedExt, "enable_seq")
}

// functionCPUs are the sets of CPUs that functions may use, each once.
func (h host) functionCPUs(functions []client.FunctionStatus) string {
	var sets []string
	for _, f := range functions {
		dir := filepath.Join(h.cgroups, f.Cgroup)
		set := read(dir, "cpuset.cpus.effective")
		for set == "" && len(dir) > len(h.cgroups) { // without the controller it is the parent's
			dir = filepath.Dir(dir)
			set = read(dir, "cpuset.cpus.effective")
		}
		sets = append(sets, set)
	}
	slices.Sort(sets)
	return strings.Join(slices.Compact(sets), " ")
}

// CheckCPUs refuses CPUs that this machine does not have.
func CheckCPUs(cpus []int) error { return thisHost.checkCPUs(cpus) }

func (h host) checkCPUs(cpus []int) error {
	online, err := cpulist.Parse(read(h.cpus))
	if err != nil || len(online) == 0 {
		return errors.Join(fmt.Errorf("%s: cannot tell which CPUs there are", h.cpus), err)
	}
	for _, c := range cpus {
		if !slices.Contains(online, c) {
			return fmt.Errorf("CPU %d is not there or offline: this machine has %s", c, read(h.cpus))
		}
	}
	return nil
}
