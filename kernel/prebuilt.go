// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/ds2-lab/alps/internal/apt"
	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/internal/digest"
	"github.com/ds2-lab/alps/kernel/initramfs"
)

// imagePrefix is followed by the release in the name of a Debian kernel.
const imagePrefix = "linux-image-"

// packages are those of a prebuilt kernel in its suite.
type packages struct {
	suite   apt.Suite
	image   apt.Package
	release string
	list    []apt.Package // image first
}

// install returns the prebuilt kernel k, downloading it if the newest of its
// packages is not in the cache.
func install(ctx context.Context, k Kernel, o Options) (Built, error) {
	if o.Src != "" || o.Debug || len(o.Extra) > 0 {
		return Built{}, fmt.Errorf("kernel %s: it is taken as Debian builds it: -src, -debug and -config are for kernels that are built here (kernel/kernels.yaml)", k.Name.V)
	}
	return apt.Again(func() (Built, error) { return installNewest(ctx, k, o) })
}

func installNewest(ctx context.Context, k Kernel, o Options) (Built, error) {
	fail := func(err error) (Built, error) { return Built{}, fmt.Errorf("kernel %s: %w", k.Name.V, err) }
	modules, err := initramfs.ReadList(filepath.Join(o.Dir, k.Modules.V))
	if err != nil {
		return fail(err)
	}
	work, err := os.MkdirTemp("", "alps-initramfs")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(work)
	init := filepath.Join(work, "init")
	if err := initramfs.BuildInit(ctx, filepath.Join(o.Dir, "initramfs/init"), init); err != nil {
		return fail(err)
	}
	p, err := findPackages(ctx, k)
	if err != nil {
		return fail(err)
	}
	d := digest.New("prebuilt kernel/1").File("init", init)
	for _, pkg := range p.list {
		d.Str("package", pkg.Name+"="+pkg.Version+" "+pkg.SHA256)
	}
	for _, m := range modules {
		d.Str("module", m.Name)
	}
	key, err := d.Sum()
	if err != nil {
		return fail(err)
	}
	e, err := cache.Make(ctx, "kernel", key, o.Force, func(ctx context.Context, dir string) error {
		step := o.Progress.Step("kernel "+k.Name.V+": "+p.image.Name, 0, 0)
		tree := filepath.Join(dir, "tree")
		if err := p.unpack(ctx, tree); err != nil {
			return err
		}
		n, err := initramfs.Build(ctx, filepath.Join(dir, initrdName), init, initramfs.Tree{Dir: tree, Release: p.release}, modules)
		if err != nil {
			return err
		}
		if err := p.keep(tree, dir, k.Name.V, key); err != nil {
			return err
		}
		step.Done(fmt.Sprintf("%d modules", n))
		return os.RemoveAll(tree)
	})
	if err != nil {
		return fail(err)
	}
	return read(e.Dir, e.Hit)
}

// findPackages finds the packages of the first source of k whose suite has them.
func findPackages(ctx context.Context, k Kernel) (packages, error) {
	var errs []error
	for _, s := range k.Sources {
		p, err := s.find(ctx)
		if err == nil {
			return p, nil
		}
		if ctx.Err() != nil {
			return packages{}, ctx.Err()
		}
		errs = append(errs, err)
	}
	return packages{}, fmt.Errorf("%w:\n%w", ErrUnavailable, errors.Join(errs...))
}

func (s Source) find(ctx context.Context) (p packages, err error) {
	if p.suite, err = apt.Open(ctx, s.Suite.V); err != nil {
		return packages{}, err
	}
	if p.image, err = p.suite.Newest(ctx, s.Binary.V); err != nil {
		return packages{}, err
	}
	p.release = strings.TrimPrefix(p.image.Name, imagePrefix)
	p.list = []apt.Package{p.image}
	// Debian divides a kernel into linux-image, -base, -binary and -modules; older ones are the image alone.
	if parts := sameRelease(p.image.Depends, p.release); len(parts) > 0 {
		more, err := p.suite.Packages(ctx, parts...)
		if err != nil {
			return packages{}, err
		}
		p.list = append(p.list, more...)
	}
	return p, nil
}

// sameRelease are those of the packages called names that are parts of the kernel release.
func sameRelease(names []string, release string) []string {
	var parts []string
	for _, name := range names {
		if strings.HasPrefix(name, "linux-") && strings.HasSuffix(name, "-"+release) {
			parts = append(parts, name)
		}
	}
	return parts
}

// unpack downloads the packages into tree.
func (p packages) unpack(ctx context.Context, tree string) error {
	if err := os.Mkdir(tree, 0o755); err != nil {
		return err
	}
	var specs []string
	for _, pkg := range p.list {
		specs = append(specs, pkg.Name+"="+pkg.Version)
	}
	return p.suite.UnpackBinary(ctx, tree, specs...)
}

var compilerRE = regexp.MustCompile(`(?m)^CONFIG_CC_VERSION_TEXT="(.*)"$`)

// keep moves from tree to dir what is needed to boot and to tell what it is.
func (p packages) keep(tree, dir, name, key string) error {
	// Newer packages have the files below usr/lib/modules, older ones in boot.
	find := func(what string) (string, error) {
		for _, path := range []string{filepath.Join("usr/lib/modules", p.release, what), filepath.Join("boot", what+"-"+p.release)} {
			if _, err := os.Stat(filepath.Join(tree, path)); err == nil {
				return filepath.Join(tree, path), nil
			}
		}
		return "", fmt.Errorf("%s: no %s in it", p.image.Name, what)
	}
	for what, as := range map[string]string{"vmlinuz": bzImageName, "config": configName} {
		path, err := find(what)
		if err != nil {
			return err
		}
		if err := os.Rename(path, filepath.Join(dir, as)); err != nil {
			return err
		}
	}
	config, err := os.ReadFile(filepath.Join(dir, configName))
	if err != nil {
		return err
	}
	b := Built{Name: name, Release: p.release, Source: "package " + p.image.Name + "=" + p.image.Version, Key: key}
	if b.ConfigDigest, err = digest.New("kernel config").Str("config", string(config)).Sum(); err != nil {
		return err
	}
	if m := compilerRE.FindSubmatch(config); m != nil {
		b.Compiler = string(m[1])
	}
	meta, err := b.meta()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, metaName), meta, 0o644)
}
