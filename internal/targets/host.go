// SPDX-License-Identifier: Apache-2.0

// Package targets is what the commands "go run mage.go TARGET" do.
//
// A method of Host with a context is a target of that name, one of Kernel, Vm and
// so on a target of that namespace. A struct of flags as the last parameter has a
// field for each flag, a comment behind it says what it means; a string before it
// is an argument that must be given. The program in gen writes magefile.go from
// this, so that flags are declared here and nowhere else.
package targets

import (
	"context"
	"io"
	"path/filepath"

	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/internal/deps"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/internal/tree"
	"github.com/ds2-lab/alps/kernel"
)

//go:generate go run ./gen

// Host is where a target runs: what it prints and where progress goes.
type Host struct {
	Out     io.Writer // what a target is asked for: a path, a list, a test's output
	Console *progress.Reporter
}

// The namespaces of targets.
type (
	Kernel      struct{ Host }
	Bpf         struct{ Host }
	Openlambda  struct{ Host }
	Image       struct{ Host }
	Vm          struct{ Host }
	Functions   struct{ Host }
	Experiments struct{ Host }
	Figures     struct{ Host }
	Test        struct{ Host }
)

// rig are the options every target with a guest begins with.
func (h Host) rig(ctx context.Context, kernelName string) (guest.Options, error) {
	root, err := tree.Root()
	if err != nil {
		return guest.Options{}, err
	}
	makes, err := kernelDeps(root, kernelName)
	if err != nil {
		return guest.Options{}, err
	}
	err = h.ensureRig(ctx, makes)
	return guest.Options{Root: root, Kernel: kernelName, Progress: h.Console}, err
}

// Deps installs the Debian packages that the other targets need.
func (h Host) Deps(ctx context.Context) error {
	if err := deps.Ensure(ctx, h.Console, deps.All()...); err != nil {
		return err
	}
	h.Console.Printf("all packages are there")
	return nil
}

// ensureRig installs what targets with a guest need, and what makes its kernel.
func (h Host) ensureRig(ctx context.Context, makes ...deps.Group) error {
	return deps.Ensure(ctx, h.Console, append(makes, deps.Image(), deps.QEMU(), deps.QEMUBuild())...)
}

// kernelDeps makes the kernel of that name.
func kernelDeps(root, name string) (deps.Group, error) {
	kernels, err := kernel.List(filepath.Join(root, "kernel"))
	if err != nil {
		return deps.Group{}, err
	}
	k, err := kernel.Find(kernels, name)
	if k.Prebuilt() {
		return deps.Prebuilt(), err
	}
	return deps.Kernel(), err
}
