// SPDX-License-Identifier: Apache-2.0

// Package tree has the tests that look at the repository as a whole: which package
// imports which, whether the commands in README.md exist, whether the workflows are well
// formed, and so on. Its only code is Root.
package tree

import (
	"fmt"
	"os"
	"path/filepath"
)

// Root finds the repository's root: the nearest parent directory with a
// go.mod.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no go.mod in this directory or above: run inside the repository")
		}
		dir = parent
	}
}
