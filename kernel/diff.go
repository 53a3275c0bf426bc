// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Diff prints what a kernel's series changes: lines added and removed per file,
// and, if whole is asked for, the patches themselves.
func Diff(dir, name string, whole bool, w io.Writer) error {
	kernels, err := List(dir)
	if err != nil {
		return err
	}
	k, err := Find(kernels, name)
	if err != nil {
		return err
	}
	if k.Patches.V == "" {
		fmt.Fprintf(w, "%s: no series\n", k.Name.V)
		return nil
	}
	series, err := filepath.Glob(filepath.Join(dir, k.Patches.V, "*.patch"))
	if err != nil {
		return fmt.Errorf("kernel %s: %w", k.Name.V, err)
	}
	var patches [][]byte
	for _, path := range series {
		data, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("kernel %s: %w", k.Name.V, err)
		}
		patches = append(patches, data)
		fmt.Fprintf(w, "%s\n", filepath.Base(path))
		for _, f := range changes(data) {
			fmt.Fprintf(w, "  %4d + %4d -  %s\n", f.added, f.removed, f.path)
		}
	}
	if whole {
		_, err = w.Write(append([]byte("\n"), bytes.Join(patches, []byte("\n"))...))
	}
	return err
}

// change is what a patch does to one file.
type change struct {
	path           string
	added, removed int
}

// changes reads a patch in the unified format.
func changes(patch []byte) []change {
	var list []change
	for line := range strings.Lines(string(patch)) {
		if path, ok := strings.CutPrefix(line, "+++ b/"); ok {
			path, _, _ = strings.Cut(strings.TrimSpace(path), "\t")
			list = append(list, change{path: path})
			continue
		}
		if len(list) == 0 || strings.HasPrefix(line, "--- ") || line == "-- \n" {
			continue
		}
		switch last := &list[len(list)-1]; line[0] {
		case '+':
			last.added++
		case '-':
			last.removed++
		}
	}
	return list
}
