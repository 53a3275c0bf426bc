// SPDX-License-Identifier: Apache-2.0

// Package atomicfile writes files that are either whole or not there.
package atomicfile

import (
	"os"

	"github.com/google/renameio/v2"
)

// Write replaces path with data: a temporary file beside it, fsync, rename.
func Write(path string, data []byte, perm os.FileMode) error {
	return renameio.WriteFile(path, data, perm, renameio.IgnoreUmask())
}
