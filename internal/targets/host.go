// SPDX-License-Identifier: Apache-2.0

// Package targets is what the commands "go run mage.go TARGET" do.
//
// An exported method of Host is a target of that name, and one of Kernel, Vm and so
// on is a target of that namespace. Its first parameter is a context. A struct of
// flags as the last parameter has a field for each flag, and the comment behind the
// field says what the flag means; a string before it is an argument that must be
// given. The program in gen writes magefile.go from these methods, so that flags
// are declared here and nowhere else.
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

// rig installs the packages that targets with a guest need, and returns the options with which they begin.
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

// ensureRig installs the packages that targets with a guest need, and those of makes, which make its kernel.
func (h Host) ensureRig(ctx context.Context, makes ...deps.Group) error {
	return deps.Ensure(ctx, h.Console, append(makes, deps.Image(), deps.QEMU(), deps.QEMUBuild())...)
}

// kernelDeps are the packages that make the kernel of that name; without a name, of the default one.
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
