// Package kernel builds the patched kernels that kernels.yaml declares.
//
// A kernel is a source, a patch series, and configuration fragments. Build
// fetches the source, applies the series, configures, verifies that every
// symbol asked for came out, compiles, and verifies that the hooks are really
// called. The result is cached by the content of all of these and of the
// compiler.
//
// The series adds two functions to CFS which a BPF program of type fmod_ret
// may override (kernel/sched/alps.c):
//
//   - alps_hook_bias(cgroup_id, se), asked when a group entity is put into its
//     parent's runqueue: microseconds by which it yields to its siblings.
//   - alps_hook_slice(cgroup_id, se), asked at the tick and at wake-up
//     preemption: microseconds it may keep the CPU in one turn.
//
// Both answer 0, "no opinion", while nothing is attached, and neither is asked
// while the sysctl kernel.sched_alps is 0. docs/kernel.md derives the order, and
// the bound on waiting in it, and says what a port to another kernel takes.
package kernel

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/ds2-lab/alps/internal/yamlx"
)

// ErrUnavailable means that no source of a kernel could be reached.
var ErrUnavailable = errors.New("no source can be reached")

// Kernel is one entry of kernels.yaml.
type Kernel struct {
	Name    yamlx.At[string]   `yaml:"name"`
	Sources []Source           `yaml:"sources"` // tried in order
	Patches yamlx.At[string]   `yaml:"patches"` // directory; *.patch in name order
	Config  []yamlx.At[string] `yaml:"config"`  // fragments, later ones win

	// Default marks the kernel meant when none is named.
	Default bool `yaml:"-"`
}

// Source is where a tree comes from: a git tag whose commit is known, or a
// distribution's source package.
type Source struct {
	Git     yamlx.At[string] `yaml:"git"`
	Tag     yamlx.At[string] `yaml:"tag"`
	Commit  yamlx.At[string] `yaml:"commit"` // 40 hexadecimal digits
	Package yamlx.At[string] `yaml:"package"`
}

type file struct {
	Default yamlx.At[string] `yaml:"default"`
	Kernels []Kernel         `yaml:"kernels"`
}

var commitRE = regexp.MustCompile(`^[0-9a-f]{40}$`)

// List reads dir/kernels.yaml. Every error names file, line and column.
func List(dir string) ([]Kernel, error) {
	path := filepath.Join(dir, "kernels.yaml")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("kernels: %w", err)
	}
	return parse(path, data)
}

func parse(path string, data []byte) ([]Kernel, error) {
	var f file
	if err := yamlx.Decode(path, data, &f); err != nil {
		return nil, err
	}
	errs := &yamlx.Errors{File: path}
	var names []string
	for i := range f.Kernels {
		k := &f.Kernels[i]
		at := fmt.Sprintf("kernels[%d]", i)
		switch {
		case k.Name.V == "":
			errs.Add(k.Name.Pos(), at+".name", "missing")
		case slices.Contains(names, k.Name.V):
			errs.Add(k.Name.Pos(), at+".name", "%q is there twice", k.Name.V)
		}
		names = append(names, k.Name.V)
		k.Default = k.Name.V == f.Default.V
		if len(k.Sources) == 0 {
			errs.Add(k.Name.Pos(), at+".sources", "missing; give at least one git or package source")
		}
		for j, s := range k.Sources {
			key := fmt.Sprintf("%s.sources[%d]", at, j)
			switch {
			case (s.Git.V == "") == (s.Package.V == ""):
				errs.Add(k.Name.Pos(), key, "give either git or package")
			case s.Git.V != "" && s.Tag.V == "":
				errs.Add(s.Git.Pos(), key+".tag", "missing")
			case s.Git.V != "" && !commitRE.MatchString(s.Commit.V):
				errs.Add(s.Commit.Pos(), key+".commit", "%q: 40 hexadecimal digits are needed", s.Commit.V)
			}
		}
		if len(k.Config) == 0 {
			errs.Add(k.Name.Pos(), at+".config", "missing; give at least one fragment")
		}
	}
	if !slices.Contains(names, f.Default.V) {
		errs.Add(f.Default.Pos(), "default", "%q is not among the kernels; allowed: %s", f.Default.V, strings.Join(names, ", "))
	}
	return f.Kernels, errs.Err()
}

// Find returns the kernel called name, or the default one if name is empty.
func Find(kernels []Kernel, name string) (Kernel, error) {
	var names []string
	for _, k := range kernels {
		if k.Name.V == name || name == "" && k.Default {
			return k, nil
		}
		names = append(names, k.Name.V)
	}
	return Kernel{}, fmt.Errorf("kernel %q is not in kernels.yaml; allowed: %s", name, strings.Join(names, ", "))
}
