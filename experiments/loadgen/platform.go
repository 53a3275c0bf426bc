// SPDX-License-Identifier: Apache-2.0

package loadgen

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/ds2-lab/alps/internal/cgroup"
)

// WorkerUnit is the systemd unit in whose cgroup the worker runs.
const WorkerUnit = "ol-worker"

// platformCgroups are those in which the platform and the functions run, below
// the root of cgroup v2.
var platformCgroups = []string{"alps.slice", "system.slice/" + WorkerUnit + ".service", "system.slice/docker.service", "system.slice/containerd.service"}

const cgroupRoot = "/sys/fs/cgroup"

// platformTime is the CPU time that platform and functions have used, as the
// kernel's scheduler counts it (cpu.stat). Cgroups that are not there count
// nothing.
func platformTime(root string) (time.Duration, error) {
	var sum time.Duration
	for _, c := range platformCgroups {
		us, err := cgroup.Value(filepath.Join(root, c, "cpu.stat"), "usage_usec")
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("read the platform's CPU time: %w", err)
		}
		sum += time.Duration(us) * time.Microsecond
	}
	return sum, nil
}
