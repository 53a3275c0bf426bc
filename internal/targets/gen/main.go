// SPDX-License-Identifier: Apache-2.0

// Command gen writes magefile.go from package targets: a function for every target,
// with a parameter for every flag, as mage wants it.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/ds2-lab/alps/internal/tree"
)

func main() {
	if err := write(); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func write() error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	text, err := generate(filepath.Join(root, "internal", "targets"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, "magefile.go"), text, 0o644)
}
