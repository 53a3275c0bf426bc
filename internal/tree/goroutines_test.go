// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// require and t.Fatal end the goroutine that calls them. If that is not the test's own
// goroutine, the test goes on, and may wait for ever for a result of the one that ended.
func TestGoroutinesOfTestsDoNotEndThemselves(t *testing.T) {
	for _, files := range testFiles(t) {
		var syntax []*ast.File
		for _, f := range files {
			syntax = append(syntax, f.file)
		}
		for _, at := range endsItself(syntax) {
			t.Errorf("%s ends a goroutine that is not the test's: use assert, or send an error", files[0].fset.Position(at))
		}
	}
}

// testFile is one of the repository's files of tests.
type testFile struct {
	fset *token.FileSet
	file *ast.File
}

// testFiles parses all of them, and returns them by folder.
func testFiles(t *testing.T) map[string][]testFile {
	root, err := Root()
	require.NoError(t, err)
	fset := token.NewFileSet()
	all := map[string][]testFile{}
	require.NoError(t, filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && path != root && strings.HasPrefix(e.Name(), ".") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		dir := filepath.Dir(path)
		all[dir] = append(all[dir], testFile{fset, f})
		return err
	}))
	require.NotEmpty(t, all)
	return all
}

// endsItself finds the calls in goroutines that may end them: of require, of
// t.Fatal and the like, and of helpers in the same files that call these.
func endsItself(files []*ast.File) []token.Pos {
	helpers := map[string]bool{} // functions and methods of the files that end whoever calls them
	ends := func(call *ast.CallExpr) bool {
		switch f := call.Fun.(type) {
		case *ast.Ident:
			return helpers[f.Name]
		case *ast.SelectorExpr:
			if x, ok := f.X.(*ast.Ident); ok && x.Name == "require" {
				return true
			}
			return slices.Contains([]string{"Fatal", "Fatalf", "FailNow", "Skip", "Skipf", "SkipNow"}, f.Sel.Name) || helpers["."+f.Sel.Name]
		}
		return false
	}
	// calls are those that a function makes in its own goroutine, deferred ones too.
	calls := func(body ast.Node, found func(*ast.CallExpr)) {
		ast.Inspect(body, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if goroutine(call) != nil {
					return false
				}
				if s, ok := call.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Run" && len(call.Args) == 2 {
					return false // a test of its own
				}
				found(call)
			}
			_, ok := n.(*ast.GoStmt)
			return !ok
		})
	}
	for before := -1; before != len(helpers); {
		before = len(helpers)
		for _, f := range files {
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || fn.Body == nil {
					continue
				}
				name := fn.Name.Name
				if fn.Recv != nil {
					name = "." + name
				}
				calls(fn.Body, func(c *ast.CallExpr) { helpers[name] = helpers[name] || ends(c) })
				if !helpers[name] {
					delete(helpers, name)
				}
			}
		}
	}
	var found []token.Pos
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			var body ast.Node
			switch n := n.(type) {
			case *ast.GoStmt:
				body = n.Call
			case *ast.CallExpr:
				if fn := goroutine(n); fn != nil {
					body = fn
				}
			}
			if body != nil {
				calls(body, func(c *ast.CallExpr) {
					if ends(c) {
						found = append(found, c.Pos())
					}
				})
			}
			return true
		})
	}
	return found
}

// goroutine is what a call such as wg.Go(func() {…}) runs beside its caller.
func goroutine(call *ast.CallExpr) *ast.FuncLit {
	s, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) == 0 || s.Sel.Name != "Go" && s.Sel.Name != "AfterFunc" {
		return nil
	}
	fn, _ := call.Args[len(call.Args)-1].(*ast.FuncLit)
	return fn
}

func TestEndsItself(t *testing.T) {
	for code, want := range map[string]int{
		`func TestA(t *testing.T) { require.True(t, a) }`:                                                        0,
		`func TestA(t *testing.T) { go func() { require.True(t, a) }() }`:                                        1,
		`func TestA(t *testing.T) { wg.Go(func() { require.True(t, a); t.Fatal() }) }`:                           2,
		`func TestA(t *testing.T) { wg.Go(func() { assert.True(t, a) }) }`:                                       0,
		`func TestA(t *testing.T) { go func() { c <- s.get() }() }; func (s s) get() { s.t.Fatal(1) }`:           1,
		`func TestA(t *testing.T) { go help() }; func help() { deeper() }; func deeper() { require.True(t, a) }`: 1,
		`func TestA(t *testing.T) { go help() }; func help() { t.Error() }`:                                      0,
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\n"+code, parser.SkipObjectResolution)
		require.NoError(t, err)
		require.Len(t, endsItself([]*ast.File{f}), want, code)
	}
}
