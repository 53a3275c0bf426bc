// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/cache"
)

// The target clean removes the kinds that package cache lists, so every kind that code
// uses must be in the list. A kind that none uses must not.
func TestCacheKindsAreListed(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	call := regexp.MustCompile(`cache\.(?:(?:Get|Make)\([^,]+, |Dir\()([^,)]+)`)
	used := map[string]bool{}
	require.NoError(t, filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && path != root && (strings.HasPrefix(e.Name(), ".") || path == filepath.Join(root, "internal", "cache")) {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range call.FindAllStringSubmatch(string(text), -1) {
			kind := strings.Trim(m[1], `"`)
			require.NotEqual(t, kind, m[1], "%s: the kind of a cache is a literal", path)
			require.Contains(t, cache.Kinds(), kind, path)
			used[kind] = true
		}
		return err
	}))
	for _, kind := range cache.Kinds() {
		require.True(t, used[kind], "nothing is of the kind %s", kind)
	}
}
