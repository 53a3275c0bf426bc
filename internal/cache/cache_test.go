// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"context"
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func build(n *atomic.Int32) func(context.Context, string) error {
	return func(_ context.Context, dir string) error {
		n.Add(1)
		if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o755); err != nil {
			return err
		}
		if err := os.Symlink("sub/file", filepath.Join(dir, "link")); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, "sub", "file"), []byte("content"), 0o644)
	}
}

// An entry that is being built, or was torn, is not listed.
func TestOnlyWholeEntriesAreListed(t *testing.T) {
	t.Setenv("ALPS_CACHE", t.TempDir())
	var n atomic.Int32
	e, err := Get(t.Context(), "kind", "key", build(&n))
	require.NoError(t, err)
	torn, err := Get(t.Context(), "kind", "torn", build(&n))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(torn.Dir, "sub/file"), []byte("other content"), 0o644))
	require.NoError(t, os.CopyFS(filepath.Join(filepath.Dir(e.Dir), "other.partial"), os.DirFS(e.Dir)))
	list, err := List("kind")
	require.NoError(t, err)
	require.Equal(t, []Entry{{Dir: e.Dir, Hit: true}}, list)
}

func TestSecondGetIsAHit(t *testing.T) {
	t.Setenv("ALPS_CACHE", t.TempDir())
	var n atomic.Int32
	e, err := Get(t.Context(), "k", "key", build(&n))
	require.NoError(t, err)
	require.False(t, e.Hit)
	again, err := Get(t.Context(), "k", "key", build(&n))
	require.NoError(t, err)
	require.True(t, again.Hit)
	require.Equal(t, e.Dir, again.Dir)
	require.EqualValues(t, 1, n.Load())
}

func TestTornEntriesAreBuiltAgain(t *testing.T) {
	for name, tear := range map[string]func(dir string) error{
		"no record":  func(dir string) error { return os.Remove(filepath.Join(dir, recordName)) },
		"truncated":  func(dir string) error { return os.Truncate(filepath.Join(dir, "sub/file"), 3) },
		"same size":  func(dir string) error { return os.WriteFile(filepath.Join(dir, "sub/file"), []byte("CONTENT"), 0o644) },
		"lost file":  func(dir string) error { return os.Remove(filepath.Join(dir, "sub/file")) },
		"lost link":  func(dir string) error { return os.Remove(filepath.Join(dir, "link")) },
		"extra file": func(dir string) error { return os.WriteFile(filepath.Join(dir, "x"), nil, 0o644) },
		"half record": func(dir string) error {
			return os.Truncate(filepath.Join(dir, recordName), 10)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("ALPS_CACHE", t.TempDir())
			var n atomic.Int32
			e, err := Get(t.Context(), "k", "key", build(&n))
			require.NoError(t, err)
			require.NoError(t, tear(e.Dir))
			e, err = Get(t.Context(), "k", "key", build(&n))
			require.NoError(t, err)
			require.False(t, e.Hit)
			require.EqualValues(t, 2, n.Load())
			b, err := os.ReadFile(filepath.Join(e.Dir, "sub/file"))
			require.NoError(t, err)
			require.Equal(t, "content", string(b))
		})
	}
}

func TestFailedBuildLeavesNothing(t *testing.T) {
	t.Setenv("ALPS_CACHE", t.TempDir())
	boom := errors.New("boom")
	_, err := Get(t.Context(), "k", "key", func(_ context.Context, dir string) error {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "half"), nil, 0o644))
		return boom
	})
	require.ErrorIs(t, err, boom)
	left, err := filepath.Glob(filepath.Join(os.Getenv("ALPS_CACHE"), "k", "*"))
	require.NoError(t, err)
	for _, f := range left {
		require.Equal(t, ".lock", filepath.Ext(f))
	}
}

// An entry that is renewed is the old one until the new one is whole.
func TestARenewalThatFailsLeavesTheOldEntry(t *testing.T) {
	t.Setenv("ALPS_CACHE", t.TempDir())
	version := func(text string, err error) func(context.Context, string) error {
		return func(_ context.Context, dir string) error {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "version"), []byte(text), 0o644))
			return err
		}
	}
	is := func(want string) {
		t.Helper()
		e, err := Get(t.Context(), "k", "key", version("built again", nil))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(e.Dir, "version"))
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
	_, err := Make(t.Context(), "k", "key", true, version("first", nil))
	require.NoError(t, err, "there need be none")
	is("first")
	boom := errors.New("boom")
	_, err = Make(t.Context(), "k", "key", true, version("torn", boom))
	require.ErrorIs(t, err, boom)
	is("first")
	e, err := Make(t.Context(), "k", "key", true, version("second", nil))
	require.NoError(t, err)
	require.False(t, e.Hit)
	is("second")
	list, err := List("k")
	require.NoError(t, err)
	require.Len(t, list, 1)
	left, err := filepath.Glob(filepath.Join(os.Getenv("ALPS_CACHE"), "k", "*"))
	require.NoError(t, err)
	require.Len(t, left, 2, "the entry and its lock")
}

func TestOneBuilderAtATime(t *testing.T) {
	t.Setenv("ALPS_CACHE", t.TempDir())
	var n atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := Get(context.Background(), "k", "key", build(&n))
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, n.Load())
}

func TestWaiterHonoursItsContext(t *testing.T) {
	t.Setenv("ALPS_CACHE", t.TempDir())
	building, release := make(chan struct{}), make(chan struct{})
	var builder sync.WaitGroup
	builder.Go(func() {
		_, err := Get(context.Background(), "k", "key", func(context.Context, string) error {
			close(building)
			<-release
			return nil
		})
		assert.NoError(t, err)
	})
	defer builder.Wait() // it writes into the temporary folder
	defer close(release)
	<-building
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Get(ctx, "k", "key", func(context.Context, string) error { panic("two builders") })
	require.ErrorIs(t, err, context.Canceled)
}

// Without HOME the system says where the user is at home: nothing is written to
// the current directory, and there is one cache.
func TestRootWithoutHome(t *testing.T) {
	u, err := user.LookupId(strconv.Itoa(os.Getuid()))
	require.NoError(t, err)
	for _, name := range []string{"ALPS_CACHE", "XDG_CACHE_HOME", "HOME"} {
		t.Setenv(name, "")
	}
	dir, err := userCache()
	require.NoError(t, err)
	require.Equal(t, filepath.Join(u.HomeDir, ".cache"), dir)
	t.Setenv("HOME", "/home/somebody")
	dir, err = userCache()
	require.NoError(t, err)
	require.Equal(t, "/home/somebody/.cache", dir)
	t.Setenv("XDG_CACHE_HOME", "/caches")
	dir, err = userCache()
	require.NoError(t, err)
	require.Equal(t, "/caches", dir)
	t.Setenv("ALPS_CACHE", filepath.Join(t.TempDir(), "elsewhere"))
	root, err := Root()
	require.NoError(t, err)
	require.Equal(t, os.Getenv("ALPS_CACHE"), root)
}
