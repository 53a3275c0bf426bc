// SPDX-License-Identifier: Apache-2.0

package architecture

import (
	"html"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/tree"
)

// module writes Go files of a module called m below a directory.
func module(t *testing.T, root string, files map[string]string) {
	t.Helper()
	files["go.mod"] = "module m\n"
	for name, text := range files {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
}

func TestAPackageThatIsAddedAppears(t *testing.T) {
	root := t.TempDir()
	draw := func() string {
		a, err := Read(root)
		require.NoError(t, err)
		svg, err := a.SVG(t.Context())
		require.NoError(t, err)
		return string(svg)
	}
	module(t, root, map[string]string{"a/a.go": "package a\nimport _ \"m/b\"", "b/b.go": "package b", "b/testdata/x.go": "package x"})
	before := draw()
	require.Contains(t, before, ">b<")
	require.NotContains(t, before, ">x<")
	require.NotContains(t, before, ">added<")
	module(t, root, map[string]string{"b/added/c.go": "package added"})
	require.Contains(t, draw(), ">added<")
	require.Equal(t, draw(), draw(), "the same code is the same picture")
}

func TestArchitectureOfThisRepository(t *testing.T) {
	root, err := tree.Root()
	require.NoError(t, err)
	a, err := Read(root)
	require.NoError(t, err)
	for _, want := range []string{
		"package\talps/daemon\tpackage\tbpf\n", "package\tfigures/report\tpackage\texperiments/results\n", "package\tbpf\tmap\tpolicy\n",
		"map\tpolicy\tprogram\talps_bias\n", "program\talps_bias\thook\talps_hook_bias\n", "program\talps_ghost\thook\tsched_ext_ops\n", "package\tbpf/ghost\tmap\tmessages\n", "program\tobserve_exec\thook\tsched_process_exec\n",
	} {
		require.Contains(t, a.TSV(), want)
	}
	require.Equal(t, "5.18-rc5, 6.1", a.node(kindHook, "alps_hook_slice").note, "every series has the hook")
	require.Empty(t, a.node(kindHook, "sched_switch").note, "mainline's own")
	svg, err := a.SVG(t.Context())
	require.NoError(t, err)
	for _, n := range a.nodes {
		if n.folder() != shared {
			require.True(t, strings.Contains(html.UnescapeString(string(svg)), ">"+strings.TrimPrefix(n.name, n.folder()+"/")+"<"), n.name)
		}
	}
	require.Contains(t, a.Common(), "tree")
	require.False(t, strings.Contains(string(svg), ">tree<"), "what everything imports is not drawn")
}

func TestImportsThatFollowFromOthersHaveNoLine(t *testing.T) {
	a, b, c := &node{name: "a"}, &node{name: "b"}, &node{name: "c"}
	require.Equal(t, []link{{a, b}, {b, c}}, reduced([]link{{a, b}, {a, c}, {b, c}}))
}
