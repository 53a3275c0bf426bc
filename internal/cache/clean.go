// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// tagName marks the cache's directory, for Clean and for programs that make
// backups (bford.info/cachedir).
const tagName = "CACHEDIR.TAG"

const tag = `Signature: 8a477f597d28d172789f06886806bc55
# This is the cache of ALPS: all of it may be removed, and "go run mage.go clean -cacheToo" does.
`

// kinds are the directories that a cache has; a test holds them to what the callers
// of Get and Dir say.
var kinds = []string{"apt", "calibration", "ccache", kept, "history", "image", "image-base", "kernel", "lambda", "lambda-root", "log", "mage", "peers", "probe", "qemu", "run", "snapshot", "ssh", "tools"}

// Kinds are the directories that a cache has.
func Kinds() []string { return slices.Clone(kinds) }

// kept is the kind of disks that users keep under a name: nothing builds them again.
const kept = "disk"

// mark puts the tag into root if root is empty, or if named says that by its name it is a cache of ALPS. Another
// directory may hold files of others, and gets no tag.
func mark(root string, named bool) error {
	path := filepath.Join(root, tagName)
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	if !named {
		entries, err := os.ReadDir(root)
		if err != nil || len(entries) > 0 {
			return err
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil // another process was faster
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(tag)
	return errors.Join(err, f.Close())
}

// Clean removes the cache and returns the paths that are left in its directory: disks
// that were kept under a name, and files that are of no kind. A directory that was not
// empty when ALPS_CACHE first named it may hold files of others: Clean removes nothing
// of it and returns an error.
func Clean() (left []string, err error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(root, tagName))
	if err != nil || !strings.HasPrefix(string(text), tag) {
		return nil, fmt.Errorf("cache: %s is not removed: it has no %s of ours, so it held other files before it became the cache; remove by hand what of these is not yours: %s",
			root, tagName, strings.Join(kinds, ", "))
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(root, e.Name())
		switch {
		case e.Name() == tagName:
		case e.Name() == kept:
			if os.Remove(path) != nil { // not empty
				left = append(left, path)
			}
		case !slices.Contains(kinds, e.Name()):
			left = append(left, path)
		default:
			if err := os.RemoveAll(path); err != nil {
				return left, fmt.Errorf("cache: %w", err)
			}
		}
	}
	if len(left) == 0 {
		err = errors.Join(os.Remove(filepath.Join(root, tagName)), os.Remove(root))
	}
	return left, err
}
