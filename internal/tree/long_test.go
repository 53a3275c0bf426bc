// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// longTests are the tests that need ring.Long, by the package's folder from root on. Tests that run inside a guest,
// started by a test of package guest, are those of the folders bpf and alps.
func longTests(t *testing.T, root string) map[string][]string {
	found := map[string][]string{}
	for dir, files := range testFiles(t) {
		rel, err := filepath.Rel(root, dir)
		require.NoError(t, err)
		for _, f := range files {
			for _, d := range f.file.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || !strings.HasPrefix(fn.Name.Name, "Test") {
					continue
				}
				ast.Inspect(fn, func(n ast.Node) bool {
					call, ok := n.(*ast.CallExpr)
					if !ok || len(call.Args) < 2 {
						return true
					}
					need, isNeed := call.Fun.(*ast.SelectorExpr)
					ring, isRing := call.Args[1].(*ast.SelectorExpr)
					if isNeed && isRing && need.Sel.Name == "Need" && ring.Sel.Name == "Long" {
						found[rel] = append(found[rel], fn.Name.Name)
					}
					return true
				})
			}
		}
	}
	return found
}

// longRuns are the patterns of -run with which targets run tests of ring.Long, by the package's folder.
func longRuns(t *testing.T, root string) map[string][]*regexp.Regexp {
	runs := map[string][]*regexp.Regexp{}
	files, err := filepath.Glob(filepath.Join(root, "internal", "targets", "*.go"))
	require.NoError(t, err)
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			long, pattern, folders := false, "", []string(nil)
			for _, a := range call.Args {
				if name, ok := a.(*ast.Ident); ok && name.Name == "longRing" {
					long = true
				}
				if text, ok := a.(*ast.BasicLit); ok && text.Kind == token.STRING {
					s, err := strconv.Unquote(text.Value)
					require.NoError(t, err)
					if run, ok := strings.CutPrefix(s, "-run="); ok {
						pattern = run
					} else if folder, ok := strings.CutPrefix(s, "./"); ok {
						folders = append(folders, folder)
					}
				}
			}
			if long {
				for _, folder := range folders {
					runs[folder] = append(runs[folder], regexp.MustCompile(pattern))
				}
			}
			return true
		})
	}
	require.NotEmpty(t, runs)
	return runs
}

// Every test of ring.Long is run by a target, or skips everywhere for ever.
func TestEveryLongTestHasATarget(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	runs := longRuns(t, root)
	// What runs inside a guest is started by a test of these names.
	inside := map[string]string{"bpf": "TestSoak", "bpf/scx": "TestSoak", "alps/daemon": "TestGuestSteadyUnderAttackWith4CPUs"}
	tests := longTests(t, root)
	require.Contains(t, tests["experiments/guest"], "TestGuestSteadyUnderAttackWith4CPUs")
	for folder, names := range tests {
		for _, name := range names {
			if by := inside[folder]; by != "" {
				require.Contains(t, tests["experiments/guest"], by, "it starts %s of %s", name, folder)
				folder, name = "experiments/guest", by
			}
			named := false
			for _, run := range runs[folder] {
				named = named || run.MatchString(name)
			}
			require.True(t, named, "no target that runs ring.Long names %s of %s: internal/targets/test.go", name, folder)
		}
	}
}
