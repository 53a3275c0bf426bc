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

// tooLong are the files and packages that are over the limit today, with their
// lines: they may only shrink.
var tooLong = map[string]int{
	"alps/sim/machine.go": 409,
	"alps/sim":            2600,
}

// Files and packages are small enough to be read at once.
func TestFilesAndPackagesAreShort(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	packages, seen := map[string]int{}, map[string]bool{}
	check := func(name string, lines, most int) {
		switch allowed, exempt := tooLong[name]; {
		case exempt && lines <= most:
			t.Errorf("%s has only %d lines now: take it out of tooLong", name, lines)
		case exempt && lines <= allowed:
			t.Logf("%s still has %d lines, %d are the limit", name, lines, most)
		case lines > most:
			t.Errorf("%s has %d lines, %d are the limit: split it by what its parts are about", name, lines, max(most, allowed))
		}
		seen[name] = true
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
	for name := range tooLong {
		require.True(t, seen[name], "tooLong has %s, which is gone", name)
	}
}
