// SPDX-License-Identifier: Apache-2.0

// Package disk makes the disk that every guest boots from: Debian with Docker and
// the functions' container image in it.
package disk

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/internal/deps"
	"github.com/ds2-lab/alps/internal/digest"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/vm"
)

// suite is the Debian release of the guest: the last with Docker 20.10, the
// paper's.
const suite = "bookworm"

// diskSize is the size that the guest sees; on the host only what was written takes
// room.
const diskSize = "8G"

// packages is the guest's whole system.
var packages = []string{"systemd", "systemd-sysv", "udev", "dbus", "docker.io", "iptables",
	"openssh-server", "iproute2", "curl", "procps", "util-linux"}

//go:embed all:guest
var guestFiles embed.FS

//go:embed provision.sh
var provisionScript string

// Options say what goes into the disk, and how the guest boots that provisions it.
type Options struct {
	Kernel   string   // bzImage to provision with; required. Any kernel leaves the same disk
	Initrd   string   // its initramfs, or ""
	Accel    vm.Accel // as resolved: not vm.Auto
	QEMU     string   // as in vm.Config
	Lambda   string   // docker-archive tar of the functions' image, loaded into Docker; "" for none
	Progress *progress.Reporter
}

// Image is a provisioned disk.
type Image struct {
	Path   string // qcow2
	Digest string // of everything that went in but the ssh key, so that it is the same on every host
	Hit    bool   // it was in the cache
}

// Build returns the guest's disk, making it if one with the same content
// is not cached: a base by mmdebstrap and mke2fs, then one boot in which the
// functions' container image is loaded into Docker.
func Build(ctx context.Context, o Options) (Image, error) {
	key, err := vm.KeyPair()
	if err != nil {
		return Image{}, err
	}
	sources := deps.DebianSources(suite)
	content, err := digest.New("vm base/2").Str("suite", suite).Str("packages", strings.Join(packages, " ")).
		Str("size", diskSize).FS("guest", guestFiles).Str("script", provisionScript).Sum()
	if err != nil {
		return Image{}, err
	}
	withKey := func(content string) (string, error) {
		return digest.New("with key").Str("content", content).Str("key", string(ssh.MarshalAuthorizedKey(key.PublicKey()))).Sum()
	}
	baseKey, err := withKey(content)
	if err != nil {
		return Image{}, err
	}
	base, err := cache.Get(ctx, "image-base", baseKey, func(ctx context.Context, dir string) error {
		step := o.Progress.Step("image: Debian "+suite, 0, 0)
		if err := buildBase(ctx, dir, sources, key); err != nil {
			return fmt.Errorf("image: build Debian %s: %w", suite, err)
		}
		step.Done("")
		return nil
	})
	if err != nil {
		return Image{}, err
	}
	full := digest.New("vm image/2").Str("base", content)
	if o.Lambda != "" {
		full.File("lambda", o.Lambda)
	}
	sum, err := full.Sum()
	if err != nil {
		return Image{}, err
	}
	imageKey, err := withKey(sum)
	if err != nil {
		return Image{}, err
	}
	e, err := cache.Get(ctx, "image", imageKey, func(ctx context.Context, dir string) error {
		step := o.Progress.Step("image: provision in a guest", 0, 0)
		if err := provision(ctx, filepath.Join(base.Dir, "base.raw"), filepath.Join(dir, "disk.qcow2"), o); err != nil {
			return fmt.Errorf("image: provision: %w", err)
		}
		step.Done("")
		return nil
	})
	if err != nil {
		return Image{}, err
	}
	return Image{Path: filepath.Join(e.Dir, "disk.qcow2"), Digest: sum, Hit: e.Hit}, nil
}

func buildBase(ctx context.Context, dir, sources string, key ssh.Signer) error {
	overlay := filepath.Join(dir, "files")
	if err := writeGuestFiles(overlay, key); err != nil {
		return err
	}
	tar := filepath.Join(dir, "root.tar")
	args := []string{"mmdebstrap", "--quiet", "--variant=minbase", "--format=tar",
		"--include=" + strings.Join(packages, ","),
		"--aptopt=APT::Install-Recommends \"false\"",
		"--customize-hook=copy-in " + overlay + "/etc /",
		"--customize-hook=chroot \"$1\" sh /etc/alps-setup.sh",
		"--customize-hook=rm \"$1/etc/alps-setup.sh\""}
	for _, path := range []string{"doc", "man", "locale", "info"} {
		args = append(args, "--dpkgopt=path-exclude=/usr/share/"+path+"/*")
	}
	args = append(args, suite, tar)
	if sources != "" {
		args = append(args, sources)
	}
	if err := command.Run(ctx, command.Cmd{Args: args}); err != nil {
		return err
	}
	// fakeroot lets a plain user unpack owners and devices and put them into
	// the file system.
	script := `set -e; mkdir root; tar -C root -xf root.tar; rm root.tar
truncate -s ` + diskSize + ` base.raw
PATH=$PATH:/usr/sbin:/sbin mke2fs -q -F -t ext4 -L root -E lazy_itable_init=1,lazy_journal_init=1 -d root base.raw
rm -r root files`
	sh := []string{"sh", "-c", script}
	if os.Geteuid() != 0 {
		sh = append([]string{"fakeroot", "--"}, sh...)
	}
	return command.Run(ctx, command.Cmd{Args: sh, Dir: dir})
}

// writeGuestFiles lays out the embedded files and the ssh keys under dir.
func writeGuestFiles(dir string, key ssh.Signer) error {
	if err := os.CopyFS(dir, guestRoot()); err != nil {
		return err
	}
	hostPEM, _, err := vm.NewKey()
	if err != nil {
		return err
	}
	return errors.Join(
		os.MkdirAll(filepath.Join(dir, "etc/ssh"), 0o755),
		os.WriteFile(filepath.Join(dir, "etc/ssh/authorized_keys"), ssh.MarshalAuthorizedKey(key.PublicKey()), 0o644),
		os.WriteFile(filepath.Join(dir, "etc/ssh/ssh_host_ed25519_key"), hostPEM, 0o600),
		os.WriteFile(filepath.Join(dir, "etc/alps-setup.sh"), []byte(provisionScript), 0o755),
	)
}

// provision boots base once and loads the container image.
func provision(ctx context.Context, base, disk string, o Options) error {
	if err := command.Run(ctx, command.Cmd{Args: []string{"qemu-img", "convert", "-O", "qcow2", base, disk}}); err != nil {
		return err
	}
	g, err := vm.Start(ctx, vm.Config{Kernel: o.Kernel, Initrd: o.Initrd, Disk: disk, Writable: true, Extra: o.Lambda, Accel: o.Accel, QEMU: o.QEMU})
	if err != nil {
		return err
	}
	defer g.Close()
	if err := g.WaitDocker(ctx, 3*time.Minute); err != nil {
		return err
	}
	if o.Lambda != "" {
		// The tar is a raw disk of the guest: it need not go through an emulated network.
		if err := g.Run(ctx, vm.Cmd{Line: "docker load -q -i /dev/vdb"}); err != nil {
			return fmt.Errorf("load %s into Docker: %w", filepath.Base(o.Lambda), err)
		}
	}
	if err := g.Run(ctx, vm.Cmd{Line: "rm -rf /var/log/journal /tmp/*; sync"}); err != nil {
		return err
	}
	return g.PowerOff(ctx)
}

// guestRoot is the embedded files as they lie below the guest's root.
func guestRoot() fs.FS {
	sub, err := fs.Sub(guestFiles, "guest")
	if err != nil {
		panic(err) // the directory is embedded by name
	}
	return sub
}
