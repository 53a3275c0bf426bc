// SPDX-License-Identifier: Apache-2.0

// Package peers builds schedulers of others, to compare with: those that the
// kernel's own source has in tools/sched_ext.
//
// Source, headers and compiler are Debian packages that are read through an
// apt configuration of our own. The programs are linked statically, so that
// they run in any guest; they load into kernels with sched_ext that are not
// much older than their source.
package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/ds2-lab/alps/internal/apt"
	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/internal/digest"
	"github.com/ds2-lab/alps/internal/progress"
)

// Names are the programs that Build makes. Of the others in tools/sched_ext
// qmap and pair do not load on 7.3, central wants the kernel's configuration in
// /boot, and cpu0 and sdt are no schedulers for use.
func Names() []string { return []string{"scx_simple", "scx_flatcg", "scx_userland"} }

// Kernel is the name in kernels.yaml of the kernel whose source has the programs.
const Kernel = "7.3"

const (
	kernelSuite   = "trixie-backports"
	sourcePackage = "linux-source-" + Kernel
	btfPackage    = "linux-bpf-dev" // vmlinux.h
	compilerSuite = "bookworm"      // whose programs run on any newer system
	clang         = "usr/lib/llvm-19/bin/clang"
)

// compilerPackages are Clang 19 and the libraries that it needs, except the C library,
// which is the host's. Debian 12's Clang 14 is too old for these programs.
var compilerPackages = []string{"clang-19", "libclang-common-19-dev", "libclang-cpp19", "libllvm19", "libbsd0", "libedit2", "libffi8",
	"libgcc-s1", "libicu72", "liblzma5", "libmd0", "libstdc++6", "libtinfo6", "libxml2", "libz3-4", "libzstd1", "zlib1g"}

// Options say how to build. The zero value works.
type Options struct {
	Force    bool // build even if they are cached
	Progress *progress.Reporter
}

// Built is a folder with the programs.
type Built struct {
	Source   string `json:"source"`   // package and version
	Compiler string `json:"compiler"` // package and version
	Key      string `json:"key"`      // of everything that went into them

	Dir string `json:"-"`
	Hit bool   `json:"-"` // they were built before
}

// Path is the path of the program called name, one of Names.
func (b Built) Path(name string) string { return filepath.Join(b.Dir, name) }

const metaName = "peers.json"

// Build returns the programs, building them if they are not in the cache.
func Build(ctx context.Context, o Options) (Built, error) {
	b, err := apt.Again(func() (Built, error) { return buildNewest(ctx, o) })
	if err != nil {
		return Built{}, fmt.Errorf("build the peers: %w", err)
	}
	return b, nil
}

// builder knows the packages that the programs are made of.
type builder struct {
	kernel, compiler apt.Suite
	source, btf      apt.Package
	tools            []apt.Package
	key              string
}

func buildNewest(ctx context.Context, o Options) (Built, error) {
	b, err := locate(ctx)
	if err != nil {
		return Built{}, err
	}
	e, err := cache.Make(ctx, "peers", b.key, o.Force, func(ctx context.Context, dir string) error { return b.build(ctx, dir, o.Progress) })
	if err != nil {
		return Built{}, err
	}
	data, err := os.ReadFile(filepath.Join(e.Dir, metaName))
	if err != nil {
		return Built{}, err
	}
	built := Built{Dir: e.Dir, Hit: e.Hit}
	if err := json.Unmarshal(data, &built); err != nil {
		return Built{}, fmt.Errorf("%s: %w", filepath.Join(e.Dir, metaName), err)
	}
	return built, nil
}

func locate(ctx context.Context) (b builder, err error) {
	if b.kernel, err = apt.Open(ctx, kernelSuite); err != nil {
		return b, err
	}
	if b.compiler, err = apt.Open(ctx, compilerSuite); err != nil {
		return b, err
	}
	if b.source, err = b.kernel.Newest(ctx, sourcePackage); err != nil {
		return b, err
	}
	if b.btf, err = b.kernel.Newest(ctx, btfPackage); err != nil {
		return b, err
	}
	if b.tools, err = b.compiler.Packages(ctx, compilerPackages...); err != nil {
		return b, err
	}
	if len(b.tools) != len(compilerPackages) {
		return b, fmt.Errorf("%s: %d of %d packages of the compiler are there", compilerSuite, len(b.tools), len(compilerPackages))
	}
	gcc, err := command.Output(ctx, command.Cmd{Args: []string{"gcc", "--version"}})
	if err != nil {
		return b, err
	}
	first, _, _ := strings.Cut(string(gcc), "\n")
	d := digest.New("peers/1").Str("names", strings.Join(Names(), " ")).Str("gcc", first)
	for _, p := range append([]apt.Package{b.source, b.btf}, b.tools...) {
		d.Str("package", spec(p)+" "+p.SHA256)
	}
	b.key, err = d.Sum()
	return b, err
}

func spec(p apt.Package) string { return p.Name + "=" + p.Version }

func (b builder) build(ctx context.Context, dir string, rep *progress.Reporter) (err error) {
	logs, err := cache.Dir("log")
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(logs, "peers-"+b.key[:8]+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	defer func() {
		if err != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w\n(log: %s)", err, log.Name())
		}
	}()
	work := filepath.Join(dir, "work")
	step := rep.Step("peers: source and compiler", 0, 0)
	tree, err := b.unpack(ctx, work)
	if err != nil {
		return err
	}
	step.Done("")
	step = rep.Step("peers: compile", 0, 0)
	if err := b.compile(ctx, work, tree, log); err != nil {
		return err
	}
	step.Done("")
	for _, name := range Names() {
		if err := os.Rename(filepath.Join(tree, "tools/sched_ext/build/bin", name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	meta, err := json.MarshalIndent(Built{Source: "package " + spec(b.source), Compiler: "package " + spec(b.tools[0]), Key: b.key}, "", "\t")
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, metaName), meta, 0o644), os.RemoveAll(work))
}

// unpack downloads the packages into work and returns the kernel's source tree in it,
// of which only the parts are there that the programs need.
func (b builder) unpack(ctx context.Context, work string) (tree string, err error) {
	if err := os.Mkdir(work, 0o755); err != nil {
		return "", err
	}
	if err := b.kernel.UnpackBinary(ctx, work, spec(b.source), spec(b.btf)); err != nil {
		return "", err
	}
	var specs []string
	for _, p := range b.tools {
		specs = append(specs, spec(p))
	}
	if err := b.compiler.UnpackBinary(ctx, work, specs...); err != nil {
		return "", err
	}
	tree = filepath.Join(work, sourcePackage)
	args := []string{"tar", "-xf", filepath.Join(work, "usr/src", sourcePackage+".tar.xz"), "-C", work}
	for _, part := range []string{"tools", "scripts", "include/uapi", "kernel/bpf"} {
		args = append(args, sourcePackage+"/"+part)
	}
	return tree, command.Run(ctx, command.Cmd{Args: args})
}

func (b builder) compile(ctx context.Context, work, tree string, log io.Writer) error {
	// Only the compiler may see its libraries, which are older than the host's.
	wrapper := filepath.Join(work, "clang")
	script := fmt.Sprintf("#!/bin/sh\nLD_LIBRARY_PATH='%s' exec '%s' \"$@\"\n", strings.Join(libraries(work), ":"), filepath.Join(work, clang))
	if err := os.WriteFile(wrapper, []byte(script), 0o755); err != nil {
		return err
	}
	static, err := command.Output(ctx, command.Cmd{Args: []string{"pkg-config", "--static", "--libs", "libelf"}})
	if err != nil {
		return err
	}
	headers, err := filepath.Glob(filepath.Join(work, "usr/include/*/linux/bpf/vmlinux.h"))
	if err != nil || len(headers) != 1 {
		return fmt.Errorf("package %s: %d files vmlinux.h in it", spec(b.btf), len(headers))
	}
	dir := filepath.Join(tree, "tools/sched_ext")
	make := func(args ...string) error {
		// The makefile stops without a file VMLINUX_BTF, although with VMLINUX_H it does not read it.
		return command.Run(ctx, command.Cmd{Dir: dir, Stdout: log, Stderr: log, Args: append([]string{"make",
			"-j" + strconv.Itoa(runtime.NumCPU()), "CLANG=" + wrapper, "VMLINUX_H=" + headers[0], "VMLINUX_BTF=" + headers[0]}, args...)})
	}
	// The libraries first, without LDFLAGS: beside libbpf.a make links libbpf.so, which -static
	// would not allow.
	if err := make(filepath.Join(dir, "build/obj/libbpf/libbpf.a"), filepath.Join(dir, "build/sbin/bpftool")); err != nil {
		return fmt.Errorf("libbpf and bpftool: %w", err)
	}
	return make(append([]string{"LDFLAGS=-static " + strings.TrimSpace(string(static)) + " -lpthread"}, Names()...)...)
}

// libraries are the folders of shared libraries that the compiler came with.
func libraries(work string) []string {
	return []string{filepath.Join(work, "usr/lib/x86_64-linux-gnu"), filepath.Join(work, "lib/x86_64-linux-gnu")}
}
