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

// Open returns the tree at dir, which must have a file called landmark.
func Open(dir, landmark string) (Tree, error) {
	if _, err := os.Stat(filepath.Join(dir, landmark)); err != nil {
		return Tree{}, fmt.Errorf("-src=%s: not the tree that is wanted: %w", dir, err)
	}
	d := digest.New("source tree")
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
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
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		d.Str(rel, fmt.Sprint(info.Size(), info.ModTime().UnixNano()))
		return nil
	})
	if err != nil {
		return Tree{}, fmt.Errorf("-src=%s: %w", dir, err)
	}
	sum, err := d.Sum()
	if err != nil {
		return Tree{}, fmt.Errorf("-src=%s: %w", dir, err)
	}
	return Tree{dir, sum}, nil
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
