// SPDX-License-Identifier: Apache-2.0

package targets

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/tree"
)

// Packages that are tested without the race detector have nothing for it.
func TestSequentialPackagesStartNoGoroutine(t *testing.T) {
	root, err := tree.Root()
	require.NoError(t, err)
	concurrent := regexp.MustCompile(`(?m)^\s*go (func\b|[\w.]+\()|\bt\.Parallel\(|"(sync|net/http|golang.org/x/sync/errgroup)"`)
	require.True(t, concurrent.MatchString("\tgo func() {"))
	for _, dir := range sequential {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		require.NoError(t, err)
		require.NotEmpty(t, files, dir)
		for _, name := range files {
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			require.Empty(t, concurrent.FindString(string(text)), name)
		}
	}
}
