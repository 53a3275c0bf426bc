// SPDX-License-Identifier: Apache-2.0

// Package deps installs the Debian packages the targets need.
//
// It looks for what a package provides (a program, a file) before it asks the
// package manager, so a host that was set up by other means is left alone.
package deps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ds2-lab/alps/internal/command"
)

// Package is a Debian or Ubuntu package and one thing that shows it is there.
type Package struct {
	Name string
	// Have is a program's name, or, if it holds a slash, globs of absolute paths
	// with spaces between them, one of which is enough. Empty: the program has the
	// package's name.
	Have string
}

// Group is the packages that one kind of target needs. The functions below return
// the groups; their comments say what each is for.
type Group struct {
	Name     string
	Packages []Package
}

// Kernel builds Linux.
func Kernel() Group {
	return Group{"kernel", []Package{
		{"gcc", ""}, {"make", ""}, {"bc", ""}, {"bison", ""}, {"flex", ""}, {"cpio", ""},
		{"perl", ""}, {"patch", ""}, {"ccache", ""}, {"git", ""},
		{"binutils", "objdump"}, {"dpkg-dev", "dpkg-source"}, {"xz-utils", "xz"}, {"kmod", "depmod"},
		{"pahole", ""}, {"python3", ""},
		{"libc6-dev", "/usr/include/x86_64-linux-gnu/sys/types.h"},
		{"libelf-dev", "/usr/include/libelf.h"}, {"libssl-dev", "/usr/include/openssl/ssl.h"},
		{"zlib1g-dev", "/usr/include/zlib.h"},
	}}
}

// Prebuilt makes the initramfs of a kernel that is not built.
func Prebuilt() Group {
	return Group{"prebuilt kernel", []Package{
		{"kmod", "depmod"}, {"cpio", ""}, {"xz-utils", "xz"},
		{"debian-archive-keyring", "/usr/share/keyrings/debian-archive-keyring.gpg"},
	}}
}

// Peers builds the schedulers of the kernel's tools/sched_ext.
func Peers() Group {
	return Group{"peers", []Package{
		{"gcc", ""}, {"make", ""}, {"pkg-config", ""}, {"python3", ""}, {"xz-utils", "xz"}, {"tar", ""},
		{"libc6-dev", "/usr/include/x86_64-linux-gnu/sys/types.h"},
		{"linux-libc-dev", "/usr/include/x86_64-linux-gnu/asm/types.h"},
		{"libelf-dev", "/usr/include/libelf.h"}, {"libssl-dev", "/usr/include/openssl/ssl.h"},
		{"zlib1g-dev", "/usr/include/zlib.h"},
		{"debian-archive-keyring", "/usr/share/keyrings/debian-archive-keyring.gpg"},
	}}
}

// BPF compiles BPF C.
func BPF() Group {
	return Group{"bpf", []Package{
		// Pinned: the committed objects are compared byte for byte.
		{"clang-14", ""}, {"llvm-14", "llvm-strip-14"},
		{"libbpf-dev", "/usr/include/bpf/bpf_helpers.h"},
		{"linux-libc-dev", "/usr/include/x86_64-linux-gnu/asm/types.h"},
	}}
}

// Image makes the container image and the guest's disk.
func Image() Group {
	return Group{"image", []Package{
		{"mmdebstrap", ""}, {"e2fsprogs", "mke2fs"}, {"qemu-utils", "qemu-img"},
		{"debian-archive-keyring", "/usr/share/keyrings/debian-archive-keyring.gpg"},
		// For users who are not root.
		{"fakeroot", ""}, {"uidmap", "newuidmap"},
	}}
}

// QEMU runs guests.
func QEMU() Group {
	return Group{"qemu", []Package{
		{"qemu-system-x86", "qemu-system-x86_64"}, {"qemu-utils", "qemu-img"},
		{"seabios", "/usr/share/seabios/bios-256k.bin"},
		{"ipxe-qemu", "/usr/lib/ipxe/qemu/efi-virtio.rom"},
	}}
}

// QEMUBuild builds the QEMU for guests in virtual time.
func QEMUBuild() Group {
	return Group{"qemu build", []Package{
		{"gcc", ""}, {"patch", ""}, {"ccache", ""}, {"dpkg-dev", "dpkg-source"}, {"xz-utils", "xz"},
		{"ninja-build", "ninja"}, {"pkg-config", ""}, {"python3", "/usr/bin/python3"}, {"bzip2", ""},
		{"python3-venv", "/usr/lib/python3*/ensurepip/__init__.py"},
		{"libc6-dev", "/usr/include/x86_64-linux-gnu/sys/types.h"},
		{"libglib2.0-dev", "/usr/include/glib-2.0/glib.h"}, {"zlib1g-dev", "/usr/include/zlib.h"},
		{"libslirp-dev", "/usr/include/slirp/libslirp.h"}, {"libfdt-dev", "/usr/include/libfdt.h"},
		{"libattr1-dev", "/usr/include/attr/attributes.h"},
	}}
}

// Functions runs the functions' tests on the host.
func Functions() Group {
	return Group{"functions", []Package{
		{"python3", ""}, {"python3-igraph", "/usr/lib/python3/dist-packages/igraph/__init__.py"},
	}}
}

// Race links tests with the race detector.
func Race() Group {
	return Group{"race", []Package{
		{"gcc", ""}, {"libc6-dev", "/usr/include/x86_64-linux-gnu/sys/types.h"},
	}}
}

// Browser loads the report in a test.
func Browser() Group {
	return Group{"browser", []Package{{"chromium", "/usr/bin/chromium /usr/bin/google-chrome"}}}
}

// All is every group.
func All() []Group {
	return []Group{Kernel(), Prebuilt(), Peers(), BPF(), Image(), QEMU(), QEMUBuild(), Functions(), Race(), Browser()}
}

// ErrNeedRoot is returned when packages are missing and there is neither root
// nor sudo. Its message carries the command to run.
var ErrNeedRoot = errors.New("root is needed")

// Missing lists the packages of groups that are not there, sorted.
func Missing(groups ...Group) []string {
	var names []string
	for _, g := range groups {
		for _, p := range g.Packages {
			if !have(p) {
				names = append(names, p.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Ensure installs the packages that are missing and names them on log first. Without
// root and sudo it returns ErrNeedRoot with the command that a person has to run;
// without apt-get, or if packages are missing afterwards, an error that names them.
func Ensure(ctx context.Context, log io.Writer, groups ...Group) error {
	missing := Missing(groups...)
	if len(missing) == 0 {
		return nil
	}
	install := append([]string{"apt-get", "install", "-y", "--no-install-recommends"}, missing...)
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("missing on this host: %s: no apt-get here; install them by your own package manager", strings.Join(missing, " "))
	}
	var prefix []string
	if os.Geteuid() != 0 {
		if _, err := exec.LookPath("sudo"); err != nil {
			return fmt.Errorf("%w to install packages; run as root: apt-get update && %s", ErrNeedRoot, strings.Join(install, " "))
		}
		prefix = []string{"sudo", "--preserve-env=DEBIAN_FRONTEND"}
	}
	fmt.Fprintf(log, "installing Debian packages: %s\n", strings.Join(missing, " "))
	for _, args := range [][]string{{"apt-get", "-q", "update"}, install} {
		err := command.Run(ctx, command.Cmd{
			Args: append(slices.Clone(prefix), args...),
			Env:  []string{"DEBIAN_FRONTEND=noninteractive"},
		})
		if err == nil {
			continue
		}
		var ce *command.Error
		if errors.As(err, &ce) {
			fmt.Fprintln(log, ce.Tail)
		}
		return fmt.Errorf("install packages: %w (by hand: %s)", err, strings.Join(args, " "))
	}
	if still := Missing(groups...); len(still) > 0 {
		return fmt.Errorf("apt-get said yes, but these are still missing: %s", strings.Join(still, " "))
	}
	return nil
}

func have(p Package) bool {
	want := p.Have
	if want == "" {
		want = p.Name
	}
	if !strings.Contains(want, "/") {
		return program(want)
	}
	for _, glob := range strings.Fields(want) {
		if m, err := filepath.Glob(glob); err == nil && len(m) > 0 {
			return true
		}
	}
	return false
}

// program says whether a program is there: in PATH, or in the system's directories, which a plain
// user's PATH may lack.
func program(name string) bool {
	if _, err := exec.LookPath(name); err == nil {
		return true
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if st, err := os.Stat(filepath.Join(dir, name)); err == nil && st.Mode()&fs.ModePerm&0o111 != 0 {
			return true
		}
	}
	return false
}
