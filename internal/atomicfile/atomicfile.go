// SPDX-License-Identifier: Apache-2.0

// Package atomicfile writes files that are either whole or not there.
package atomicfile

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// Write replaces path with data: a temporary file beside it, fsync, rename.
func Write(path string, data []byte, perm os.FileMode) error {
	return renameio.WriteFile(path, data, perm, renameio.IgnoreUmask())
}

// WriteNew writes path unless it is there: of several processes that do so at once, one
// succeeds. The error of the others, and if path was there before, wraps fs.ErrExist.
func WriteNew(path string, data []byte, perm os.FileMode) error {
	dir, err := os.MkdirTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	whole := filepath.Join(dir, filepath.Base(path))
	if err = Write(whole, data, perm); err == nil {
		err = os.Link(whole, path)
	}
	return errors.Join(err, os.RemoveAll(dir))
}
