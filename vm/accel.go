// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
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

// probeGoal is on the console of a kernel that booted without a disk.
const probeGoal = "Unable to mount root fs"

// kvmCPU is the guest's processor under KVM: the host's without the register
// IA32_ARCH_CAPABILITIES (MSR 0x10a). QEMU sets that register before the guest
// runs, and aborts where KVM refuses it, as some nested KVMs do.
const kvmCPU = "host,arch-capabilities=off"

// host says where a host shows that it has KVM, and how KVM is tried.
type host struct {
	device  string                                                // /dev/kvm
	modules string                                                // /sys/module
	probe   func(ctx context.Context, kernel string) (why string) // boots it; "" if that works
}

func thisHost() host {
	return host{"/dev/kvm", "/sys/module", func(ctx context.Context, kernel string) string { return probe(ctx, kernel, probeLimit) }}
}

// Resolve turns Auto, or "", into KVM or TCG and says why; it returns any other
// accelerator as it is. A /dev/kvm that opens is no proof: the processor must be behind
// it, and a probe guest must boot. The verdict is remembered per boot of the host, QEMU
// and kernel (the path of a bzImage).
func Resolve(ctx context.Context, a Accel, kernel string) (Accel, string, error) {
	return thisHost().resolve(ctx, a, kernel)
}

func (h host) resolve(ctx context.Context, a Accel, kernel string) (Accel, string, error) {
	if a != Auto && a != "" {
		return a, "as asked", nil
	}
	if why := h.without(); why != "" {
		return TCG, why, nil
	}
	path, err := verdictPath(kernel)
	if err != nil {
		return "", "", fmt.Errorf("vm: name the verdict on KVM: %w", err)
	}
	verdict, err := os.ReadFile(path)
	if err != nil {
		why := h.probe(ctx, kernel)
		if ctx.Err() != nil {
			return "", "", ctx.Err()
		}
		verdict = []byte(why)
		if err := atomicfile.Write(path, verdict, 0o644); err != nil {
			return "", "", fmt.Errorf("vm: keep the verdict on KVM: %w", err)
		}
	}
	accel, why := judge(verdict)
	return accel, why, nil
}

// judge reads a verdict: why no probe guest booted under KVM; empty if one did.
func judge(verdict []byte) (Accel, string) {
	if len(verdict) > 0 {
		return TCG, "KVM does not work here: " + string(verdict)
	}
	return KVM, "a probe guest booted under KVM"
}

// Remembered is what Resolve would answer for Auto without booting anything;
// Auto if no probe guest with that kernel has been tried since the host booted.
func Remembered(kernel string) Accel { return thisHost().remembered(kernel) }

func (h host) remembered(kernel string) Accel {
	if h.without() != "" {
		return TCG
	}
	path, err := verdictPath(kernel)
	if err != nil {
		return Auto
	}
	verdict, err := os.ReadFile(path)
	if err != nil {
		return Auto
	}
	accel, _ := judge(verdict)
	return accel
}

// without says why KVM need not be tried; "" if a probe guest has to decide.
//
// The modules kvm_intel and kvm_amd drive the processor's virtualisation. /sys/module
// lists each whether it was loaded or built in. A KVM without them
// interprets the guest's kernel in software: slower than QEMU's emulation, and
// an instruction that it does not know ends the guest.
func (h host) without() string {
	f, err := os.OpenFile(h.device, os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("no KVM: %v (add this user to the group kvm, and log in again)", err)
	case err != nil:
		return fmt.Sprintf("no KVM: %v", err)
	}
	f.Close()
	loaded, err := filepath.Glob(filepath.Join(h.modules, "kvm*"))
	if err != nil || len(loaded) == 0 {
		return "" // the modules cannot be seen, as in some containers
	}
	var names []string
	for _, m := range loaded {
		switch name := filepath.Base(m); name {
		case "kvm_intel", "kvm_amd":
			return ""
		default:
			names = append(names, name)
		}
	}
	return fmt.Sprintf("no KVM: %s is there, but neither kvm_intel nor kvm_amd (only %s), so KVM interprets guests in software",
		h.device, strings.Join(names, ", "))
}

// verdictPath is where the verdict on a kernel is kept. After the next boot of the host
// it is another path.
func verdictPath(kernel string) (string, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	d := digest.New("kvm probe/2").Str("boot", string(boot)).Str("args", strings.Join(probeArgs(""), " ")).File("kernel", kernel)
	if qemu, err := exec.LookPath(probeArgs("")[0]); err == nil {
		if st, err := os.Stat(qemu); err == nil {
			d.Str("qemu", fmt.Sprint(qemu, st.Size(), st.ModTime().UnixNano()))
		}
	}
	key, err := d.Sum()
	if err != nil {
		return "", err
	}
	dir, err := cache.Dir("probe")
	return filepath.Join(dir, key), err
}

func probeArgs(kernel string) []string {
	return []string{"qemu-system-x86_64", "-nodefaults", "-no-reboot",
		"-display", "none", "-machine", "q35,accel=kvm", "-cpu", kvmCPU, "-smp", "2", "-m", "512",
		"-kernel", kernel, "-append", "console=ttyS0 panic=-1", "-serial", "stdio"}
}

// probe boots kernel under KVM without a disk, until it panics for want of a
// root file system. It returns why that did not happen; "" if it did.
func probe(ctx context.Context, kernel string, limit time.Duration) string {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("a probe guest did not boot within %s", limit))
	defer cancel()
	var complaints bytes.Buffer
	console, err := command.Output(ctx, command.Cmd{Args: probeArgs(kernel), Stderr: &complaints})
	if strings.Contains(string(console), probeGoal) {
		return ""
	}
	var why string
	var ce *command.Error
	switch {
	case ctx.Err() != nil:
		why = context.Cause(ctx).Error()
	case errors.As(err, &ce):
		why = fmt.Sprintf("%s: %v", ce.Args[0], ce.Err)
	default:
		why = "a probe guest ended early"
	}
	if said := complaint(complaints.String()); said != "" {
		return why + ": " + said
	}
	if lines := strings.Split(strings.TrimSpace(string(console)), "\n"); lines[0] != "" {
		return why + "; the last line of its console: " + strings.TrimSpace(lines[len(lines)-1])
	}
	return why
}

// complaint is the end of QEMU's standard error in one line. QEMU says what went
// wrong before it aborts by an assertion, so the last line alone is not enough.
func complaint(stderr string) string {
	const most = 3
	var lines []string
	for line := range strings.Lines(stderr) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "qemu-system-x86_64: ")
		if line != "" && !strings.HasPrefix(line, "warning: ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-most):], "; ")
}
