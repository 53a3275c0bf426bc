// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/tree"
)

// magefile.go is what the targets give.
func TestMagefileIsUpToDate(t *testing.T) {
	root, err := tree.Root()
	require.NoError(t, err)
	want, err := generate(filepath.Join(root, "internal", "targets"))
	require.NoError(t, err)
	got, err := os.ReadFile(filepath.Join(root, "magefile.go"))
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "run: go generate ./internal/targets")
}

func TestGenerate(t *testing.T) {
	const header = "package targets\n\ntype Host struct{}\ntype Vm struct{ Host }\ntype InFlags struct {\n\tCPUs int // how many\n}\ntype UpFlags struct {\n\tInFlags\n\tKeepIt bool // keep\n}\n"
	for name, test := range map[string]struct{ code, want, err string }{
		"flags": {
			code: "// Up boots.\nfunc (h Vm) Up(ctx context.Context, line string, f UpFlags) error { return nil }\n",
			want: "// Up boots.\nfunc (Vm) Up(ctx context.Context, line string,\n\tcpus *int, // how many\n\tkeepIt *bool, // keep\n) error {\n" +
				"\treturn targets.Vm{Host: host()}.Up(ctx, line, targets.UpFlags{InFlags: targets.InFlags{CPUs: value(cpus)}, KeepIt: value(keepIt)})\n}\n",
		},
		"no namespace": {
			code: "// Deps installs.\nfunc (h Host) Deps(ctx context.Context) error { return nil }\n",
			want: "// Deps installs.\nfunc Deps(ctx context.Context) error {\n\treturn host().Deps(ctx)\n}\n",
		},
		"required": {
			code: "// Up boots.\nfunc (h Vm) Up(ctx context.Context, line string) error { return nil }\n\n// Down ends.\nfunc (h Vm) Down(ctx context.Context) error { return nil }\n\n// Deps installs.\nfunc (h Host) Deps(ctx context.Context, list string) error { return nil }\n",
			want: "var required = []string{\"deps\", \"vm:up\"}\n",
		},
		"flagless": {
			code: "// Up boots.\nfunc (h Vm) Up(ctx context.Context, line string, f UpFlags) error { return nil }\n\n// Down ends.\nfunc (h Vm) Down(ctx context.Context, line string) error { return nil }\n",
			want: "var flagless = []string{\"vm:down\"}\n",
		},
		"no comment":    {code: "func (h Host) Deps(ctx context.Context) error { return nil }\n", err: "target Deps has no comment"},
		"no context":    {code: "// Deps installs.\nfunc (h Host) Deps() error { return nil }\n", err: "no context.Context"},
		"unknown flags": {code: "// Deps installs.\nfunc (h Host) Deps(ctx context.Context, f Flags) error { return nil }\n", err: "Flags is no struct"},
		"flag without a comment": {
			code: "type F struct {\n\tA int\n}\n\n// Deps installs.\nfunc (h Host) Deps(ctx context.Context, f F) error { return nil }\n",
			err:  "F.A has no comment",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "x.go"), []byte(header+test.code), 0o644))
			got, err := generate(dir)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			require.Contains(t, string(got), test.want)
		})
	}
}
