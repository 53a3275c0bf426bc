package vm

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/internal/command"
)

// Finding is something about this host.
type Finding struct {
	Name string
	Bad  bool
	Says string
}

const (
	wantMemory = 8 << 30  // of the host, for a guest and a kernel build
	wantDisk   = 20 << 30 // for kernels, images and the compiler's cache
)

// Examine looks at what guests need of this host. KVM is tried with the first
// of kernels, bzImages by path; the verdict is that of Resolve.
func Examine(ctx context.Context, kernels []string) []Finding {
	out := []Finding{qemuVersion(ctx), kvm(ctx, kernels)}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err == nil {
		total := uint64(info.Totalram) * uint64(info.Unit)
		out = append(out, Finding{"memory", total < wantMemory, fmt.Sprintf("%d GiB; %d are enough", total>>30, wantMemory>>30)})
	}
	out = append(out, Finding{"CPUs", runtime.NumCPU() < 2, fmt.Sprintf("%d; a guest gets %d under KVM, %d under emulation",
		runtime.NumCPU(), DefaultCPUs(KVM), DefaultCPUs(TCG))})
	root, err := cache.Root()
	if err != nil {
		return append(out, Finding{"cache", true, err.Error()})
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(root, &fs); err == nil {
		free := fs.Bavail * uint64(fs.Bsize)
		out = append(out, Finding{"disk", free < wantDisk, fmt.Sprintf("%d GiB free at %s; %d are enough", free>>30, root, wantDisk>>30)})
	}
	guests, err := List()
	if err != nil {
		return append(out, Finding{"guests", true, err.Error()})
	}
	return append(out, Finding{"guests", false, fmt.Sprintf("%d running", len(guests))})
}

func qemuVersion(ctx context.Context) Finding {
	out, err := command.Output(ctx, command.Cmd{Args: []string{"qemu-system-x86_64", "--version"}})
	if err != nil {
		return Finding{"QEMU", true, err.Error()}
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return Finding{"QEMU", false, line}
}

func kvm(ctx context.Context, kernels []string) Finding {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return Finding{"KVM", true, err.Error() + "; guests are emulated, several times slower"}
	}
	f.Close()
	if len(kernels) == 0 {
		return Finding{"KVM", false, "/dev/kvm opens; whether a guest boots is tried when a kernel is built"}
	}
	accel, why, err := Resolve(ctx, Auto, kernels[0])
	switch {
	case err != nil:
		return Finding{"KVM", true, err.Error()}
	case accel != KVM:
		return Finding{"KVM", true, why + "; guests are emulated, several times slower"}
	}
	return Finding{"KVM", false, why}
}
