// SPDX-License-Identifier: Apache-2.0

// Package guest makes the virtual machine that experiments run in: it builds
// kernel, QEMU, disk, container image and tools (Artifacts), boots a guest of
// them, starts daemon, worker and functions, measures what the functions cost
// (Guest), and hands the load generator its commands.
//
// It knows no experiment: a Variant says in which way a run's guest is not the usual
// one.
package guest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/internal/digest"
	"github.com/ds2-lab/alps/internal/measured"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/kernel"
	"github.com/ds2-lab/alps/openlambda/image"
	"github.com/ds2-lab/alps/vm"
	"github.com/ds2-lab/alps/vm/disk"
	"github.com/ds2-lab/alps/vm/qemu"
)

// fallbackKernel is built where the default's source cannot be had.
const fallbackKernel = "6.1"

// Options are those of a guest. Root is required.
type Options struct {
	Root     string   // of the repository
	Kernel   string   // in kernels.yaml; "": the default, or the fallback
	Src      string   // kernel tree to build from; "": the kernel's own source
	Debug    bool     // with the debug fragment
	Fragment string   // path of one more configuration fragment; "" for none
	Accel    vm.Accel // "" is vm.Auto
	Virtual  bool     // with vm.Auto, where KVM does not work: virtual time rather than plain emulation
	CPUs     int      // 0: vm.DefaultCPUs
	MemMiB   int      // 0: vm's default
	Progress *progress.Reporter
}

// Artifacts is everything a guest is made of, built or found in the cache.
type Artifacts struct {
	Kernel      kernel.Built
	Fallback    bool // Kernel is not the one that was asked for
	Image       disk.Image
	Lambda      image.Image
	Tools       string // path of the disk with our programs
	ToolsDigest string // of that disk's content
	Accel       vm.Accel
	AccelWhy    string     // why Accel is what it is, for people
	QEMU        qemu.Built // of guests in virtual time; zero: the distribution's
	CPUs        int
	Revision    string // of the repository, when the tools were built

	// PlatformModelled is the CPU time per request that containers use in place of the
	// paper's platform: none where worker and functions have CPUs of their own.
	PlatformModelled time.Duration

	Kinds  int  // of guests that runs alternate between; Acquire keeps a snapshot of each
	Shared bool // other processes may enter a guest booted of these (vm.Open)

	opts    Options
	variant Variant
}

// Prepare builds kernel, container image, disk and tools, or finds them in the
// cache. It falls back to kernel 6.1 where no kernel is named and the default's
// source cannot be reached.
func Prepare(ctx context.Context, o Options) (Artifacts, error) {
	a := Artifacts{opts: o}
	ko := kernel.Options{Dir: filepath.Join(o.Root, "kernel"), Src: o.Src, Debug: o.Debug, Progress: o.Progress}
	if o.Fragment != "" {
		ko.Extra = []string{o.Fragment}
	}
	var err error
	a.Kernel, err = kernel.Build(ctx, o.Kernel, ko)
	if errors.Is(err, kernel.ErrUnavailable) && o.Kernel == "" {
		o.Progress.Printf("WARNING: the paper's kernel cannot be had here; building %s instead. Results and figures will say so.\n%v", fallbackKernel, err)
		a.Fallback = true
		a.Kernel, err = kernel.Build(ctx, fallbackKernel, ko)
	}
	if err != nil {
		return Artifacts{}, err
	}
	if a.Accel, a.AccelWhy, err = vm.Resolve(ctx, o.Accel, a.Kernel.BzImage); err != nil {
		return Artifacts{}, err
	}
	if a.CPUs = o.CPUs; a.CPUs == 0 {
		a.CPUs = vm.DefaultCPUs(a.Accel)
	}
	if auto := o.Accel == "" || o.Accel == vm.Auto; auto && o.Virtual || a.Accel == vm.VTime {
		if a, err = a.InVirtualTime(ctx); err != nil {
			return Artifacts{}, err
		}
	}
	o.Progress.Printf("accelerator %s: %s", a.Accel, a.AccelWhy)
	if a.Lambda, err = image.Build(ctx, image.Options{Progress: o.Progress}); err != nil {
		return Artifacts{}, err
	}
	if a.Image, err = disk.Build(ctx, disk.Options{Kernel: a.Kernel.BzImage, Initrd: a.Kernel.Initrd, Accel: a.Accel, QEMU: a.QEMU.Path, Lambda: a.Lambda.Path, Progress: o.Progress}); err != nil {
		return Artifacts{}, err
	}
	a.Revision = revision(ctx, o.Root)
	a.Tools, a.ToolsDigest, err = a.buildTools(ctx)
	return a, err
}

// InVirtualTime replaces vm.TCG by virtual time, in which the host's speed and load
// change nothing, and builds the QEMU for that. Artifacts for KVM and vm.Single stay as
// they are.
func (a Artifacts) InVirtualTime(ctx context.Context) (Artifacts, error) {
	switch a.Accel {
	case vm.VTime:
	case vm.TCG:
		a.Accel, a.AccelWhy = vm.VTime, a.AccelWhy+"; in virtual time the host does not matter"
		a.CPUs = cmp.Or(a.opts.CPUs, vm.DefaultCPUs(vm.VTime))
	default:
		return a, nil
	}
	var err error
	a.QEMU, err = qemu.Build(ctx, qemu.Options{Progress: a.opts.Progress})
	return a, err
}

// guestCommands are our programs in every guest. They know no experiment and no
// simulator, so that a change of those leaves the guest, and the keys of the results
// measured in it, as they were.
var guestCommands = []string{"./alps/cmd/alps", "./openlambda/cmd/ol", "./experiments/cmd/alps-loadgen"}

// buildTools compiles our programs for the guest and puts them on a disk, with the
// functions' sources and the variant's agent or worker. It returns the disk's path and
// the digest of its content.
func (a Artifacts) buildTools(ctx context.Context) (disk, sum string, err error) {
	root, commands := a.opts.Root, guestCommands
	if a.variant.Agent {
		commands = append(slices.Clip(commands), agentCommand)
	}
	dir, err := os.MkdirTemp("", "alps-tools")
	if err != nil {
		return "", "", err
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", "", err
	}
	// Without paths, revision and build ID, which counts comments, the same code gives the same bytes.
	err = command.Run(ctx, command.Cmd{Dir: root, Env: []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64"},
		Args: append([]string{"go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", bin + "/"}, commands...)})
	if err != nil {
		return "", "", fmt.Errorf("build the guest's programs: %w", err)
	}
	if a.variant.Worker != "" {
		data, err := os.ReadFile(a.variant.Worker)
		if err == nil {
			err = os.WriteFile(filepath.Join(bin, filepath.Base(otherWorker)), data, 0o755)
		}
		if err != nil {
			return "", "", fmt.Errorf("tools: worker: %w", err)
		}
	}
	if err := os.CopyFS(filepath.Join(dir, "registry"), os.DirFS(filepath.Join(root, "openlambda/functions"))); err != nil {
		return "", "", fmt.Errorf("copy the functions for the guest: %w", err)
	}
	os.RemoveAll(filepath.Join(dir, "registry", "__pycache__"))
	if sum, err = digest.New("tools/1").Dir("dir", dir).Sum(); err != nil {
		return "", "", err
	}
	disk, err = vm.ToolsDisk(ctx, dir)
	return disk, sum, err
}

// VMConfig is the configuration of the guest that Boot starts.
func (a Artifacts) VMConfig() vm.Config {
	return vm.Config{Kernel: a.Kernel.BzImage, Initrd: a.Kernel.Initrd, Disk: a.Image.Path, Tools: a.Tools, Accel: a.Accel, QEMU: a.QEMU.Path, CPUs: a.CPUs, MemMiB: a.opts.MemMiB, Shared: a.Shared}
}

// functionCPUs lists the CPUs of the functions, as "1-3": all but CPU 0, which the
// system has. In a guest with one CPU both have it.
func (a Artifacts) functionCPUs() string {
	switch a.CPUs {
	case 1:
		return "0"
	case 2:
		return "1"
	}
	return "1-" + strconv.Itoa(a.CPUs-1)
}

// FunctionCPUs is how many CPUs the functions have.
func (a Artifacts) FunctionCPUs() int { return FunctionCPUs(a.CPUs) }

// FunctionCPUs is how many of a guest's CPUs the functions have.
func FunctionCPUs(cpus int) int { return max(1, cpus-1) }

// revision is the repository's commit, with + if files differ from it or there is a new
// file that may go into what is measured (isSource); "unknown" where git does not say it.
// The record of what was measured does not count.
func revision(ctx context.Context, root string) string {
	out, err := command.Output(ctx, command.Cmd{Args: []string{"git", "-C", root, "rev-parse", "--short=12", "HEAD"}})
	if err != nil {
		return "unknown"
	}
	rev := strings.TrimSpace(string(out))
	changed, err := command.Output(ctx, command.Cmd{Args: []string{"git", "-C", root, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--", ".", ":(exclude)" + measured.Path}})
	if err != nil {
		return rev + "+"
	}
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(changed), "\x00"), "\x00") {
		if path, isNew := strings.CutPrefix(entry, "?? "); entry != "" && (!isNew || isSource(path)) {
			return rev + "+"
		}
	}
	return rev
}

// isSource says whether a file at a path in the repository may go into what is built or
// runs in the guest: source, and everything in the folders that builds take whole. An
// experiment, a result or a note of the user's does not.
func isSource(path string) bool {
	for _, whole := range []string{"openlambda/functions/", "openlambda/image/", "kernel/config/", "kernel/patches/", "vm/disk/", "vm/qemu/patches/"} {
		if strings.HasPrefix(path, whole) {
			return true
		}
	}
	return slices.Contains([]string{".go", ".c", ".h", ".s", ".S", ".o", ".py", ".patch"}, filepath.Ext(path)) || slices.Contains([]string{"go.work", "go.mod", "go.sum"}, filepath.Base(path))
}
