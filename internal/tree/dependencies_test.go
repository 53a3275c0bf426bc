// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/licensecheck"
	"github.com/stretchr/testify/require"
)

// permitted are the licences, by SPDX identifier, that code may have which is linked
// into programs under Apache-2.0 or runs as a tool of the module.
var permitted = map[string]bool{
	"Apache-2.0": true, "MIT": true, "BSD-2-Clause": true, "BSD-3-Clause": true, "ISC": true,
	"MPL-2.0":   true, // its copyleft covers its own files only, which are not changed here
	"OFL-1.1":   true, // of fonts
	"CC-BY-4.0": true, // asks only for the author's name
	"CC0-1.0":   true, "Unlicense": true,
}

// choices are the sentences of modules that offer the choice among licences, one of
// which is permitted.
var choices = map[string]string{
	"github.com/golang/freetype": "choice of exactly one of\nthe following two licenses:\n  * The FreeType License",
}

// Every module whose code is compiled, into programs, tests or tools, has a licence
// that agrees with Apache-2.0. The texts are those in the module cache, recognised
// by github.com/google/licensecheck.
func TestDependenciesAreLicensed(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	modules := map[string]string{}
	for _, tags := range []string{"", "guest,mage"} {
		cmd := exec.Command("go", "list", "-tags="+tags, "-deps", "-test", "-f", "{{with .Module}}{{.Path}}\t{{.Dir}}{{end}}", "./...", "tool")
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		for line := range strings.Lines(string(out)) {
			if path, dir, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok && path != module {
				modules[path] = dir
			}
		}
	}
	require.Greater(t, len(modules), 30)
	for path, dir := range modules {
		if sentence := choices[path]; sentence != "" {
			text, err := os.ReadFile(filepath.Join(dir, "LICENSE"))
			require.NoError(t, err)
			require.Contains(t, string(text), sentence, path)
		} else if reason := unlicensed(t, dir); reason != "" {
			t.Errorf("%s: %s", path, reason)
		}
	}
}

var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying)`)

// unlicensed says why no licence file in dir has a permitted licence; it is empty if one has.
func unlicensed(t *testing.T, dir string) string {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	reason := "no file with a licence"
	for _, e := range entries {
		if e.IsDir() || !licenceFile.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		found := licensecheck.Scan(text)
		if len(found.Match) == 0 {
			reason = e.Name() + " is not the text of a known licence"
		}
		for _, m := range found.Match {
			if permitted[m.ID] {
				return ""
			}
			reason = e.Name() + " is " + m.ID
		}
	}
	return reason
}

func TestUnlicensed(t *testing.T) {
	dir := t.TempDir()
	require.Equal(t, "no file with a licence", unlicensed(t, dir))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "LICENSE"), []byte("All rights reserved."), 0o644))
	require.Equal(t, "LICENSE is not the text of a known licence", unlicensed(t, dir))
	root, err := Root()
	require.NoError(t, err)
	for name, want := range map[string]string{"Apache-2.0.txt": "", "GPL-2.0-only.txt": "LICENSE is GPL-2.0"} {
		text, err := os.ReadFile(filepath.Join(root, "LICENSES", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "LICENSE"), text, 0o644))
		require.Equal(t, want, unlicensed(t, dir))
	}
}
