// SPDX-License-Identifier: Apache-2.0

package targets

import (
	"context"

	"github.com/ds2-lab/alps/experiments/demo"
	"github.com/ds2-lab/alps/internal/deps"
	"github.com/ds2-lab/alps/internal/tree"
	"github.com/ds2-lab/alps/vm"
)

// DemoFlags are the flags of demo.
type DemoFlags struct {
	Accel string // kvm, tcg or vtime; without it KVM where it works, else vtime
}

// Demo shows what the scheduler does: one burst of requests on Debian's kernel, under EEVDF and under steady.
func (h Host) Demo(ctx context.Context, f DemoFlags) error {
	a, err := vm.ParseAccel(f.Accel)
	if err != nil {
		return err
	}
	root, err := tree.Root()
	if err != nil {
		return err
	}
	needs := []deps.Group{deps.Prebuilt(), deps.Image(), deps.QEMU()}
	if a == vm.VTime || a == vm.Auto {
		needs = append(needs, deps.QEMUBuild())
	}
	if err := deps.Ensure(ctx, h.Console, needs...); err != nil {
		return err
	}
	return demo.Run(ctx, demo.Options{Root: root, Accel: a, Progress: h.Console, Out: h.Out})
}
