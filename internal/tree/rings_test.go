// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/ring"
)

// A test skips by its ring only: then MUST_RUN turns the skip into a failure, and
// nothing that CI claims to run is left out in silence.
func TestNothingSkipsButByItsRing(t *testing.T) {
	used := map[string]bool{} // by the constant's name
	for dir, files := range testFiles(t) {
		if strings.HasSuffix(dir, filepath.FromSlash("internal/ring")) {
			continue
		}
		for _, f := range files {
			ast.Inspect(f.file, func(n ast.Node) bool {
				s, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, s.Sel.Name) {
					t.Errorf("%s skips: call ring.Need, which can be told not to", f.fset.Position(s.Pos()))
				}
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "ring" {
					used[s.Sel.Name] = true
				}
				return true
			})
		}
	}
	// Every ring is some test's, and named by a target that runs it.
	root, err := Root()
	require.NoError(t, err)
	source, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "internal", "ring", "ring.go"), nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	targets, err := os.ReadFile(filepath.Join(root, "internal", "targets", "test.go"))
	require.NoError(t, err)
	var names []string
	for _, d := range source.Decls {
		if d, ok := d.(*ast.GenDecl); ok && d.Tok == token.CONST {
			for _, s := range d.Specs {
				if v := s.(*ast.ValueSpec); v.Type != nil {
					names = append(names, v.Names[0].Name)
				}
			}
		}
	}
	require.Len(t, names, len(ring.All()))
	for _, name := range names {
		require.True(t, used[name], "no test is of ring.%s", name)
		require.True(t, strings.Contains(string(targets), "ring."+name), "no target of internal/targets/test.go runs ring.%s, or says why not", name)
	}
}
