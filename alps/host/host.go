// SPDX-License-Identifier: Apache-2.0

// Package host reads what the kernel tells of this host: cgroups and their CPU
// controllers, the CPUs that are online, the sched_ext scheduler in charge.
package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	cgroupfile "github.com/ds2-lab/alps/internal/cgroup"
	"github.com/ds2-lab/alps/internal/cpulist"
)

// CgroupRoot is where cgroup v2 is mounted.
const CgroupRoot = "/sys/fs/cgroup"

// Host has the paths at which a kernel tells of itself. Tests use directories of
// their own.
type Host struct {
	Cgroups  string // where cgroup v2 is mounted
	SchedExt string // folder of sched_ext
	Proc     string // folder of the kernel's settings
	CPUs     string // file with the list of CPUs that are online
}

// This is the host on which the process runs.
var This = Host{Cgroups: CgroupRoot, SchedExt: "/sys/kernel/sched_ext", Proc: "/proc/sys/kernel", CPUs: "/sys/devices/system/cpu/online"}

// Read returns the text of the file at the joined path, without blanks at its
// ends; "" if it cannot be read.
func Read(path ...string) string {
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// HasController says whether the cgroup at that path below Cgroups has the CPU controller, without which the
// kernel schedules its processes as its parent's: no order, no slice.
func (h Host) HasController(cgroup string) bool {
	_, err := os.Stat(filepath.Join(h.Cgroups, cgroup, "cpu.weight"))
	return err == nil
}

// askController has the kernel give the CPU controller to a cgroup, from the
// root down. Where a manager of cgroups keeps it from that, the error says where.
func (h Host) askController(cgroup string) error {
	dir := h.Cgroups
	for _, name := range strings.Split(strings.Trim(cgroup, "/"), "/") {
		control := filepath.Join(dir, "cgroup.subtree_control")
		if !slices.Contains(strings.Fields(Read(control)), "cpu") {
			if err := os.WriteFile(control, []byte("+cpu"), 0o644); err != nil {
				return fmt.Errorf("ask for the CPU controller: %w", err)
			}
		}
		dir = filepath.Join(dir, name)
	}
	if !h.HasController(cgroup) {
		return fmt.Errorf("%s has no CPU controller", dir)
	}
	return nil
}

// EnsureController gives a cgroup the CPU controller if it exists and has none.
// The error names the folder whose owner refused.
func (h Host) EnsureController(cgroup string) error {
	if h.HasController(cgroup) || !h.Exists(cgroup) {
		return nil
	}
	return h.askController(cgroup)
}

// Exists says whether there is such a cgroup.
func (h Host) Exists(cgroup string) bool {
	_, err := os.Stat(filepath.Join(h.Cgroups, cgroup))
	return err == nil
}

// Usage is the CPU time that a cgroup has used since it was made.
func (h Host) Usage(cgroup string) (time.Duration, error) {
	us, err := cgroupfile.Value(filepath.Join(h.Cgroups, cgroup, "cpu.stat"), "usage_usec")
	return time.Duration(us) * time.Microsecond, err
}

// UserScheduler is the name of the sched_ext scheduler in charge, and how many were
// loaded since the boot, itself among them; "" and "" if none is in charge.
func (h Host) UserScheduler() (name, seq string) {
	if Read(h.SchedExt, "state") != "enabled" {
		return "", ""
	}
	name = Read(h.SchedExt, "root", "ops")
	if name == "" {
		name = "unknown"
	}
	return name, Read(h.SchedExt, "enable_seq")
}

// CPUSets are the lists of CPUs that cgroups may use, each once, with blanks
// between them.
func (h Host) CPUSets(cgroups []string) string {
	var sets []string
	for _, cgroup := range cgroups {
		dir := filepath.Join(h.Cgroups, cgroup)
		set := Read(dir, "cpuset.cpus.effective")
		for set == "" && len(dir) > len(h.Cgroups) { // without the controller it is the parent's
			dir = filepath.Dir(dir)
			set = Read(dir, "cpuset.cpus.effective")
		}
		sets = append(sets, set)
	}
	slices.Sort(sets)
	return strings.Join(slices.Compact(sets), " ")
}

// CheckCPUs refuses CPUs that are not online.
func (h Host) CheckCPUs(cpus []int) error {
	online, err := cpulist.Parse(Read(h.CPUs))
	if err != nil || len(online) == 0 {
		return errors.Join(fmt.Errorf("%s: cannot tell which CPUs there are", h.CPUs), err)
	}
	for _, c := range cpus {
		if !slices.Contains(online, c) {
			return fmt.Errorf("CPU %d is not there or offline: this host has %s", c, Read(h.CPUs))
		}
	}
	return nil
}
