// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"bytes"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	mostLinesOfFile    = 400
	mostLinesOfPackage = 2500 // tests do not count
)

// Files and packages are small enough to be read at once.
func TestFilesAndPackagesAreShort(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	packages := map[string]int{}
	check := func(name string, lines, most int) {
		if lines > most {
			t.Errorf("%s has %d lines, %d are the limit: split it by what its parts are about", name, lines, most)
		}
	}
	for _, file := range tracked(t, root) {
		if !source.MatchString(file) || strings.Contains(file, "testdata/") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, file))
		require.NoError(t, err)
		if bytes.Contains(bytes.Join(bytes.SplitN(text, []byte("\n"), 6)[:min(5, bytes.Count(text, []byte("\n")))], nil), []byte("// Code generated")) {
			continue
		}
		lines := bytes.Count(text, []byte("\n"))
		check(file, lines, mostLinesOfFile)
		if strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go") {
			packages[path.Dir(file)] += lines
		}
	}
	for name, lines := range packages {
		check(name, lines, mostLinesOfPackage)
	}
}
