// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// host is the type whose methods are targets without a namespace.
const host = "Host"

// generate returns the magefile for the targets of the package in dir.
func generate(dir string) ([]byte, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	g := generator{fset: token.NewFileSet(), structs: map[string]*ast.StructType{}}
	var syntax []*ast.File
	for _, path := range files { // sorted
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(g.fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		syntax = append(syntax, f)
		ast.Inspect(f, func(n ast.Node) bool {
			if t, ok := n.(*ast.TypeSpec); ok {
				if s, ok := t.Type.(*ast.StructType); ok {
					g.structs[t.Name.Name] = s
				}
			}
			return true
		})
	}
	for _, f := range syntax {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil && fn.Name.IsExported() {
				if err := g.target(fn); err != nil {
					return nil, fmt.Errorf("%s: %w", g.fset.Position(fn.Pos()), err)
				}
			}
		}
	}
	return g.magefile()
}

type generator struct {
	fset       *token.FileSet
	structs    map[string]*ast.StructType
	namespaces []string
	required   []string // targets with an argument that must be given, as in vm:run
	flagless   []string // targets without flags
	body       bytes.Buffer
}

// target writes the function for one target.
func (g *generator) target(fn *ast.FuncDecl) error {
	namespace := types.ExprString(fn.Recv.List[0].Type)
	receiver, target, name := "", "host()", strings.ToLower(fn.Name.Name)
	switch {
	case !ast.IsExported(namespace):
		return nil
	case strings.HasSuffix(namespace, "Flags"):
		return fmt.Errorf("%s.%s: flags have no targets", namespace, fn.Name.Name)
	case namespace != host:
		receiver, target, name = "("+namespace+") ", "targets."+namespace+"{Host: host()}", strings.ToLower(namespace)+":"+name
		if !slices.Contains(g.namespaces, namespace) {
			g.namespaces = append(g.namespaces, namespace)
		}
	}
	if fn.Doc == nil {
		return fmt.Errorf("target %s has no comment, which is what -l and -h print", fn.Name.Name)
	}
	params := fn.Type.Params.List
	if len(params) == 0 || types.ExprString(params[0].Type) != "context.Context" {
		return fmt.Errorf("target %s: its first parameter is no context.Context", fn.Name.Name)
	}
	args, list, flagless := []string{"ctx"}, "ctx context.Context", true
	for _, p := range params[1:] {
		kind := types.ExprString(p.Type)
		if kind == "string" {
			list += ", " + p.Names[0].Name + " string"
			args = append(args, p.Names[0].Name)
			if !slices.Contains(g.required, name) {
				g.required = append(g.required, name)
			}
			continue
		}
		flagless = false
		literal, flags, err := g.flags(kind)
		if err != nil {
			return fmt.Errorf("target %s: %w", fn.Name.Name, err)
		}
		list += ",\n" + flags
		args = append(args, literal)
	}
	if flagless {
		g.flagless = append(g.flagless, name)
	}
	g.body.WriteString("\n")
	for _, c := range fn.Doc.List {
		fmt.Fprintln(&g.body, c.Text)
	}
	fmt.Fprintf(&g.body, "func %s%s(%s) error {\n\treturn %s.%s(%s)\n}\n", receiver, fn.Name.Name, list, target, fn.Name.Name, strings.Join(args, ", "))
	return nil
}

// flags returns a literal of the struct of that name, made of parameters, and the
// declarations of these.
func (g *generator) flags(name string) (literal, params string, err error) {
	s := g.structs[name]
	if s == nil {
		return "", "", fmt.Errorf("%s is no struct of this package", name)
	}
	var fields []string
	for _, f := range s.Fields.List {
		kind := types.ExprString(f.Type)
		if len(f.Names) == 0 { // embedded: its flags are here, too
			inner, more, err := g.flags(kind)
			if err != nil {
				return "", "", err
			}
			fields = append(fields, kind+": "+inner)
			params += more
			continue
		}
		field := f.Names[0].Name
		if f.Comment == nil {
			return "", "", fmt.Errorf("%s.%s has no comment behind it, which is what -h prints", name, field)
		}
		params += fmt.Sprintf("\t%s *%s, %s\n", flagName(field), kind, f.Comment.List[0].Text)
		fields = append(fields, fmt.Sprintf("%s: value(%s)", field, flagName(field)))
	}
	return "targets." + name + "{" + strings.Join(fields, ", ") + "}", params, nil
}

// flagName is the flag of a field: id of ID, cacheToo of CacheToo.
func flagName(field string) string {
	r := []rune(field)
	if len(r) > 1 && unicode.IsUpper(r[1]) {
		return strings.ToLower(field)
	}
	return string(unicode.ToLower(r[0])) + string(r[1:])
}

// magefile puts what mage needs around the targets.
func (g *generator) magefile() ([]byte, error) {
	slices.Sort(g.namespaces)
	slices.Sort(g.required)
	slices.Sort(g.flagless)
	imports := []string{"context", "os"}
	if bytes.Contains(g.body.Bytes(), []byte("*time.Duration")) {
		imports = append(imports, "time")
	}
	var out bytes.Buffer
	out.WriteString(`// SPDX-License-Identifier: Apache-2.0

// Code generated from internal/targets (go generate ./internal/targets); DO NOT EDIT.

//go:build mage

// Targets of the ALPS repository. Without mage installed: go run mage.go TARGET.
package main

import (
`)
	for _, i := range imports {
		fmt.Fprintf(&out, "\t%q\n", i)
	}
	out.WriteString(`
	"github.com/magefile/mage/mg"

	"github.com/ds2-lab/alps/internal/launch"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/internal/targets"
)

type (
`)
	for _, n := range g.namespaces {
		fmt.Fprintf(&out, "\t%s mg.Namespace\n", n)
	}
	out.WriteString(`)

// Aliases are other names of targets.
var Aliases = map[string]any{"test": Test.All, "testVM": Test.Guest}

// mage TARGET -h, a flag's value without its name and so on mean the same as they
// do with go run mage.go.
func init() { os.Args = launch.MageArgs(os.Args, required, flagless) }

// required are the targets with an argument that must be given.
`)
	fmt.Fprintf(&out, "var required = %#v\n\n// flagless are the targets without flags.\nvar flagless = %#v\n", g.required, g.flagless)
	out.WriteString(`
func host() targets.Host {
	return targets.Host{Out: os.Stdout, Console: progress.New(os.Stderr)}
}

// value reads an optional flag.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
`)
	out.Write(g.body.Bytes())
	return format.Source(out.Bytes())
}
