// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// messages are all strings of the Go code that is not tests, and the text of Python files, with … in place of
// formatting verbs.
func messages(t *testing.T, root string) string {
	verb := regexp.MustCompile(`%[-+#0-9.*]*[a-zA-Z]`)
	var all strings.Builder
	for _, file := range tracked(t, root) {
		if strings.HasSuffix(file, ".py") {
			text, err := os.ReadFile(filepath.Join(root, file))
			require.NoError(t, err)
			all.WriteString(verb.ReplaceAllString(string(text), "…") + "\n")
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				s, err := strconv.Unquote(lit.Value)
				require.NoError(t, err)
				all.WriteString(verb.ReplaceAllString(s, "…") + "\n")
			}
			return true
		})
	}
	return all.String()
}

// Each message that docs/troubleshooting.md explains is one of the code's.
func TestTroubleshootingQuotesRealMessages(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	page, err := os.ReadFile(filepath.Join(root, "docs", "troubleshooting.md"))
	require.NoError(t, err)
	all := messages(t, root)
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")
	quoted := row.FindAllStringSubmatch(string(page), -1)
	require.Greater(t, len(quoted), 20)
	for _, m := range quoted {
		for part := range strings.SplitSeq(m[1], "…") {
			if part = strings.Trim(part, " :"); len(part) > 3 && !strings.Contains(all, part) {
				t.Errorf("nothing in the code says %q, of: %s", part, m[1])
			}
		}
	}
}
