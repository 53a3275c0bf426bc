// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// An annotation is a table of REUSE.toml, as in version 3.3 of the REUSE
// specification: the licence and the owner of the files that its paths match.
type annotation struct {
	Path       paths
	Precedence string
	Copyright  string `toml:"SPDX-FileCopyrightText"`
	Licence    string `toml:"SPDX-License-Identifier"`
}

// paths are one pattern or several: * matches within a folder, ** across folders.
type paths []string

func (p *paths) UnmarshalTOML(v any) error {
	switch v := v.(type) {
	case string:
		*p = paths{v}
	case []any:
		for _, s := range v {
			*p = append(*p, s.(string))
		}
	}
	return nil
}

func (p paths) match(file string) bool {
	for _, pattern := range p {
		expr := regexp.QuoteMeta(pattern)
		expr = strings.ReplaceAll(expr, `\*\*`, `.*`)
		expr = regexp.MustCompile(`\\\*`).ReplaceAllString(expr, `[^/]*`)
		if regexp.MustCompile("^" + expr + "$").MatchString(file) {
			return true
		}
	}
	return false
}

// tracked are the paths, below root, of the repository's files, also of those that are not committed yet. Ignored
// and removed files are left out.
func tracked(t *testing.T, root string) []string {
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	out, err := cmd.Output()
	require.NoError(t, err, "the files of the repository are known by git")
	var files []string
	for _, f := range strings.Split(strings.TrimRight(string(out), "\x00"), "\x00") {
		if _, err := os.Lstat(filepath.Join(root, f)); err == nil { // not removed
			files = append(files, f)
		}
	}
	require.NotEmpty(t, files)
	return files
}

var (
	spdxLine = regexp.MustCompile(`(?m)^(?://|#|/\*) SPDX-License-Identifier: ([A-Za-z0-9.-]+)(?: \*/)?$`)
	// source are the files that must say their licence themselves.
	source     = regexp.MustCompile(`\.(go|c|h|py|sh|ya?ml|service|default)$`)
	intoKernel = regexp.MustCompile(`\.bpf\.[ch]$`)
)

// licenceOf is what a source file says of its licence in its first five lines, or "".
func licenceOf(text []byte) string {
	head := bytes.Join(bytes.SplitAfterN(text, []byte("\n"), 6)[:min(5, bytes.Count(text, []byte("\n")))], nil)
	if m := spdxLine.FindSubmatch(head); m != nil {
		return string(m[1])
	}
	return ""
}

// Every source file says its licence in its first lines, and every other file has
// one by the table in REUSE.toml.
func TestEveryFileHasItsLicence(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	var table struct {
		Version     int
		Annotations []annotation
	}
	meta, err := toml.DecodeFile(filepath.Join(root, "REUSE.toml"), &table)
	require.NoError(t, err)
	require.Empty(t, meta.Undecoded())
	used, licences := map[int]bool{}, map[string]bool{}
	for _, file := range tracked(t, root) {
		if strings.HasPrefix(file, "LICENSES/") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, file))
		require.NoError(t, err)
		var byTable annotation
		for i, a := range table.Annotations {
			if a.Path.match(file) {
				byTable = a
				used[i] = true
			}
		}
		require.NotEmpty(t, byTable.Copyright, file)
		got := byTable.Licence
		switch {
		case got != "":
		case !source.MatchString(file) && !bytes.HasPrefix(text, []byte("#!")):
			t.Errorf("%s: no table of REUSE.toml gives it a licence", file)
			continue
		default:
			want := "Apache-2.0"
			if intoKernel.MatchString(file) {
				want = "GPL-2.0-only"
			}
			if got = licenceOf(text); got != want {
				t.Errorf("%s: one of its first five lines must be, as a comment: SPDX-License-Identifier: %s", file, want)
				continue
			}
		}
		licences[got] = true
	}
	for i, a := range table.Annotations {
		require.True(t, used[i], "REUSE.toml: no file matches %v", a.Path)
	}
	texts, err := filepath.Glob(filepath.Join(root, "LICENSES", "*.txt"))
	require.NoError(t, err)
	for _, path := range texts {
		require.True(t, licences[strings.TrimSuffix(filepath.Base(path), ".txt")], "no file is under %s", path)
	}
	require.Len(t, texts, len(licences), "LICENSES has the text of every licence: %v", licences)
}

func TestLicenceOf(t *testing.T) {
	for text, want := range map[string]string{
		"// SPDX-License-Identifier: Apache-2.0\n\npackage x\n":              "Apache-2.0",
		"#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n":                 "Apache-2.0",
		"//go:build ignore\n\n/* SPDX-License-Identifier: GPL-2.0-only */\n": "GPL-2.0-only",
		"package x\n\n// Print SPDX-License-Identifier: Apache-2.0\n":        "",
		"package x\n\n\n\n\n// SPDX-License-Identifier: Apache-2.0\n":        "",
		"package x": "",
		"":          "",
	} {
		require.Equal(t, want, licenceOf([]byte(text)), text)
	}
	require.True(t, paths{"docs/**.svg"}.match("docs/report/fig06.svg"))
	require.True(t, paths{"docs/*.svg"}.match("docs/a.svg"))
	require.False(t, paths{"docs/*.svg"}.match("docs/report/fig06.svg"))
	require.False(t, paths{"a.c"}.match("axc"))
}

// GitHub and most people look for the licence in the root.
func TestRootHasTheLicence(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	want, err := os.ReadFile(filepath.Join(root, "LICENSES", "Apache-2.0.txt"))
	require.NoError(t, err)
	got, err := os.ReadFile(filepath.Join(root, "LICENSE"))
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}

// BPF programs that use GPL-only helpers say so to the kernel.
func TestBPFProgramsAreUnderTheGPL(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	found := 0
	for _, file := range tracked(t, root) {
		if !strings.HasSuffix(file, ".bpf.c") {
			continue
		}
		found++
		text, err := os.ReadFile(filepath.Join(root, file))
		require.NoError(t, err)
		require.Regexp(t, `SEC\("license"\) = "GPL"`, string(text), file)
	}
	require.NotZero(t, found)
}

// CITATION.cff has what version 1.2.0 of the format requires, for the paper too.
func TestCitation(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, "CITATION.cff"))
	require.NoError(t, err)
	type reference struct {
		Type, Title string
		Authors     []map[string]string
	}
	var c struct {
		Version   string `yaml:"cff-version"`
		Message   string
		License   string
		Reference reference `yaml:",inline"`
		Paper     struct {
			Reference reference `yaml:",inline"`
			Year      int
			Start     int
			End       int
		} `yaml:"preferred-citation"`
	}
	require.NoError(t, yaml.Unmarshal(text, &c))
	require.Equal(t, "1.2.0", c.Version)
	require.NotEmpty(t, c.Message)
	require.Equal(t, "Apache-2.0", c.License)
	for _, r := range []reference{c.Reference, c.Paper.Reference} {
		require.NotEmpty(t, r.Title)
		require.NotEmpty(t, r.Authors)
		for _, a := range r.Authors {
			require.NotEmpty(t, a["name"]+a["family-names"], r.Title)
		}
	}
	require.Equal(t, "software", c.Reference.Type)
	require.Equal(t, "conference-paper", c.Paper.Reference.Type)
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	cited := strings.Join(strings.Fields(strings.ReplaceAll(string(readme), "\n> ", " ")), " ")
	require.True(t, strings.Contains(cited, c.Paper.Reference.Title), "README.md does not cite the paper by its title")
}
