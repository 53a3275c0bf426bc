// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"context"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/vm/qemu"
)

// Mark says whether a Finding asks for something to be done.
type Mark string

// Marks.
const (
	OK      Mark = "ok"
	Bad     Mark = "!!" // to be mended, or to be lived with
	Unknown Mark = "??" // not tried yet
)

// Finding is something about this host.
type Finding struct {
	Name string
	Mark Mark
	Says string
}

func badIf(bad bool) Mark {
	if bad {
		return Bad
	}
	return OK
}

const (
	wantMemory = 8  // GiB of the host, for a guest and a kernel build
	wantDisk   = 20 // GB that are free, for kernels, images and the compiler's cache
)

// memory judges how much of the host's memory Linux manages, in bytes. That is some
// hundred MiB less than there is.
func memory(total uint64) Finding {
	gib := (total + 1<<29) >> 30
	return Finding{"memory", badIf(gib < wantMemory), fmt.Sprintf("%d GiB; %d are enough", gib, wantMemory)}
}

// freeDisk judges how many bytes are free where the cache lies, at root.
func freeDisk(free uint64, root string) Finding {
	gb := free / 1e9
	return Finding{"disk", badIf(gb < wantDisk), fmt.Sprintf("%d GB free at %s; %d are enough", gb, root, wantDisk)}
}

// Examine looks at what guests need of this host. KVM is tried with the first of
// kernels, paths of bzImages, as by Resolve; without kernels it is not tried.
func Examine(ctx context.Context, kernels []string) []Finding {
	out := []Finding{qemuVersion(ctx), vtimeQEMU(), kvm(ctx, thisHost(), kernels)}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err == nil {
		out = append(out, memory(uint64(info.Totalram)*uint64(info.Unit)))
	}
	out = append(out, Finding{"CPUs", badIf(runtime.NumCPU() < 2), fmt.Sprintf("%d; a guest gets %d under KVM, %d under emulation",
		runtime.NumCPU(), DefaultCPUs(KVM), DefaultCPUs(TCG))})
	root, err := cache.Root()
	if err != nil {
		return append(out, Finding{"cache", Bad, err.Error()})
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(root, &fs); err == nil {
		out = append(out, freeDisk(fs.Bavail*uint64(fs.Bsize), root))
	}
	guests, err := List()
	if err != nil {
		return append(out, Finding{"guests", Bad, err.Error()})
	}
	return append(out, Finding{"guests", OK, fmt.Sprintf("%d running", len(guests))})
}

func qemuVersion(ctx context.Context) Finding {
	out, err := command.Output(ctx, command.Cmd{Args: []string{"qemu-system-x86_64", "--version"}})
	if err != nil {
		return Finding{"QEMU", Bad, err.Error()}
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return Finding{"QEMU", OK, line}
}

// vtimeQEMU tells which QEMU for virtual time is there.
func vtimeQEMU() Finding {
	const name = "virtual time"
	built, err := qemu.Cached()
	switch {
	case err != nil:
		return Finding{name, Bad, err.Error()}
	case len(built) == 0:
		return Finding{name, Unknown, "its QEMU is built when a guest needs it, in minutes (or now: go run mage.go vm:qemu)"}
	}
	last := built[len(built)-1]
	return Finding{name, OK, fmt.Sprintf("%s with the project's series (%s)", last.Version, last.Source)}
}

func kvm(ctx context.Context, h host, kernels []string) Finding {
	const emulated = "; guests are emulated, several times slower"
	if why := h.without(); why != "" {
		return Finding{"KVM", Bad, why + emulated}
	}
	if len(kernels) == 0 {
		return Finding{"KVM", Unknown, h.device + " opens; whether a guest boots under it is known once there is a kernel (go run mage.go kernel:build)"}
	}
	accel, why, err := h.resolve(ctx, Auto, kernels[0])
	switch {
	case err != nil:
		return Finding{"KVM", Bad, err.Error()}
	case accel != KVM:
		return Finding{"KVM", Bad, why + emulated}
	}
	return Finding{"KVM", OK, why}
}
