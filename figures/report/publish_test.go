// SPDX-License-Identifier: Apache-2.0

package report

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/figures/figuretest"
	"github.com/ds2-lab/alps/internal/ours"
)

var href = regexp.MustCompile(`href="([^"]+)"`)

// linked are the files that a page links to.
func linked(t *testing.T, page string) []string {
	t.Helper()
	html, err := os.ReadFile(page)
	require.NoError(t, err)
	var out []string
	for _, m := range href.FindAllStringSubmatch(string(html), -1) {
		u, err := url.Parse(m[1])
		require.NoError(t, err)
		if u.Scheme == "data" || u.Path == "" {
			continue
		}
		require.Empty(t, u.Host, m[1])
		out = append(out, u.Path)
	}
	return out
}

func TestPublish(t *testing.T) {
	browser(t)
	root, out := t.TempDir(), t.TempDir()
	figuretest.Shows(t, root, "fig06", 0.9, figuretest.VM("cfs", 1, 2), figuretest.VM("alps", 1, 1))
	figuretest.Tables(t, root)
	figuretest.BeyondTables(t, root)
	require.NoError(t, os.WriteFile(filepath.Join(out, "fig99-vm.svg"), nil, 0o644))
	page, err := Publish(t.Context(), Options{Results: root, Experiments: filepath.Join("..", "..", "experiments"), Out: out})
	require.NoError(t, err)
	files := linked(t, page)
	require.Contains(t, files, "fig06-vm.svg")
	require.Contains(t, files, "fig06.yaml")
	require.Contains(t, files, "table3.tsv")
	require.Contains(t, files, "never-sim.svg")
	require.Contains(t, files, "never.yaml")
	for _, f := range files {
		require.FileExists(t, filepath.Join(out, f))
	}
	require.NotContains(t, files, "fig06-vm.png")
	require.NoFileExists(t, filepath.Join(out, "fig06-vm.pdf"))
	require.NoFileExists(t, filepath.Join(out, "fig99-vm.svg"), "what an earlier report had")
	picture, err := os.ReadFile(filepath.Join(out, firstScreen))
	require.NoError(t, err)
	require.Equal(t, "\x89PNG", string(picture[:4]))

	require.NoError(t, ours.Remove(out, Forms()...), "a second call empties what the first wrote")
	require.NoFileExists(t, filepath.Join(out, "never-sim.tsv"))
	require.NoFileExists(t, page)

	require.NoError(t, os.MkdirAll(out, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(out, firstScreen), nil, 0o644))
	require.NoError(t, os.Truncate(filepath.Join(out, firstScreen), most+1))
	require.ErrorContains(t, small(out), "more than the 20 that may be committed")
}

// A directory with anything else in it is not a report, and stays.
func TestPublishLeavesOthersFiles(t *testing.T) {
	for _, name := range []string{"thesis.tex", "notes.md", "chapter/fig06-vm.svg"} {
		out := t.TempDir()
		require.NoError(t, os.MkdirAll(filepath.Join(out, "chapter"), 0o755))
		for _, f := range []string{name, "index.html", "fig06-vm.svg"} {
			require.NoError(t, os.WriteFile(filepath.Join(out, f), nil, 0o644))
		}
		_, err := Publish(t.Context(), Options{Results: t.TempDir(), Out: out})
		require.ErrorContains(t, err, "ALPS did not make "+name+" in it")
		require.FileExists(t, filepath.Join(out, name))
		require.FileExists(t, filepath.Join(out, "index.html"))
	}
}

// The committed report is small enough, and every file that its page links to is there.
func TestPublishedReport(t *testing.T) {
	dir := filepath.Join("..", "..", "docs", "report")
	require.NoError(t, small(dir))
	for _, f := range append(linked(t, filepath.Join(dir, "index.html")), firstScreen) {
		require.FileExists(t, filepath.Join(dir, f))
	}
}
