// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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

// packages is what the functions need: an interpreter and igraph.
var packages = []string{"python3-minimal", "python3-igraph"}

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
	Progress *progress.Reporter
}

// Image is a docker-archive (docker load -i Path) tagged lambda:latest.
type Image struct {
	Path   string
	Digest string // of everything that went in
	Hit    bool
}

// Build returns the functions' container image, making it without a
// Docker daemon if one with the same content is not cached.
func Build(ctx context.Context, o Options) (Image, error) {
	key, err := digest.New("lambda/2").Str("suite", suite).Str("packages", strings.Join(packages, " ")).
		Str("server", string(sandbox.Server)).Str("layout", layout).Str("trim", trim).Sum()
	if err != nil {
		return Image{}, err
	}
	e, err := cache.Get(ctx, "lambda", key, func(ctx context.Context, dir string) error {
		step := o.Progress.Step("functions' container image", 0, 0)
		if err := build(ctx, dir); err != nil {
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

func build(ctx context.Context, dir string) error {
	server, root := filepath.Join(dir, "server.py"), filepath.Join(dir, "root.tar")
	if err := os.WriteFile(server, sandbox.Server, 0o644); err != nil {
		return err
	}
	args := []string{"mmdebstrap", "--quiet", "--variant=essential", "--format=tar",
		"--include=" + strings.Join(packages, ","),
		`--aptopt=APT::Install-Recommends "false"`,
		`--customize-hook=mkdir -p "$1/runtimes/python"`,
		"--customize-hook=upload " + server + " /runtimes/python/server.py",
		"--customize-hook=" + layout,
		// Compiled once here, not in every container.
		`--customize-hook=chroot "$1" python3 -m compileall -q /usr/lib/python3 /usr/lib/python3.11 || true`,
		"--customize-hook=" + trim,
		suite, root}
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
	tag, err := name.NewTag("lambda:latest")
	if err != nil {
		return err
	}
	if err := tarball.WriteToFile(filepath.Join(dir, "lambda.tar"), tag, img); err != nil {
		return err
	}
	return os.Remove(root)
}
