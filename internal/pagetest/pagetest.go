// SPDX-License-Identifier: Apache-2.0

// Package pagetest checks that README.md and the pages of docs/ agree with the code: a
// package's test makes sentences of its constants, and the page must have them.
package pagetest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/tree"
)

// Says fails unless a page, named by its path below the root of the tree, has
// every sentence. How lines are broken does not matter.
func Says(t *testing.T, page string, sentences ...string) {
	t.Helper()
	root, err := tree.Root()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, page))
	require.NoError(t, err)
	flat := strings.Join(strings.Fields(string(text)), " ")
	for _, s := range sentences {
		if !strings.Contains(flat, s) {
			t.Errorf("%s does not say: %s", page, s)
		}
	}
}

// Thousands writes n, which is not negative, with commas between thousands.
func Thousands(n int64) string {
	digits := []byte{}
	for i := 0; n > 0 || i == 0; i++ {
		if i > 0 && i%3 == 0 {
			digits = append([]byte{','}, digits...)
		}
		digits = append([]byte{byte('0' + n%10)}, digits...)
		n /= 10
	}
	return string(digits)
}
