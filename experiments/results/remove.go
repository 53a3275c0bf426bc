// SPDX-License-Identifier: Apache-2.0

package results

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Remove removes the result in dir, if there is one. A directory in which anything else
// lies is an error.
func Remove(dir string) error {
	if err := remove(dir); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return nil
}

// remove removes a result. A directory in which anything else lies is somebody
// else's, and an error.
func remove(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !slices.Contains(names, e.Name()) {
			return fmt.Errorf("%s holds %s, which is no result's: move it away or write elsewhere", dir, e.Name())
		}
	}
	return os.RemoveAll(dir)
}

// RemovePartial removes the results below root that a process was writing when it
// died.
func RemovePartial(root string) error {
	var errs []error
	for _, engine := range []string{EngineVM, EngineSim} {
		torn, err := filepath.Glob(filepath.Join(root, engine, partial+"*"))
		if err != nil {
			return fmt.Errorf("results: %w", err)
		}
		for _, dir := range torn {
			if err := remove(dir); err != nil {
				errs = append(errs, fmt.Errorf("results: %w", err))
			}
		}
	}
	return errors.Join(errs...)
}

// partial begins the names of results that are being written.
const partial = ".partial-"
