// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/internal/progress"
)

func TestNinjaTellsHowFarItIs(t *testing.T) {
	var log, shown bytes.Buffer
	step := progress.New(&shown).Step("compile", 0, 0)
	p := &ninjaProgress{log: &log, step: step}
	// A write may end anywhere.
	for _, part := range []string{"ninja: entering\n[1/4] Com", "piling a.c\n[2/4] Compiling b.c\nwarning [9/9]\n", "[3/4] Linking"} {
		n, err := p.Write([]byte(part))
		require.NoError(t, err)
		require.Equal(t, len(part), n)
	}
	require.Equal(t, "[3/4] Linking", string(p.rest))
	require.Contains(t, log.String(), "[2/4] Compiling b.c")
}

// Each patch says in its message why, and none of them is large.
func TestSeriesIsReviewable(t *testing.T) {
	names, err := fs.Glob(patches, "patches/*.patch")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	added := 0
	for _, name := range names {
		data, err := patches.ReadFile(name)
		require.NoError(t, err)
		message, diff, ok := strings.Cut(string(data), "\ndiff --git ")
		require.True(t, ok, name)
		subject, body, ok := strings.Cut(message, "\n\n")
		require.True(t, ok, name)
		require.Regexp(t, `^[a-z0-9/]+: .{10,70}$`, subject, name)
		require.Greater(t, len(body), 100, name)
		for line := range strings.Lines(diff) {
			if strings.HasPrefix(line, "+") && !strings.HasPrefix(line, "+++") {
				added++
			}
		}
	}
	require.Less(t, added, 800)
}

func TestCachedBuildsAreFoundWithoutTheNetwork(t *testing.T) {
	root := t.TempDir()
	t.Setenv("ALPS_CACHE", root)
	list, err := Cached()
	require.NoError(t, err)
	require.Empty(t, list)
	entry := func(key, meta string, made time.Time) string {
		e, err := cache.Get(t.Context(), "qemu", key, func(_ context.Context, dir string) error {
			path := filepath.Join(dir, metaName)
			return errors.Join(os.WriteFile(path, []byte(meta), 0o644), os.Chtimes(path, made, made))
		})
		require.NoError(t, err)
		return e.Dir
	}
	entry("xyz", `{"version": "QEMU 9.0"}`, time.Now().Add(-time.Hour))
	dir := entry("abc", `{"version": "QEMU 10.0", "source": "package qemu=1"}`, time.Now())
	// A build that was killed is none.
	torn := filepath.Join(root, "qemu", "def.partial")
	require.NoError(t, os.MkdirAll(torn, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(torn, metaName), []byte(`{"vers`), 0o644))
	list, err = Cached()
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, "QEMU 9.0", list[0].Version)
	require.Equal(t, "QEMU 10.0", list[1].Version, "the newest, whatever its key")
	require.Equal(t, filepath.Join(dir, binaryName), list[1].Path)
}

func TestAForeignTreeIsRefused(t *testing.T) {
	b := builder{opts: Options{Src: t.TempDir()}}
	require.ErrorContains(t, b.locate(t.Context()), "accel/tcg/tcg-accel-ops-rr.c")
}
