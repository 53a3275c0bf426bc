// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ds2-lab/alps/experiments/loadgen"
	"github.com/ds2-lab/alps/internal/atomicfile"
	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/internal/digest"
	"github.com/ds2-lab/alps/openlambda/artifact"
)

// Costs are the CPU times of functions, by name.
type Costs map[string]loadgen.Cost

// Serves reports whether guests have a function of that name and UID at that port.
func Serves(name, uid, port string) bool {
	for _, f := range artifact.Functions {
		if f.Name == name && f.UID == uid && f.Port == port {
			return true
		}
	}
	return false
}

// calibrate measures the costs of the functions of ports, each function once. Without
// ports it measures all.
func (g *Guest) calibrate(ctx context.Context, ports []string) (Costs, error) {
	step := g.Artifacts.opts.Progress.Step("calibrate", 0, 0)
	var reqs []loadgen.Request
	for _, f := range artifact.Functions {
		if len(ports) == 0 || slices.Contains(ports, f.Port) {
			reqs = append(reqs, loadgen.Request{ID: len(reqs) + 1, Function: f.Name, UID: f.UID, Port: f.Port})
		}
	}
	out, err := g.Do(ctx, "calibrate", "", nil, reqs, step)
	if err != nil {
		return nil, err
	}
	var costs Costs
	if err := json.Unmarshal(out, &costs); err != nil {
		return nil, fmt.Errorf("calibrate: read what alps-loadgen answered: %w", err)
	}
	step.Done("")
	return costs, nil
}

// knownCosts finds the costs that were measured since the host booted in a guest of the
// same artifacts, or measures them.
func (g *Guest) knownCosts(ctx context.Context, ports []string) (Costs, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("calibrate: tell this boot from others: %w", err)
	}
	p := g.Artifacts
	key, err := digest.New("calibration/2").Str("boot", string(boot)).Str("kernel", p.Kernel.Key).Str("image", p.Image.Digest).
		Str("tools", p.ToolsDigest).Str("accel", string(p.Accel)).Str("qemu", p.QEMU.Key).Str("ports", strings.Join(ports, ",")).Sum()
	if err != nil {
		return nil, err
	}
	dir, err := cache.Dir("calibration")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, key+".json")
	var costs Costs
	if data, err := os.ReadFile(path); err == nil && json.Unmarshal(data, &costs) == nil {
		p.opts.Progress.Step("calibrate", 0, 0).Done("kept")
		return costs, nil
	}
	if costs, err = g.calibrate(ctx, ports); err != nil {
		return nil, err
	}
	data, err := json.Marshal(costs)
	if err == nil {
		err = atomicfile.Write(path, data, 0o644)
	}
	if err != nil {
		return nil, fmt.Errorf("calibrate: keep the costs: %w", err)
	}
	return costs, nil
}
