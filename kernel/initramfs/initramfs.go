// SPDX-License-Identifier: Apache-2.0

// Package initramfs makes the first file system of a guest whose kernel keeps
// drivers in modules. It has a program (init/) and the modules that the program
// loads before it mounts the guest's disk.
package initramfs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ds2-lab/alps/internal/command"
)

// Module is a name in a list of modules.
type Module struct {
	Name string // as modprobe takes it
	File string // path of the list
	Line int    // in File, from 1
}

// ReadList reads a list of modules: a name a line; # begins a comment. A list that
// names none is an error.
func ReadList(path string) ([]Module, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the list of modules: %w", err)
	}
	var list []Module
	sc := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; sc.Scan(); n++ {
		text, _, _ := strings.Cut(sc.Text(), "#")
		switch words := strings.Fields(text); len(words) {
		case 0:
		case 1:
			list = append(list, Module{words[0], path, n})
		default:
			return nil, fmt.Errorf("%s:%d: %q: want one module a line", path, n, strings.TrimSpace(text))
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: names no module", path)
	}
	return list, sc.Err()
}

// BuildInit compiles the program in the directory source (init/) into the file out.
// The same source and compiler give the same bytes.
func BuildInit(ctx context.Context, source, out string) error {
	err := command.Run(ctx, command.Cmd{Dir: source, Env: []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS="},
		Args: []string{"go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", out, "."}})
	if err != nil {
		return fmt.Errorf("initramfs: build its init: %w", err)
	}
	return nil
}

// Tree is a directory with the files of a kernel's packages.
type Tree struct {
	Dir     string
	Release string // uname -r
}

// base is the directory that has lib/modules/RELEASE in it.
func (t Tree) base() (string, error) {
	for _, base := range []string{filepath.Join(t.Dir, "usr"), t.Dir} {
		if st, err := os.Stat(filepath.Join(base, "lib/modules", t.Release)); err == nil && st.IsDir() {
			return base, nil
		}
	}
	return "", fmt.Errorf("initramfs: no modules of %s in its packages", t.Release)
}

// sbin begins a shell command that runs kmod's programs, which a plain user's PATH lacks.
const sbin = "PATH=$PATH:/usr/sbin:/sbin "

// order is the paths of modules and of the modules they need, each after those it needs. A
// module that the kernel has built in has no file.
func (t Tree) order(ctx context.Context, modules []Module) ([]string, error) {
	base, err := t.base()
	if err != nil {
		return nil, err
	}
	if err := command.Run(ctx, command.Cmd{Args: []string{"sh", "-c", sbin + `exec depmod -b "$0" "$1"`, base, t.Release}}); err != nil {
		return nil, fmt.Errorf("initramfs: index modules: %w", err)
	}
	var files []string
	seen := map[string]bool{}
	var errs []error
	for _, m := range modules {
		// The host's own configuration must not count: it may forbid modules.
		out, err := command.Output(ctx, command.Cmd{Args: []string{"sh", "-c",
			sbin + `exec modprobe -C /dev/null -d "$0" -S "$1" --show-depends -- "$2"`, base, t.Release, m.Name}})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: module %s: kernel %s has none: %w", m.File, m.Line, m.Name, t.Release, err))
			continue
		}
		for _, file := range insmods(string(out)) {
			if !seen[file] {
				seen[file] = true
				files = append(files, file)
			}
		}
	}
	return files, errors.Join(errs...)
}

// insmods is the files that modprobe --show-depends says to load.
func insmods(out string) []string {
	var files []string
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "insmod "); ok {
			file, _, _ := strings.Cut(rest, " ")
			files = append(files, file)
		}
	}
	return files
}

// decompressors are commands that write a module's file to stdout decompressed, by its extension.
var decompressors = map[string][]string{".ko": {"cat"}, ".xz": {"xz", "-dc"}, ".zst": {"zstd", "-qdc"}, ".gz": {"gzip", "-dc"}}

// Build writes the archive out, with the program init and modules of t. The archive
// is cpio and not compressed: an emulated guest would take longer to decompress it
// than QEMU takes to read it. n is how many modules it has, with those that modules need.
func Build(ctx context.Context, out, init string, t Tree, modules []Module) (n int, err error) {
	files, err := t.order(ctx, modules)
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(out), "initramfs")
	if err != nil {
		return 0, fmt.Errorf("initramfs: make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	for _, sub := range []string{"dev", "proc", "root", "lib"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			return 0, fmt.Errorf("initramfs: make a folder: %w", err)
		}
	}
	var list strings.Builder
	for _, file := range files {
		name, _, _ := strings.Cut(filepath.Base(file), ".")
		inside := "lib/" + name + ".ko"
		fmt.Fprintf(&list, "/%s\n", inside)
		if err := decompress(ctx, file, filepath.Join(dir, inside)); err != nil {
			return 0, err
		}
	}
	program, err := os.ReadFile(init)
	if err != nil {
		return 0, fmt.Errorf("initramfs: read its init: %w", err)
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "init"), program, 0o755),
		os.WriteFile(filepath.Join(dir, "modules"), []byte(list.String()), 0o644))
	if err != nil {
		return 0, fmt.Errorf("initramfs: write init and modules: %w", err)
	}
	return len(files), pack(ctx, dir, out)
}

func decompress(ctx context.Context, from, to string) error {
	program, ok := decompressors[filepath.Ext(from)]
	if !ok {
		return fmt.Errorf("initramfs: %s: this compression is not known", from)
	}
	f, err := os.Create(to)
	if err != nil {
		return fmt.Errorf("initramfs: unpack a module: %w", err)
	}
	err = command.Run(ctx, command.Cmd{Args: append(append([]string{}, program...), from), Stdout: f})
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("initramfs: unpack a module: %w", err)
	}
	return nil
}

// pack makes the archive of dir. The same content gives the same bytes.
func pack(ctx context.Context, dir, out string) error {
	var names []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		names = append(names, name)
		return err
	})
	if err != nil {
		return fmt.Errorf("initramfs: list its files: %w", err)
	}
	for i := len(names) - 1; i >= 0; i-- { // a directory after what is in it
		if err := os.Chtimes(filepath.Join(dir, names[i]), time.Unix(0, 0), time.Unix(0, 0)); err != nil {
			return fmt.Errorf("initramfs: set times: %w", err)
		}
	}
	f, err := os.Create(out)
	if err != nil {
		return fmt.Errorf("initramfs: make it: %w", err)
	}
	err = command.Run(ctx, command.Cmd{Dir: dir, Stdin: strings.NewReader(strings.Join(names, "\n") + "\n"), Stdout: f,
		Args: []string{"cpio", "--quiet", "--reproducible", "-o", "-H", "newc", "-R", "+0:+0"}})
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("initramfs: pack: %w", err)
	}
	return nil
}
