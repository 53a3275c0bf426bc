// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// uncommented are the exported identifiers of a file that have no comment: functions,
// types, methods of exported types, and constants and variables, where one comment
// serves a whole group.
func uncommented(f *ast.File) []string {
	var found []string
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if d.Recv != nil {
				receiver := d.Recv.List[0].Type
				if p, ok := receiver.(*ast.StarExpr); ok {
					receiver = p.X
				}
				if i, ok := receiver.(*ast.IndexExpr); ok {
					receiver = i.X
				}
				id, ok := receiver.(*ast.Ident)
				if !ok || !id.IsExported() || standard[name] {
					continue
				}
				name = id.Name + "." + name
			}
			if d.Name.IsExported() && d.Doc == nil {
				found = append(found, name)
			}
		case *ast.GenDecl:
			if d.Doc != nil {
				continue
			}
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					if s.Name.IsExported() && s.Doc == nil && s.Comment == nil {
						found = append(found, s.Name.Name)
					}
				case *ast.ValueSpec:
					for _, n := range s.Names {
						if n.IsExported() && s.Doc == nil && s.Comment == nil {
							found = append(found, n.Name)
						}
					}
				}
			}
		}
	}
	return found
}

// standard are methods of the standard library's interfaces, which say what they do.
var standard = map[string]bool{
	"Error": true, "String": true, "Unwrap": true, "Is": true, "Len": true, "Less": true, "Swap": true, "Set": true, "Read": true, "Write": true, "Close": true,
	"MarshalJSON": true, "UnmarshalJSON": true, "UnmarshalYAML": true, "MarshalText": true, "UnmarshalText": true, "IsBoolFlag": true, "ServeHTTP": true,
}

// Every package and every exported identifier says what it is.
func TestExportedIdentifiersHaveComments(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	documented := map[string]bool{}
	for _, file := range tracked(t, root) {
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.ParseComments|parser.SkipObjectResolution)
		require.NoError(t, err)
		dir := filepath.Dir(file)
		documented[dir] = documented[dir] || f.Doc != nil
		if ast.IsGenerated(f) || f.Name.Name == "main" {
			continue
		}
		for _, name := range uncommented(f) {
			t.Errorf("%s: %s has no comment", file, name)
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package %s has no comment", dir)
		}
	}
}

func TestUncommented(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "x.go", `package x

func A() {}

// B is.
func B() {}

type C struct{}

func (C) D() {}
func (c *C) Error() string { return "" }

type e struct{}

func (e) F() {}

const (
	G = 1 // has
	H = 2
)

// These are.
var I, J int

func (*L[T]) K() {}
`, parser.ParseComments)
	require.NoError(t, err)
	require.Equal(t, []string{"A", "C", "C.D", "H", "L.K"}, uncommented(f))
}
