// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ds2-lab/alps/experiments/loadgen"
	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/internal/digest"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/kernel/peers"
)

// Program is a scheduler that is a program of the host's, as a guest gets it.
type Program struct {
	Line   string // the command as it was written
	Name   string // of the program's file
	Source string // package and version it was built from; "" where that is not known
	Path   string // of the program's file on the host
	Digest string // of that file and of the libraries and the loader that go into the guest with it

	args    []string // in the guest
	archive []byte   // tar of the program and of what it is linked to
}

// Peers are the schedulers that a command may name without a path.
func Peers() []string { return peers.Names() }

// PeersKernel is the kernel in kernels.yaml that the peers are built for.
const PeersKernel = peers.Kernel

// LoadProgram reads the program that a command names: one of Peers, which is
// built if it was not yet, or the path of a program for Linux on x86-64, relative
// to dir. A program that is linked dynamically brings its libraries and its
// loader, so the guest needs none.
func LoadProgram(ctx context.Context, line, dir string, rep *progress.Reporter) (*Program, error) {
	words := strings.Fields(line)
	if len(words) == 0 {
		return nil, fmt.Errorf("scheduler: the command is empty")
	}
	p := &Program{Line: line, Name: filepath.Base(words[0])}
	path := words[0]
	if slices.Contains(Peers(), path) {
		built, err := peers.Build(ctx, peers.Options{Progress: rep})
		if err != nil {
			return nil, err
		}
		path, p.Source = built.Path(path), built.Source
	} else if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	p.Path = path
	files, args, err := closure(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("scheduler %s: %w", p.Name, err)
	}
	p.args = append(args, words[1:]...)
	if p.archive, err = archive(files); err == nil {
		p.Digest, err = digest.New("program/2").Str("archive", string(p.archive)).Sum()
	}
	if err != nil {
		return nil, fmt.Errorf("scheduler %s: %w", p.Name, err)
	}
	return p, nil
}

// Job is the part of the load generator's job that starts the program; nil for
// no program.
func (p *Program) Job() *loadgen.Program {
	if p == nil {
		return nil
	}
	return &loadgen.Program{Name: p.Name, Args: p.args, ArchiveBytes: int64(len(p.archive))}
}

// closure lists the files that a program needs: itself, the shared libraries that
// this host would link it to, and the loader that links them. args start the
// program where all of them lie in one directory.
func closure(ctx context.Context, program string) (files, args []string, err error) {
	f, err := elf.Open(program)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: no ELF program: %w (give the program itself, not a script that starts it)", program, err)
	}
	defer f.Close()
	if f.Machine != elf.EM_X86_64 {
		return nil, nil, fmt.Errorf("%s: is for %s, guests are x86-64", program, f.Machine)
	}
	name := filepath.Base(program)
	i := slices.IndexFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
	if i < 0 {
		return []string{program}, []string{name}, nil
	}
	data, err := io.ReadAll(f.Progs[i].Open())
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", program, err)
	}
	loader := strings.TrimRight(string(data), "\x00")
	out, err := command.Output(ctx, command.Cmd{Args: []string{loader, "--list", program}})
	if err != nil {
		return nil, nil, fmt.Errorf("%s: its libraries: %w", program, err)
	}
	files = []string{program, loader}
	for line := range strings.Lines(string(out)) {
		_, path, ok := strings.Cut(line, " => ")
		if !ok {
			continue // the kernel's vDSO, or the loader
		}
		path, _, _ = strings.Cut(strings.TrimSpace(path), " (")
		if path == "not found" {
			return nil, nil, fmt.Errorf("%s: a library is missing: %s", program, strings.TrimSpace(line))
		}
		files = append(files, path)
	}
	return files, []string{filepath.Base(loader), "--library-path", ".", "./" + name}, nil
}

// archive is a tar of files, by their base names. The same files give the same
// bytes.
func archive(files []string) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if err := w.WriteHeader(&tar.Header{Name: filepath.Base(path), Mode: 0o755, Size: int64(len(data))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
