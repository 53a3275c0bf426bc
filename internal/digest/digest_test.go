// SPDX-License-Identifier: Apache-2.0

package digest

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func sum(t *testing.T, d *Digest) string {
	t.Helper()
	s, err := d.Sum()
	require.NoError(t, err)
	require.Len(t, s, 64)
	return s
}

func TestPairsDoNotRunTogether(t *testing.T) {
	a := sum(t, New("x").Str("a", "bc"))
	require.NotEqual(t, a, sum(t, New("x").Str("ab", "c")))
	require.NotEqual(t, a, sum(t, New("y").Str("a", "bc")))
	require.NotEqual(t, a, sum(t, New("x").Str("a", "b").Str("", "c")))
	require.Equal(t, a, sum(t, New("x").Str("a", "bc")))
}

func TestDirCountsNamesContentsAndExecutableBits(t *testing.T) {
	dir := t.TempDir()
	write := func(name, body string, mode os.FileMode) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(body), mode))
	}
	write("a", "1", 0o644)
	write("sub/b", "2", 0o644)
	key := func() string { return sum(t, New("t").Dir("d", dir)) }
	first := key()
	require.Equal(t, first, key())
	write("sub/b", "3", 0o644)
	require.NotEqual(t, first, key())
	write("sub/b", "2", 0o644)
	require.Equal(t, first, key())
	require.NoError(t, os.Chmod(filepath.Join(dir, "a"), 0o755))
	require.NotEqual(t, first, key())
	require.NoError(t, os.Chmod(filepath.Join(dir, "a"), 0o644))
	require.NoError(t, os.Symlink("a", filepath.Join(dir, "l")))
	linked := key()
	require.NotEqual(t, first, linked)
	require.NoError(t, os.Remove(filepath.Join(dir, "l")))
	require.NoError(t, os.Symlink("sub/b", filepath.Join(dir, "l")))
	require.NotEqual(t, linked, key())
}

func TestErrorsReachSum(t *testing.T) {
	_, err := New("t").File("f", "/no/such/file").Str("a", "b").Sum()
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = New("t").Dir("f", "/no/such/dir").Sum()
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestFSEqualsDir(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a"), []byte("1"), 0o644))
	require.Equal(t, sum(t, New("t").Dir("d", dir)),
		sum(t, New("t").FS("d", fstest.MapFS{"a": {Data: []byte("1"), Mode: 0o644}})))
}
