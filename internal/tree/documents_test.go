// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"bytes"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// documents are the pages that people read, by their path below root.
func documents(t *testing.T, root string) map[string]string {
	all := map[string]string{}
	for _, file := range tracked(t, root) {
		if !strings.HasSuffix(file, ".md") || strings.Contains(file, "testdata/") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, file))
		require.NoError(t, err)
		all[file] = string(text)
	}
	require.NotEmpty(t, all)
	return all
}

// anchors are the fragments by which a page's headings are linked.
func anchors(text string) map[string]bool {
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		heading := strings.ToLower(regexp.MustCompile("[`*?!,.:()/'’]").ReplaceAllString(m[1], ""))
		found[strings.ReplaceAll(strings.TrimSpace(heading), " ", "-")] = true
	}
	return found
}

// Links between pages, and to files, lead somewhere.
func TestLinksOfPagesLeadSomewhere(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	pages := documents(t, root)
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	found := 0
	for page, text := range pages {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			found++
			path, fragment, _ := strings.Cut(m[1], "#")
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
				if _, err := os.Stat(filepath.Join(root, target)); err != nil {
					t.Errorf("%s links to %s, which is not there", page, m[1])
					continue
				}
			}
			if fragment != "" && strings.HasSuffix(target, ".md") && !anchors(pages[target])[fragment] {
				t.Errorf("%s links to %s: no such heading", page, m[1])
			}
		}
	}
	require.Greater(t, found, 30)
	for page := range pages {
		if filepath.Dir(page) == "docs" && page != "docs/index.md" && !strings.Contains(pages["docs/index.md"], "]("+filepath.Base(page)+")") {
			t.Errorf("docs/index.md does not list %s", page)
		}
	}
}

// Flags of alps that pages and dist/ show exist.
func TestDocumentedFlagsOfAlpsExist(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	program := filepath.Join(t.TempDir(), "alps")
	build := exec.Command("go", "build", "-o", program, "./alps/cmd/alps")
	build.Dir = root
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	usage := map[string]string{}
	call := regexp.MustCompile("alps (run|status|policy|mode|trial|bench|learn|srpt)((?: (?:backend|switch|-[a-z-]+(?:[= ][^\\s`-]+)?))+)")
	texts := documents(t, root)
	defaults, err := os.ReadFile(filepath.Join(root, "dist", "alps.default"))
	require.NoError(t, err)
	texts["dist/alps.default"] = "alps run " + string(bytes.Trim(defaults[bytes.Index(defaults, []byte("ALPS_RUN=\""))+len("ALPS_RUN=\""):], "\"\n"))
	found := 0
	for page, text := range texts {
		for _, m := range call.FindAllStringSubmatch(text, -1) {
			if usage[m[1]] == "" {
				help := exec.Command(program, m[1], "-h")
				out, err := help.CombinedOutput()
				require.NoError(t, err, "%s", out)
				usage[m[1]] = string(out)
			}
			for _, flag := range regexp.MustCompile(`(?: )-([a-z-]+)`).FindAllStringSubmatch(m[2], -1) {
				found++
				if flag[1] != "h" && !strings.Contains(usage[m[1]], "\n  -"+flag[1]+" ") && !strings.Contains(usage[m[1]], "\n  -"+flag[1]+"\n") {
					t.Errorf("%s shows alps %s -%s, which is no flag of it", page, m[1], flag[1])
				}
			}
		}
	}
	require.Greater(t, found, 5)
}

// ARCHITECTURE.md's picture has a box for every package, and none for one that is
// gone. Whether its lines are right, too, is tested by CI, which draws it again.
func TestPictureHasEveryPackage(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	svg, err := os.ReadFile(filepath.Join(root, "docs", "architecture.svg"))
	require.NoError(t, err)
	drawn := map[string]bool{}
	for _, m := range regexp.MustCompile(`<title>package ([^<]+)</title>`).FindAllStringSubmatch(string(svg), -1) {
		if name := html.UnescapeString(m[1]); !strings.Contains(name, "->") { // not a line
			drawn[name] = true
		}
	}
	require.Greater(t, len(drawn), 30)
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		files, err := filepath.Glob(filepath.Join(root, name, "*.go"))
		require.NoError(t, err)
		code := slices.ContainsFunc(files, func(f string) bool { return !strings.HasSuffix(f, "_test.go") })
		if code && !under(name, "internal") && !drawn[name] {
			t.Errorf("docs/architecture.svg lacks %s: run go run mage.go figures:architecture", name)
		}
		delete(drawn, name)
	}
	require.Empty(t, drawn, "docs/architecture.svg shows what is gone: run go run mage.go figures:architecture")
}
