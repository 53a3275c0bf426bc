// SPDX-License-Identifier: Apache-2.0

package deps

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMissingLooksForWhatAPackageProvides(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tool"), []byte("#!/bin/sh\n"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "header.h"), nil, 0o644))
	t.Setenv("PATH", dir)
	g := Group{"g", []Package{
		{"tool", ""}, {"pkg", "tool"}, {"dev", dir + "/head*.h"},
		{"zzz-absent", ""}, {"absent-dev", dir + "/nope.h"}, {"zzz-absent", ""},
	}}
	require.Equal(t, []string{"absent-dev", "zzz-absent"}, Missing(g))
}

func TestWithoutRootAndSudoTheCommandIsPrinted(t *testing.T) {
	if os.Geteuid() == 0 {
		// As root Ensure would run apt-get, so only a PATH without apt-get is tested.
		t.Setenv("PATH", t.TempDir())
		err := Ensure(t.Context(), os.Stderr, Group{"g", []Package{{"zzz-absent", ""}}})
		require.ErrorContains(t, err, "zzz-absent")
		return
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "apt-get"), []byte("#!/bin/sh\nexit 1\n"), 0o755))
	t.Setenv("PATH", dir)
	err := Ensure(t.Context(), os.Stderr, Group{"g", []Package{{"zzz-absent", ""}}})
	require.ErrorIs(t, err, ErrNeedRoot)
	require.ErrorContains(t, err, "apt-get install -y --no-install-recommends zzz-absent")
}

func TestEveryPackageNameIsADebianName(t *testing.T) {
	for _, g := range All() {
		require.NotEmpty(t, g.Packages, g.Name)
		for _, p := range g.Packages {
			require.Regexp(t, `^[a-z0-9][a-z0-9+.-]+$`, p.Name)
			require.False(t, strings.HasSuffix(p.Have, "/"), p.Name)
		}
	}
}
