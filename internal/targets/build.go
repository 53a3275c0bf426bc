// SPDX-License-Identifier: Apache-2.0

package targets

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/internal/deps"
	"github.com/ds2-lab/alps/internal/tree"
	"github.com/ds2-lab/alps/openlambda/image"
	"github.com/ds2-lab/alps/vm"
)

// Build compiles the BPF programs and their Go side anew.
func (h Bpf) Build(ctx context.Context) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	if err := deps.Ensure(ctx, h.Console, deps.BPF()); err != nil {
		return err
	}
	return command.Run(ctx, command.Cmd{Args: []string{"go", "generate", "./bpf/..."}, Dir: root, Stdout: h.Out, Stderr: os.Stderr})
}

// OpenlambdaBuildFlags are the flags of openlambda:build.
type OpenlambdaBuildFlags struct {
	Packages string // of Debian, beside what it always has: python3-flask,python3-numpy
	Wheels   string // a folder of *.whl to unpack into it
}

// Build makes the functions' container image, without a Docker daemon.
func (h Openlambda) Build(ctx context.Context, f OpenlambdaBuildFlags) error {
	if err := deps.Ensure(ctx, h.Console, deps.Image()); err != nil {
		return err
	}
	i, err := image.Build(ctx, image.Options{Progress: h.Console, Wheels: f.Wheels,
		Packages: strings.FieldsFunc(f.Packages, func(r rune) bool { return r == ',' || r == ' ' })})
	if err != nil {
		return err
	}
	fmt.Fprintln(h.Out, i.Path)
	return nil
}

// OpenlambdaFuzzFlags are the flags of openlambda:fuzz.
type OpenlambdaFuzzFlags struct {
	Time string // each, as 60s (default)
}

// Fuzz throws requests, configurations, archives and handlers at the worker.
func (h Openlambda) Fuzz(ctx context.Context, f OpenlambdaFuzzFlags) error {
	each := cmp.Or(f.Time, "60s")
	for _, f := range [][2]string{{"FuzzRequest", "./openlambda/api"}, {"FuzzParse", "./openlambda/config"}, {"FuzzArchive", "./openlambda/registry"},
		{"FuzzHandlers", "./openlambda/sandbox"}} {
		if err := h.goTest(ctx, nil, "-run=^$", "-fuzz=^"+f[0]+"$", "-fuzztime="+each, f[1]); err != nil {
			return err
		}
	}
	return nil
}

// Soak sends a million requests through the worker: rate, and growth of memory.
func (h Openlambda) Soak(ctx context.Context) error {
	return h.goTest(ctx, nil, "-run=^$", "-bench=^BenchmarkWorker$", "-benchtime=1000000x", "./openlambda/api")
}

// ImageBuildFlags are the flags of image:build.
type ImageBuildFlags struct {
	Kernel string // to provision with
}

// Build makes the guest's disk, with Docker and the functions' image in it.
func (h Image) Build(ctx context.Context, f ImageBuildFlags) error {
	o, err := h.rig(ctx, f.Kernel)
	if err != nil {
		return err
	}
	p, err := guest.Prepare(ctx, o)
	if err != nil {
		return err
	}
	fmt.Fprintln(h.Out, p.Image.Path)
	return nil
}

// inRunning runs a line in a guest that vm:up or a vm:shell elsewhere has started.
func (h Host) inRunning(ctx context.Context, id, line string) error {
	m, err := vm.Open(ctx, id)
	if err != nil {
		return err
	}
	defer m.Detach()
	h.Console.Printf("in guest %s", m.ID)
	return exitCode(m.Run(ctx, vm.Cmd{Line: line, Stdout: h.Out, Stderr: os.Stderr}))
}

// FunctionsInitFlags are the flags of functions:init.
type FunctionsInitFlags struct {
	Like string // one worker for all (one, default), or one each (artifact)
	ID   string // of vm:list; without it this checkout's
}

// Init starts the artifact's fifteen functions in the running guest.
func (h Functions) Init(ctx context.Context, f FunctionsInitFlags) error {
	return h.inRunning(ctx, f.ID, "systemd-run --quiet --wait --pipe --collect -p KillMode=process ol functions init -like "+
		cmp.Or(f.Like, "one"))
}

// FunctionsDeleteFlags are the flags of functions:delete.
type FunctionsDeleteFlags struct {
	ID string // of vm:list; without it this checkout's
}

// Delete stops the functions in the running guest and removes their containers.
func (h Functions) Delete(ctx context.Context, f FunctionsDeleteFlags) error {
	return h.inRunning(ctx, f.ID, "ol functions delete")
}
