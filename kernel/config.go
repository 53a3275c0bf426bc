// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// symbol is one line of a fragment: the value that it asks for, and where it stands.
type symbol struct {
	name, value string // value "n" for "is not set"
	file        string
	line        int
}

var (
	setRE   = regexp.MustCompile(`^(CONFIG_[A-Za-z0-9_]+)=(.+)$`)
	unsetRE = regexp.MustCompile(`^# (CONFIG_[A-Za-z0-9_]+) is not set$`)
)

// readFragment parses a configuration fragment. A line that is neither a setting nor
// a comment is an error, and so is a symbol that is set twice in the file.
func readFragment(path string) ([]symbol, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read a configuration fragment: %w", err)
	}
	var syms []symbol
	seen := map[string]int{}
	sc := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimRight(sc.Text(), " \t")
		s := symbol{file: path, line: n}
		if m := setRE.FindStringSubmatch(line); m != nil {
			s.name, s.value = m[1], m[2]
		} else if m := unsetRE.FindStringSubmatch(line); m != nil {
			s.name, s.value = m[1], "n"
		} else if line == "" || strings.HasPrefix(line, "#") {
			continue
		} else {
			return nil, fmt.Errorf("%s:%d: %q: want CONFIG_NAME=value or # CONFIG_NAME is not set", path, n, line)
		}
		if first, ok := seen[s.name]; ok {
			return nil, fmt.Errorf("%s:%d: %s is set already in line %d", path, n, s.name, first)
		}
		seen[s.name] = n
		syms = append(syms, s)
	}
	return syms, sc.Err()
}

// merge joins fragments; a later one overrides an earlier one.
func merge(fragments ...[]symbol) []symbol {
	var out []symbol
	index := map[string]int{}
	for _, f := range fragments {
		for _, s := range f {
			if i, ok := index[s.name]; ok {
				out[i] = s
				continue
			}
			index[s.name] = len(out)
			out = append(out, s)
		}
	}
	return out
}

// render writes symbols in .config's form.
func render(syms []symbol) []byte {
	var b bytes.Buffer
	for _, s := range syms {
		if s.value == "n" {
			fmt.Fprintf(&b, "# %s is not set\n", s.name)
		} else {
			fmt.Fprintf(&b, "%s=%s\n", s.name, s.value)
		}
	}
	return b.Bytes()
}

// verify compares syms with the .config that Kconfig made of them. The error names each
// symbol that came out otherwise, with its file and line.
func verify(syms []symbol, dotConfig []byte) error {
	got := map[string]string{}
	sc := bufio.NewScanner(bytes.NewReader(dotConfig))
	for sc.Scan() {
		if m := setRE.FindStringSubmatch(sc.Text()); m != nil {
			got[m[1]] = m[2]
		}
	}
	var errs []error
	for _, s := range syms {
		value, ok := got[s.name]
		switch {
		case s.value == "n" && ok:
			errs = append(errs, fmt.Errorf("%s:%d: %s: asked for n, came out %s: something selects it", s.file, s.line, s.name, value))
		case s.value != "n" && !ok:
			errs = append(errs, fmt.Errorf("%s:%d: %s: asked for %s, came out n: a dependency is missing or the symbol does not exist in this kernel", s.file, s.line, s.name, s.value))
		case s.value != "n" && value != s.value:
			errs = append(errs, fmt.Errorf("%s:%d: %s: asked for %s, came out %s", s.file, s.line, s.name, s.value, value))
		}
	}
	return errors.Join(errs...)
}
