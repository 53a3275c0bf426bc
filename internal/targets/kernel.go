// SPDX-License-Identifier: Apache-2.0

package targets

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/ds2-lab/alps/experiments/execute"
	"github.com/ds2-lab/alps/internal/deps"
	"github.com/ds2-lab/alps/internal/tree"
	"github.com/ds2-lab/alps/kernel"
	"github.com/ds2-lab/alps/kernel/peers"
)

// List lists the kernels that kernel/kernels.yaml declares.
func (h Kernel) List(ctx context.Context) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	kernels, err := kernel.List(filepath.Join(root, "kernel"))
	for _, k := range kernels {
		how := "built, no patches"
		switch {
		case k.Prebuilt():
			how = "installed: " + k.Sources[0].Binary.V + " of " + k.Sources[0].Suite.V
		case k.Patches.V != "":
			how = "built, patches in kernel/" + k.Patches.V
		}
		if k.Default {
			how += "  (default)"
		}
		fmt.Fprintf(h.Out, "%-14s %d source(s), %s\n", k.Name.V, len(k.Sources), how)
	}
	return err
}

// KernelBuildFlags are the flags of kernel:build.
type KernelBuildFlags struct {
	Name   string // in kernels.yaml
	Src    string // build from this tree; it is copied, not changed
	Debug  bool   // with kernel/config/debug.config
	Config string // one more configuration fragment; it wins
	Force  bool   // build even if it is cached
}

// Build builds or installs a kernel of kernel/kernels.yaml; without a name the default one.
func (h Kernel) Build(ctx context.Context, f KernelBuildFlags) error {
	o, err := h.rig(ctx, f.Name)
	if err != nil {
		return err
	}
	ko := kernel.Options{Dir: filepath.Join(o.Root, "kernel"), Src: f.Src, Debug: f.Debug, Force: f.Force, Progress: h.Console}
	if f.Config != "" {
		ko.Extra = []string{f.Config}
	}
	b, err := kernel.Build(ctx, o.Kernel, ko)
	if err != nil {
		return err
	}
	fmt.Fprintf(h.Out, "%s (%s)\n%s\n", b.Release, b.Source, b.BzImage)
	return nil
}

// KernelDiffFlags are the flags of kernel:diff.
type KernelDiffFlags struct {
	Name string // in kernels.yaml; without it the default one
	Stat bool   // only the files and lines
}

// Diff shows what a kernel's series changes: the files and lines, then the patches.
func (h Kernel) Diff(ctx context.Context, f KernelDiffFlags) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	return kernel.Diff(ctx, filepath.Join(root, "kernel"), f.Name, !f.Stat, h.Out)
}

// KernelPeersFlags are the flags of kernel:peers.
type KernelPeersFlags struct {
	Force bool // build even if they are cached
}

// Peers builds schedulers of the kernel's own tools/sched_ext, to compare with, and prints their folder.
func (h Kernel) Peers(ctx context.Context, f KernelPeersFlags) error {
	if err := deps.Ensure(ctx, h.Console, deps.Peers()); err != nil {
		return err
	}
	b, err := peers.Build(ctx, peers.Options{Force: f.Force, Progress: h.Console})
	if err != nil {
		return err
	}
	h.Console.Printf("%s of %s", strings.Join(peers.Names(), ", "), b.Source)
	fmt.Fprintln(h.Out, b.Dir)
	return nil
}

// KernelSoakFlags are the flags of kernel:soak.
type KernelSoakFlags struct {
	Name   string        // in kernels.yaml, as 6.12-debug, or 7.3, which is not a debug kernel; 6.1-debug without it
	Src    string        // build it from this tree
	Length time.Duration // 10m without it
}

// Soak runs everything at once in a debug kernel, or on a kernel without hooks by sched_ext: load, policy updates, attach
// and detach, a daemon that is killed, CPUs and cgroups that come and go; then it reads the kernel's log.
func (h Kernel) Soak(ctx context.Context, f KernelSoakFlags) error {
	o, err := h.rig(ctx, cmp.Or(f.Name, "6.1-debug"))
	if err != nil {
		return err
	}
	o.Src = f.Src
	return h.guestTests(ctx, o, longRing, []string{"ALPS_SOAK=" + cmp.Or(f.Length, 10*time.Minute).String()}, "-timeout=5h", "-run=TestSoak", "./experiments/guest")
}

// KernelCostFlags are the flags of kernel:cost.
type KernelCostFlags struct {
	Results string // directory; results/ without it
}

// Cost measures what the hooks cost, against a kernel without them and against
// the paper's Table 3; figures:draw shows it.
func (h Kernel) Cost(ctx context.Context, f KernelCostFlags) error {
	o, err := h.rig(ctx, "6.1")
	if err != nil {
		return err
	}
	return execute.HookCosts(ctx, "6.1-stock", o, cmp.Or(f.Results, filepath.Join(o.Root, "results")), h.Out)
}
