// SPDX-License-Identifier: Apache-2.0

// Package image makes the container image of functions: Debian with Python and the
// server, without a Docker daemon. The same content is made once (package cache).
package image

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
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

// packages are those that the artifact's functions need, an interpreter and igraph; and
// packaging, with which the server checks requirements.txt.
var packages = []string{"python3-minimal", "python3-igraph", "python3-packaging"}

var packageRE = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9.+:~-]+)?$`)

// trim is a shell command, given the root directory as $1, that removes files which no
// function reads.
const trim = `cd "$1" && rm -rf usr/share/doc usr/share/man usr/share/locale usr/share/zoneinfo usr/share/info \
usr/share/perl5 usr/lib/x86_64-linux-gnu/perl-base usr/lib/x86_64-linux-gnu/gconv usr/lib/udev usr/lib/systemd \
var/lib/apt var/lib/dpkg var/cache var/log boot media mnt srv usr/share/bash-completion usr/lib/python3/dist-packages/igraph/drawing/*/__pycache__`

// Options say how to make the functions' image.
type Options struct {
	Packages []string // Debian's, beside those that the image always has; such as python3-flask
	Wheels   string   // a folder of wheels, "" for none
	Tag      string   // of the image; "": lambda:latest
	Progress *progress.Reporter
}

// Image is a docker-archive (docker load -i Path), tagged lambda:latest unless
// Options say otherwise.
type Image struct {
	Path   string
	Digest string // of everything that went in
	Hit    bool   // it was made before
}

// Build returns the functions' container image, making it without a
// Docker daemon if one with the same content is not cached.
func Build(ctx context.Context, o Options) (Image, error) {
	wheels, err := o.check()
	if err != nil {
		return Image{}, err
	}
	all := slices.Concat(packages, o.Packages)
	d := digest.New("lambda-root/1").Str("suite", suite).Str("packages", strings.Join(all, " ")).Str("trim", trim)
	for _, w := range wheels {
		d = d.File(filepath.Base(w), w)
	}
	rootKey, err := d.Sum()
	if err != nil {
		return Image{}, err
	}
	server, err := serverLayer()
	if err != nil {
		return Image{}, err
	}
	key, err := digest.New("lambda/4").Str("root", rootKey).Str("server", string(server)).Str("tag", o.Tag).Sum()
	if err != nil {
		return Image{}, err
	}
	e, err := cache.Get(ctx, "lambda", key, func(ctx context.Context, dir string) error {
		// Packages take minutes, and change seldom; the server is another layer.
		root, err := cache.Get(ctx, "lambda-root", rootKey, func(ctx context.Context, dir string) error {
			step := o.Progress.Step("functions' container image", 0, 0)
			if err := makeRoot(ctx, filepath.Join(dir, "root.tar"), all, wheels); err != nil {
				return fmt.Errorf("image lambda: %w", err)
			}
			step.Done("")
			return nil
		})
		if err != nil {
			return err
		}
		if err := assemble(filepath.Join(dir, "lambda.tar"), cmp.Or(o.Tag, "lambda:latest"), filepath.Join(root.Dir, "root.tar"), server); err != nil {
			return fmt.Errorf("image lambda: %w", err)
		}
		return nil
	})
	if err != nil {
		return Image{}, err
	}
	return Image{Path: filepath.Join(e.Dir, "lambda.tar"), Digest: key, Hit: e.Hit}, nil
}

// check returns the paths of the wheels. It refuses a package that is no name of one, and
// wheels whose names the shell would split.
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

// serverLayer is a tar of the files that OpenLambda's own worker expects in an image, so
// that it can use this one, too: /spin, which its containers run, and the server below
// /runtimes, which it starts in them.
func serverLayer() ([]byte, error) {
	names, err := fs.Glob(sandbox.Files, "*.py")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(h tar.Header, data []byte) {
		h.Size = int64(len(data))
		err = errors.Join(err, w.WriteHeader(&h))
		_, writeErr := w.Write(data)
		err = errors.Join(err, writeErr)
	}
	add(tar.Header{Typeflag: tar.TypeDir, Name: "runtimes/", Mode: 0o755}, nil)
	add(tar.Header{Typeflag: tar.TypeDir, Name: "runtimes/python/", Mode: 0o755}, nil)
	for _, name := range names {
		data, readErr := sandbox.Files.ReadFile(name)
		err = errors.Join(err, readErr)
		add(tar.Header{Name: "runtimes/python/" + name, Mode: 0o644}, data)
	}
	add(tar.Header{Typeflag: tar.TypeSymlink, Name: "runtimes/python/server_legacy.py", Linkname: "server.py", Mode: 0o777}, nil)
	add(tar.Header{Name: "spin", Mode: 0o755}, []byte("#!/bin/sh\nexec sleep infinity\n"))
	err = errors.Join(err, w.Close())
	return b.Bytes(), err
}

// makeRoot writes the file root: a tar of the file system with packages and wheels.
func makeRoot(ctx context.Context, root string, packages, wheels []string) error {
	args := []string{"mmdebstrap", "--quiet", "--variant=essential", "--format=tar",
		"--include=" + strings.Join(packages, ","),
		`--aptopt=APT::Install-Recommends "false"`}
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
	return command.Run(ctx, command.Cmd{Args: args})
}

// assemble writes the docker-archive path, tagged label, of two layers: the tar in the file
// root, and over it server.
func assemble(path, label, root string, server []byte) error {
	base, err := tarball.LayerFromFile(root)
	if err != nil {
		return err
	}
	top, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(server)), nil })
	if err != nil {
		return err
	}
	img, err := mutate.AppendLayers(empty.Image, base, top)
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
	return tarball.WriteToFile(path, tag, img)
}
