package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ds2-lab/alps/internal/atomicfile"
	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/internal/digest"
)

// probeLimit is how long a kernel may take under KVM to find that it has no
// root file system.
const probeLimit = 20 * time.Second

// Resolve turns Auto into KVM or TCG and says why. A /dev/kvm that opens is no
// proof: a probe guest must boot under it. The verdict is remembered per boot
// of the host and kernel.
func Resolve(ctx context.Context, a Accel, kernel string) (Accel, string, error) {
	if a != Auto && a != "" {
		return a, "as asked", nil
	}
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return TCG, fmt.Sprintf("no KVM: %v", err), nil
	}
	f.Close()
	path, err := verdictPath(kernel)
	if err != nil {
		return "", "", fmt.Errorf("accel: %w", err)
	}
	verdict, err := os.ReadFile(path)
	if err != nil {
		why := probe(ctx, kernel)
		if ctx.Err() != nil {
			return "", "", ctx.Err()
		}
		verdict = []byte(why)
		if err := atomicfile.Write(path, verdict, 0o644); err != nil {
			return "", "", fmt.Errorf("accel: %w", err)
		}
	}
	if len(verdict) > 0 {
		return TCG, "KVM does not work here: " + string(verdict), nil
	}
	return KVM, "a probe guest booted under KVM", nil
}

// Remembered is what Resolve would answer for Auto without booting anything;
// Auto if no probe guest with that kernel has been tried since the host booted.
func Remembered(kernel string) Accel {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return TCG
	}
	f.Close()
	path, err := verdictPath(kernel)
	if err != nil {
		return Auto
	}
	switch verdict, err := os.ReadFile(path); {
	case err != nil:
		return Auto
	case len(verdict) > 0:
		return TCG
	}
	return KVM
}

// verdictPath is where the verdict on a kernel is kept until the host boots.
func verdictPath(kernel string) (string, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	key, err := digest.New("kvm probe").Str("boot", string(boot)).File("kernel", kernel).Sum()
	if err != nil {
		return "", err
	}
	dir, err := cache.Dir("probe")
	return filepath.Join(dir, key), err
}

// probe boots kernel under KVM without a disk, until it panics for want of a
// root file system. It returns why that did not happen; "" if it did.
func probe(ctx context.Context, kernel string) string {
	ctx, cancel := context.WithTimeoutCause(ctx, probeLimit, fmt.Errorf("a probe guest did not boot within %s", probeLimit))
	defer cancel()
	out, err := command.Output(ctx, command.Cmd{Args: []string{"qemu-system-x86_64", "-nodefaults", "-no-reboot",
		"-display", "none", "-machine", "q35,accel=kvm", "-cpu", "host", "-smp", "2", "-m", "512",
		"-kernel", kernel, "-append", "console=ttyS0 panic=-1", "-serial", "stdio"}})
	if strings.Contains(string(out), "Unable to mount root fs") {
		return ""
	}
	var ce *command.Error
	if errors.As(err, &ce) && ctx.Err() == nil {
		return ce.Error()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx).Error()
	}
	return "a probe guest ended early"
}
