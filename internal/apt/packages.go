// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/ds2-lab/alps/internal/command"
)

// Package is a binary package.
type Package struct {
	Name    string
	Version string
	SHA256  string   // of the .deb, 64 hexadecimal digits
	Depends []string // names of the packages it depends on, alternatives included
}

// Newest finds the binary package whose name matches pattern (as path.Match)
// and whose version is the highest.
func (s Suite) Newest(ctx context.Context, pattern string) (Package, error) {
	prefix, _, _ := strings.Cut(pattern, "*")
	known, err := s.output(ctx, os.TempDir(), "apt-cache", "pkgnames", prefix)
	if err != nil {
		return Package{}, err
	}
	names, err := matching(pattern, strings.Fields(string(known)))
	if err != nil {
		return Package{}, err
	}
	var newest Package
	if len(names) > 0 {
		found, err := s.Packages(ctx, names...)
		if err != nil {
			return Package{}, err
		}
		for _, p := range found {
			if newest.Name == "" || newer(ctx, p.Version, newest.Version) {
				newest = p
			}
		}
	}
	if newest.Name == "" {
		return Package{}, fmt.Errorf("apt: %s has no package %s", s.name, pattern)
	}
	return newest, nil
}

// matching is the names that match pattern, sorted.
func matching(pattern string, names []string) ([]string, error) {
	var out []string
	for _, name := range names {
		ok, err := path.Match(pattern, name)
		if err != nil {
			return nil, fmt.Errorf("apt: package %s: %w", pattern, err)
		}
		if ok {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, nil
}

// newer reports whether version a is higher than b, by Debian's rules.
func newer(ctx context.Context, a, b string) bool {
	return command.Run(ctx, command.Cmd{Args: []string{"dpkg", "--compare-versions", a, "gt", b}}) == nil
}

// Packages describes the newest versions of the binary packages called names.
// Names that no package has are left out.
func (s Suite) Packages(ctx context.Context, names ...string) ([]Package, error) {
	out, err := s.output(ctx, os.TempDir(), "apt-cache", append([]string{"show", "--no-all-versions"}, names...)...)
	if err != nil {
		return nil, err
	}
	return parsePackages(string(out)), nil
}

// parsePackages reads stanzas of a package list.
func parsePackages(stanzas string) []Package {
	var list []Package
	for stanza := range strings.SplitSeq(stanzas, "\n\n") {
		var p Package
		for line := range strings.Lines(stanza) {
			key, value, _ := strings.Cut(strings.TrimRight(line, "\n"), ": ") // a continued line begins with a space
			switch key {
			case "Package":
				p.Name = value
			case "Version":
				p.Version = value
			case "SHA256":
				p.SHA256 = value
			case "Depends", "Pre-Depends":
				p.Depends = append(p.Depends, dependencies(value)...)
			}
		}
		if p.Name != "" {
			list = append(list, p)
		}
	}
	return list
}

// dependencies is the names in a list such as "a (= 1), b | c:any".
func dependencies(list string) []string {
	var names []string
	for d := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == ',' || r == '|' }) {
		name, _, _ := strings.Cut(strings.TrimSpace(d), " ")
		name, _, _ = strings.Cut(name, ":")
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}
