// SPDX-License-Identifier: Apache-2.0

package image

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/internal/deps"
	"github.com/ds2-lab/alps/internal/digest"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/openlambda/sandbox"
)

// suite is the Debian release of the functions' image.
const suite = "bookworm"

// packages is what the functions need: an interpreter and igraph; and packaging,
// by which requirements.txt is checked.
var packages = []string{"python3-minimal", "python3-igraph", "python3-packaging"}

var packageRE = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9.+:~-]+)?$`)

// layout makes the image one that OpenLambda's own worker can use as well: its
// containers run /spin, and it starts the server in them by this path.
const layout = `cd "$1/runtimes/python" && ln -s server.py server_legacy.py && cd ../.. &&
printf '#!/bin/sh\nexec sleep infinity\n' >spin && chmod 755 spin`

// trim removes what no function reads.
const trim = `cd "$1" && rm -rf usr/share/doc usr/share/man usr/share/locale usr/share/zoneinfo usr/share/info \
usr/share/perl5 usr/lib/x86_64-linux-gnu/perl-base usr/lib/x86_64-linux-gnu/gconv usr/lib/udev usr/lib/systemd \
var/lib/apt var/lib/dpkg var/cache var/log boot media mnt srv usr/share/bash-completion usr/lib/python3/dist-packages/igraph/drawing/*/__pycache__`

// Options say how to make the functions' image.
type Options struct {
	Packages []string // of Debian, beside what the image always has: python3-flask
	Wheels   string   // a folder of wheels, "" for none
	Tag      string   // of the image; "": lambda:latest
	Progress *progress.Reporter
}

// Image is a docker-archive (docker load -i Path), tagged lambda:latest unless
// Options say otherwise.
type Image struct {
	Path   string
	Digest string // of everything that went in
	Hit    bool
}

// Build returns the functions' container image, making it without a
// Docker daemon if one with the same content is not cached.
func Build(ctx context.Context, o Options) (Image, error) {
	wheels, err := o.check()
	if err != nil {
		return Image{}, err
	}
	all := slices.Concat(packages, o.Packages)
	d := digest.New("lambda/3").Str("suite", suite).Str("tag", o.Tag).Str("packages", strings.Join(all, " ")).Str("layout", layout).Str("trim", trim)
	names, err := fs.Glob(sandbox.Files, "*.py")
	if err != nil {
		return Image{}, err
	}
	for _, name := range names {
		data, err := sandbox.Files.ReadFile(name)
		if err != nil {
			return Image{}, err
		}
		d = d.Str(name, string(data))
	}
	for _, w := range wheels {
		d = d.File(filepath.Base(w), w)
	}
	key, err := d.Sum()
	if err != nil {
		return Image{}, err
	}
	e, err := cache.Get(ctx, "lambda", key, func(ctx context.Context, dir string) error {
		step := o.Progress.Step("functions' container image", 0, 0)
		if err := build(ctx, dir, cmp.Or(o.Tag, "lambda:latest"), all, wheels); err != nil {
			return fmt.Errorf("image lambda: %w", err)
		}
		step.Done("")
		return nil
	})
	if err != nil {
		return Image{}, err
	}
	return Image{Path: filepath.Join(e.Dir, "lambda.tar"), Digest: key, Hit: e.Hit}, nil
}

// check returns the wheels, and refuses what is no name of a package.
func (o Options) check() (wheels []string, err error) {
	for _, p := range o.Packages {
		if !packageRE.MatchString(p) {
			return nil, fmt.Errorf("image: package %q: want a Debian package, as python3-flask or python3-flask=2.2.2-3", p)
		}
	}
	if o.Wheels == "" {
		return nil, nil
	}
	wheels, err = filepath.Glob(filepath.Join(o.Wheels, "*.whl"))
	if err == nil && len(wheels) == 0 {
		err = fmt.Errorf("image: no *.whl in %s", o.Wheels)
	}
	for _, w := range wheels {
		if strings.ContainsAny(filepath.Base(w), "' \t\n") {
			return nil, fmt.Errorf("image: wheel %q: its name cannot be used", w)
		}
	}
	return wheels, err
}

func build(ctx context.Context, dir, label string, packages, wheels []string) error {
	server, root := filepath.Join(dir, "server"), filepath.Join(dir, "root.tar")
	if err := os.Mkdir(server, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(server)
	if err := sandbox.Install(server); err != nil {
		return err
	}
	args := []string{"mmdebstrap", "--quiet", "--variant=essential", "--format=tar",
		"--include=" + strings.Join(packages, ","),
		`--aptopt=APT::Install-Recommends "false"`,
		`--customize-hook=mkdir -p "$1/runtimes/python"`,
		"--customize-hook=sync-in " + server + " /runtimes/python",
		"--customize-hook=" + layout,
	}
	for _, w := range wheels {
		at := "/tmp/" + filepath.Base(w)
		args = append(args, "--customize-hook=upload "+w+" "+at,
			`--customize-hook=chroot "$1" python3 -m zipfile -e '`+at+`' /usr/lib/python3/dist-packages && rm "$1`+at+`"`)
	}
	args = append(args,
		// Compiled once here, not in every container.
		`--customize-hook=chroot "$1" python3 -m compileall -q /usr/lib/python3 /usr/lib/python3.11 || true`,
		"--customize-hook="+trim,
		suite, root)
	if sources := deps.DebianSources(suite); sources != "" {
		args = append(args, sources)
	}
	if err := command.Run(ctx, command.Cmd{Args: args}); err != nil {
		return err
	}
	layer, err := tarball.LayerFromFile(root)
	if err != nil {
		return err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return err
	}
	cf, err := img.ConfigFile()
	if err != nil {
		return err
	}
	cf = cf.DeepCopy()
	cf.Architecture, cf.OS = "amd64", "linux"
	cf.Config = v1.Config{Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE=1", "PYTHONHASHSEED=0"}, WorkingDir: "/"}
	if img, err = mutate.ConfigFile(img, cf); err != nil {
		return err
	}
	tag, err := name.NewTag(label)
	if err != nil {
		return err
	}
	if err := tarball.WriteToFile(filepath.Join(dir, "lambda.tar"), tag, img); err != nil {
		return err
	}
	return os.Remove(root)
}
