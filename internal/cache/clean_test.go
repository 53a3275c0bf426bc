// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func put(t *testing.T, path string) string {
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, nil, 0o644))
	return path
}

func TestClean(t *testing.T) {
	root := filepath.Join(t.TempDir(), "cache")
	t.Setenv("ALPS_CACHE", root)
	for _, kind := range kinds {
		dir, err := Dir(kind)
		require.NoError(t, err)
		put(t, filepath.Join(dir, "entry"))
	}
	theirs := put(t, filepath.Join(root, "notes", "letter.txt"))
	left, err := Clean()
	require.NoError(t, err)
	require.ElementsMatch(t, []string{filepath.Join(root, kept), filepath.Join(root, "notes")}, left)
	require.FileExists(t, theirs)
	require.FileExists(t, filepath.Join(root, kept, "entry"))
	require.NoDirExists(t, filepath.Join(root, "kernel"))

	require.NoError(t, os.RemoveAll(filepath.Join(root, "notes")))
	require.NoError(t, os.Remove(filepath.Join(root, kept, "entry")))
	left, err = Clean()
	require.NoError(t, err)
	require.Empty(t, left)
	require.NoDirExists(t, root)
}

// ALPS_CACHE may name somebody's home: Clean removes nothing in it.
func TestCleanLeavesADirectoryThatWasNotEmpty(t *testing.T) {
	home := t.TempDir()
	theirs := put(t, filepath.Join(home, "kernel", "my-patch"))
	t.Setenv("ALPS_CACHE", home)
	for range 2 {
		dir, err := Dir("image")
		require.NoError(t, err)
		put(t, filepath.Join(dir, "entry"))
		_, err = Clean()
		require.ErrorContains(t, err, home+" is not removed")
		require.FileExists(t, theirs)
	}
	// Nor does another program's tag make it ours.
	require.NoError(t, os.WriteFile(filepath.Join(home, tagName), []byte("Signature: 8a477f597d28d172789f06886806bc55\n"), 0o644))
	_, err := Clean()
	require.ErrorContains(t, err, "is not removed")
	require.FileExists(t, theirs)
}

// The default directory is a cache of ALPS by its name, even if it was made before there were tags.
func TestTheUsersCacheIsMarked(t *testing.T) {
	t.Setenv("ALPS_CACHE", "")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	put(t, filepath.Join(os.Getenv("XDG_CACHE_HOME"), "alps", "image", "entry"))
	left, err := Clean()
	require.NoError(t, err)
	require.Empty(t, left)
	require.NoDirExists(t, filepath.Join(os.Getenv("XDG_CACHE_HOME"), "alps"))
	require.DirExists(t, os.Getenv("XDG_CACHE_HOME"))
}
