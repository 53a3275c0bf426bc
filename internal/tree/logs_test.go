// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// wordless are the messages of a file's logs that are one word: they lack a verb or its object.
func wordless(f *ast.File) []string {
	var found []string
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		switch sel.Sel.Name {
		case "Debug", "Info", "Warn", "Error":
		default:
			return true
		}
		logs := false // through a field or variable of that name
		switch x := sel.X.(type) {
		case *ast.Ident:
			logs = strings.EqualFold(x.Name, "log") || x.Name == "slog"
		case *ast.SelectorExpr:
			logs = strings.EqualFold(x.Sel.Name, "log")
		}
		lit, ok := call.Args[0].(*ast.BasicLit)
		if !logs || !ok {
			return true
		}
		if text, err := strconv.Unquote(lit.Value); err == nil && len(strings.Fields(text)) < 2 {
			found = append(found, text)
		}
		return true
	})
	return found
}

// A line of a log says what is done to which thing: it has a verb and an object.
func TestLogsSayMoreThanAWord(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	for _, file := range tracked(t, root) {
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, text := range wordless(f) {
			t.Errorf("%s logs %q: say what is done to which thing", file, text)
		}
	}
}

func TestWordless(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\nfunc f() { d.log.Info(\"docker\"); log.Warn(\"function is gone\", 1); t.Error(\"x\"); slog.Error(\"sweep\") }", 0)
	require.NoError(t, err)
	require.Equal(t, []string{"docker", "sweep"}, wordless(f))
}
