// SPDX-License-Identifier: Apache-2.0

package sourcetree

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
}

func TestATreeIsNamedByItsFilesButNotItsRepository(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a/main.c"), "int x;")
	_, err := Open(dir, "b.c")
	require.ErrorContains(t, err, "not the tree that is wanted")
	before, err := Open(dir, "a/main.c")
	require.NoError(t, err)
	write(t, filepath.Join(dir, ".git/HEAD"), "ref")
	same, err := Open(dir, "a/main.c")
	require.NoError(t, err)
	require.Equal(t, before.Digest, same.Digest)
	write(t, filepath.Join(dir, "a/main.c"), "int xy;")
	after, err := Open(dir, "a/main.c")
	require.NoError(t, err)
	require.NotEqual(t, before.Digest, after.Digest)

	dst := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, os.Symlink("main.c", filepath.Join(dir, "a/link.c")))
	require.NoError(t, after.Copy(t.Context(), dst))
	require.NoDirExists(t, filepath.Join(dst, ".git"))
	link, err := os.Readlink(filepath.Join(dst, "a/link.c"))
	require.NoError(t, err)
	require.Equal(t, "main.c", link)
	got, err := os.ReadFile(filepath.Join(dst, "a/link.c"))
	require.NoError(t, err)
	require.Equal(t, "int xy;", string(got))
}

func TestASeriesAppliesInOrderAndWithoutFuzz(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "f"), "one\ntwo\nthree\n")
	series := fstest.MapFS{
		"0002-b.patch": {Data: []byte("--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n one\n-2\n+zwei\n three\n")},
		"0001-a.patch": {Data: []byte("--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n")},
	}
	require.NoError(t, Apply(t.Context(), dir, series, io.Discard))
	got, err := os.ReadFile(filepath.Join(dir, "f"))
	require.NoError(t, err)
	require.Equal(t, "one\nzwei\nthree\n", string(got))

	write(t, filepath.Join(dir, "f"), "one\ntwo\nother\n")
	require.ErrorContains(t, Apply(t.Context(), dir, series, io.Discard), "0001-a.patch")
	require.ErrorContains(t, Apply(t.Context(), dir, fstest.MapFS{}, io.Discard), "no *.patch")
}
