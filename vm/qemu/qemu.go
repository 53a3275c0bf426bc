// SPDX-License-Identifier: Apache-2.0

// Package qemu builds the QEMU that runs guests with several CPUs in virtual
// time (docs/virtual-time.md): Debian's source package, the patch series in
// patches/, and only what such a guest needs.
//
// Guests under KVM and under plain emulation use the distribution's QEMU.
package qemu

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ds2-lab/alps/internal/apt"
	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/internal/digest"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/internal/sourcetree"
)

const (
	// suite is the Debian release whose QEMU the series is for: 10.0.
	suite = "trixie"
	// sourcePackage and mesonPackage are in suite. QEMU 10.0 wants a newer
	// Meson than Debian 12 has; Meson is a Python program and needs no build.
	sourcePackage = "qemu"
	mesonPackage  = "meson"
)

//go:embed patches/*.patch
var patches embed.FS

//go:embed guest.mak
var devices []byte

// configureArgs leave out all that a guest in virtual time does not need.
var configureArgs = []string{
	"--python=/usr/bin/python3", // the one that Debian's Meson is made for
	"--target-list=x86_64-softmmu", "--enable-system", "--disable-user", "--disable-install-blobs",
	"--without-default-features", "--enable-tcg", "--enable-slirp", "--enable-virtfs", "--enable-attr",
	"--without-default-devices", "--with-devices-x86_64=guest",
	"--firmwarepath=/usr/share/seabios:/usr/share/qemu:/usr/lib/ipxe/qemu",
}

// Options say how to build. The zero value works.
type Options struct {
	Src      string // build from this tree of QEMU 10.0 instead of the source package
	Force    bool   // build even if it is cached
	Progress *progress.Reporter
}

// Built is a QEMU that is ready to run.
type Built struct {
	Version  string `json:"version"` // as --version says
	Source   string `json:"source"`  // package and version, or the tree's digest
	Key      string `json:"key"`     // of everything that went into it
	Compiler string `json:"compiler"`

	Path string `json:"-"` // of qemu-system-x86_64
	Hit  bool   `json:"-"` // it was built before
}

// Build returns the QEMU for virtual time, building it if no build with the
// same source, series, configuration and compiler is in the cache.
func Build(ctx context.Context, o Options) (Built, error) {
	return apt.Again(func() (Built, error) { return buildNewest(ctx, o) })
}

func buildNewest(ctx context.Context, o Options) (Built, error) {
	b := builder{opts: o}
	var err error
	if b.suite, err = apt.Open(ctx, suite); err != nil {
		return Built{}, fmt.Errorf("qemu: read Debian's package lists: %w", err)
	}
	if err := b.locate(ctx); err != nil {
		return Built{}, fmt.Errorf("qemu: find its source: %w", err)
	}
	if b.compiler, err = compiler(ctx); err != nil {
		return Built{}, fmt.Errorf("qemu: ask the compiler for its version: %w", err)
	}
	if b.key, err = digest.New("qemu/1").Str("source", b.source).Str("compiler", b.compiler).
		Str("configure", strings.Join(configureArgs, " ")).Str("devices", string(devices)).FS("patches", patches).Sum(); err != nil {
		return Built{}, fmt.Errorf("qemu: digest what it is built from: %w", err)
	}
	e, err := cache.Make(ctx, "qemu", b.key, o.Force, b.build)
	if err != nil {
		return Built{}, fmt.Errorf("qemu: build: %w", err)
	}
	return read(e.Dir, e.Hit)
}

const (
	binaryName = "qemu-system-x86_64"
	metaName   = "qemu.json"
)

func read(dir string, hit bool) (Built, error) {
	data, err := os.ReadFile(filepath.Join(dir, metaName))
	if err != nil {
		return Built{}, fmt.Errorf("qemu: read a build: %w", err)
	}
	built := Built{Path: filepath.Join(dir, binaryName), Hit: hit}
	if err := json.Unmarshal(data, &built); err != nil {
		return Built{}, fmt.Errorf("qemu: %s: %w", filepath.Join(dir, metaName), err)
	}
	return built, nil
}

type builder struct {
	opts     Options
	suite    apt.Suite
	pkg      apt.Source      // the source, without opts.Src
	tree     sourcetree.Tree // the source, of opts.Src
	source   string          // names pkg or tree
	compiler string
	key      string
}

func (b *builder) locate(ctx context.Context) (err error) {
	if b.opts.Src == "" {
		b.pkg, err = b.suite.Source(ctx, sourcePackage)
		b.source = "package " + b.pkg.Name + "=" + b.pkg.Version
		return err
	}
	b.tree, err = sourcetree.Open(b.opts.Src, "accel/tcg/tcg-accel-ops-rr.c")
	b.source = "tree " + b.tree.Digest
	return err
}

// compiler names the compiler and its version.
func compiler(ctx context.Context) (string, error) {
	out, err := command.Output(ctx, command.Cmd{Args: []string{"gcc", "--version"}})
	line, _, _ := strings.Cut(string(out), "\n")
	return line, err
}

func (b *builder) build(ctx context.Context, dir string) (err error) {
	logs, err := cache.Dir("log")
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(logs, "qemu-"+b.key[:8]+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	defer func() {
		if err != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w\n(log: %s)", err, log.Name())
		}
	}()

	tree, tools := filepath.Join(dir, "src"), filepath.Join(dir, "tools")
	step := b.opts.Progress.Step("qemu: source", 0, 0)
	if b.opts.Src != "" {
		err = b.tree.Copy(ctx, tree)
	} else {
		err = b.suite.Unpack(ctx, b.pkg, tree)
	}
	if err != nil {
		return fmt.Errorf("unpack the source: %w", err)
	}
	if err := os.Mkdir(tools, 0o755); err != nil {
		return err
	}
	if err := b.suite.UnpackBinary(ctx, tools, mesonPackage); err != nil {
		return err
	}
	step.Done("")
	series, err := fs.Sub(patches, "patches")
	if err != nil {
		return err
	}
	if err := sourcetree.Apply(ctx, tree, series, log); err != nil {
		return err
	}
	out, err := b.compile(ctx, tree, tools, log)
	if err != nil {
		return err
	}
	return b.keep(ctx, dir, out)
}

// compile compiles tree with the Meson in tools, and returns the path of the binary.
func (b *builder) compile(ctx context.Context, tree, tools string, log *os.File) (string, error) {
	ccache, err := cache.Dir("ccache")
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(tree, "configs/devices/x86_64-softmmu/guest.mak"), devices, 0o644); err != nil {
		return "", err
	}
	out := filepath.Join(tree, "build")
	if err := os.Mkdir(out, 0o755); err != nil {
		return "", err
	}
	env := []string{"PYTHONPATH=" + filepath.Join(tools, "usr/lib/python3/dist-packages"),
		"CCACHE_DIR=" + ccache, "CCACHE_BASEDIR=" + tree, "CCACHE_NOHASHDIR=1", "CCACHE_MAXSIZE=2G"}
	step := b.opts.Progress.Step("qemu: compile", 0, 0)
	for _, args := range [][]string{
		append([]string{"../configure", "--cc=ccache gcc"}, configureArgs...),
		{"ninja", binaryName},
	} {
		progress := &ninjaProgress{log: log, step: step}
		if err := command.Run(ctx, command.Cmd{Args: args, Dir: out, Env: env, Stdout: progress, Stderr: log}); err != nil {
			return "", fmt.Errorf("%s: %w", filepath.Base(args[0]), err)
		}
	}
	step.Done("")
	return filepath.Join(out, binaryName), nil
}

// keep leaves in dir the binary at path and a file that says what it was built from, and
// removes the source.
func (b *builder) keep(ctx context.Context, dir, path string) error {
	version, err := command.Output(ctx, command.Cmd{Args: []string{path, "--version"}})
	if err != nil {
		return err
	}
	line, _, _ := strings.Cut(string(version), "\n")
	meta, err := json.MarshalIndent(Built{Version: line, Source: b.source, Key: b.key, Compiler: b.compiler}, "", "\t")
	if err != nil {
		return err
	}
	return errors.Join(
		os.Rename(path, filepath.Join(dir, binaryName)),
		os.WriteFile(filepath.Join(dir, metaName), meta, 0o644),
		os.RemoveAll(filepath.Join(dir, "src")), // a gigabyte; ccache makes it cheap to have again
		os.RemoveAll(filepath.Join(dir, "tools")),
	)
}

// Cached lists the builds in the cache, the newest last. It needs no network.
func Cached() ([]Built, error) {
	entries, err := cache.List("qemu")
	if err != nil {
		return nil, fmt.Errorf("qemu: list builds: %w", err)
	}
	made := map[string]time.Time{}
	for _, e := range entries {
		if st, err := os.Stat(filepath.Join(e.Dir, metaName)); err == nil {
			made[e.Dir] = st.ModTime()
		}
	}
	slices.SortFunc(entries, func(a, b cache.Entry) int { return made[a.Dir].Compare(made[b.Dir]) })
	var list []Built
	for _, e := range entries {
		b, err := read(e.Dir, true)
		if err != nil {
			return nil, err
		}
		list = append(list, b)
	}
	return list, nil
}
