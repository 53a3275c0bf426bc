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

// Links are followed: -src may be one, and one in the tree may lead out of it, as to a
// driver that somebody keeps elsewhere.
func TestATreeIsNamedByWhatItsLinksLeadTo(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "real/a/main.c"), "int x;")
	write(t, filepath.Join(dir, "mine/driver.c"), "int d;")
	write(t, filepath.Join(dir, "other.c"), "int o;")
	for link, target := range map[string]string{
		"link": "real", "real/a/driver": filepath.Join(dir, "mine"), "real/o.c": "../other.c", "real/a/up": "..", "real/gone": "nowhere", "mine/loop": "../mine",
	} {
		require.NoError(t, os.Symlink(target, filepath.Join(dir, link)))
	}
	seen := map[string]bool{}
	for _, changed := range []string{"", "real/a/main.c", "mine/driver.c", "other.c"} {
		if changed != "" {
			write(t, filepath.Join(dir, changed), "int another;"+changed)
		}
		direct, err := Open(filepath.Join(dir, "real"), "a/main.c")
		require.NoError(t, err)
		linked, err := Open(filepath.Join(dir, "link"), "a/main.c")
		require.NoError(t, err)
		require.Equal(t, direct, linked)
		require.False(t, seen[linked.Digest], "%s was changed", changed)
		seen[linked.Digest] = true
	}
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
