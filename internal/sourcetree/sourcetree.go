// SPDX-License-Identifier: Apache-2.0

// Package sourcetree reads and copies a user's source trees (-src), which it never
// changes, and applies patch series to the copies.
package sourcetree

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/internal/digest"
)

// Tree is a directory that is never written to.
type Tree struct {
	Dir    string
	Digest string // of the names, sizes and times of its files
}

// repository is git's own folder, or file, which is left out of digests and copies.
const repository = ".git"

// Open returns the tree at dir, which must have a file called landmark. dir may be a
// symbolic link to the tree. What links in the tree lead to outside it belongs to the tree.
func Open(dir, landmark string) (Tree, error) {
	if _, err := os.Stat(filepath.Join(dir, landmark)); err != nil {
		return Tree{}, fmt.Errorf("-src=%s: not the tree that is wanted: %w", dir, err)
	}
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return Tree{}, fmt.Errorf("-src=%s: %w", dir, err)
	}
	w := walker{digest: digest.New("source tree"), outside: map[string]bool{}}
	if err := w.walk(root, "."); err != nil {
		return Tree{}, fmt.Errorf("-src=%s: %w", dir, err)
	}
	sum, err := w.digest.Sum()
	if err != nil {
		return Tree{}, fmt.Errorf("-src=%s: %w", dir, err)
	}
	return Tree{root, sum}, nil
}

// walker adds the files of a tree to a digest.
type walker struct {
	digest  *digest.Digest
	outside map[string]bool // what links have led to
}

// walk adds the files at and below root by their paths in the tree, of which at is root's.
func (w walker) walk(root, at string) error {
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.Name() == repository {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil // the file .git of a worktree
		}
		if e.IsDir() {
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		name := filepath.Join(at, rel)
		w.digest.Str(name, fmt.Sprint(info.Size(), info.ModTime().UnixNano()))
		if e.Type()&fs.ModeSymlink == 0 {
			return nil
		}
		target, err := filepath.EvalSymlinks(path)
		if err != nil {
			return nil // leads nowhere
		}
		within, err := filepath.Rel(root, target)
		if err == nil && filepath.IsLocal(within) || w.outside[target] {
			return nil // is walked anyway
		}
		w.outside[target] = true
		return w.walk(target, name)
	})
}

// Copy copies the tree to dst, which it makes if need be. Times, links and
// permissions stay.
func (t Tree) Copy(ctx context.Context, dst string) error {
	if err := os.MkdirAll(dst, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(t.Dir)
	if err != nil {
		return err
	}
	args := []string{"cp", "-a", "--reflink=auto", "-t", dst, "--"}
	for _, e := range entries {
		if e.Name() != repository {
			args = append(args, filepath.Join(t.Dir, e.Name()))
		}
	}
	return command.Run(ctx, command.Cmd{Args: args})
}

// Apply applies the patches *.patch of series, in the order of their names, to
// the tree at dir. It allows no fuzz: a hunk that fits only roughly may land in
// the wrong function. The output of the program patch goes to log. The error names
// the patch that does not apply; a series without patches is an error, too.
func Apply(ctx context.Context, dir string, series fs.FS, log io.Writer) error {
	names, err := fs.Glob(series, "*.patch")
	if err != nil || len(names) == 0 {
		return fmt.Errorf("patch series: no *.patch in it")
	}
	for _, name := range names {
		patch, err := fs.ReadFile(series, name)
		if err != nil {
			return fmt.Errorf("patch series: %w", err)
		}
		err = command.Run(ctx, command.Cmd{Args: []string{"patch", "-p1", "-F0", "--no-backup-if-mismatch"},
			Dir: dir, Stdin: bytes.NewReader(patch), Stdout: log, Stderr: log})
		if err != nil {
			return fmt.Errorf("apply %s: %w", name, err)
		}
	}
	return nil
}
