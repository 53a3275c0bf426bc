// SPDX-License-Identifier: Apache-2.0

// Package kernel builds the kernels that kernels.yaml declares, or installs
// them as a distribution ships them.
//
// A kernel that is built is a source, a patch series, and configuration fragments. Build
// fetches the source, applies the series, configures, verifies that every
// symbol asked for came out, compiles, and verifies that the hooks are really
// called. The result is cached by the content of all of these and of the
// compiler.
//
// A prebuilt kernel is binary packages and a list of modules. Nothing is
// compiled but the program of its initramfs, which loads these modules.
//
// The series adds two functions to CFS which a BPF program of type fmod_ret
// may override (kernel/sched/alps.c):
//
//   - alps_hook_bias(cgroup_id, se), asked when a group entity is put into its
//     parent's runqueue: microseconds by which the entity yields to its siblings.
//   - alps_hook_slice(cgroup_id, se), asked for the running entity at the tick and
//     when a sibling wakes up: microseconds for which it may keep the CPU.
//
// Both answer 0, "no opinion", while no program is attached, and neither is asked
// while the sysctl kernel.sched_alps is 0. docs/kernel.md lists all moments at which
// they are asked, derives the order and the bound on waiting in it, and says what a
// port to another kernel takes.
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
	Modules yamlx.At[string]   `yaml:"modules"` // of a prebuilt kernel: the list that its initramfs loads

	// Default marks the kernel that is taken when none is named.
	Default bool `yaml:"-"`
}

// Prebuilt reports whether the kernel is a distribution's, in binary packages.
func (k Kernel) Prebuilt() bool { return len(k.Sources) > 0 && k.Sources[0].Binary.V != "" }

// Source is where a kernel comes from: a git tag whose commit is known, a
// distribution's source package, or binary packages of a Debian suite.
type Source struct {
	Git     yamlx.At[string] `yaml:"git"`
	Tag     yamlx.At[string] `yaml:"tag"`
	Commit  yamlx.At[string] `yaml:"commit"` // 40 hexadecimal digits
	Package yamlx.At[string] `yaml:"package"`
	Binary  yamlx.At[string] `yaml:"binary"` // linux-image-RELEASE; * stands for any characters, and the newest counts
	Suite   yamlx.At[string] `yaml:"suite"`  // of Binary, such as trixie-backports
}

type file struct {
	Default yamlx.At[string] `yaml:"default"`
	Kernels []Kernel         `yaml:"kernels"`
}

var commitRE = regexp.MustCompile(`^[0-9a-f]{40}$`)

// List reads dir/kernels.yaml. An error about its content names file, line and column.
func List(dir string) ([]Kernel, error) {
	path := filepath.Join(dir, "kernels.yaml")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the list of kernels: %w", err)
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
		k.check(at, errs)
	}
	if !slices.Contains(names, f.Default.V) {
		errs.Add(f.Default.Pos(), "default", "%q is not among the kernels; allowed: %s", f.Default.V, strings.Join(names, ", "))
	}
	return f.Kernels, errs.Err()
}

// check adds to errs what is wrong with k. at is k's path in the file, such as kernels[0].
func (k Kernel) check(at string, errs *yamlx.Errors) {
	if len(k.Sources) == 0 {
		errs.Add(k.Name.Pos(), at+".sources", "missing; give at least one git, package or binary source")
	}
	for j, s := range k.Sources {
		key := fmt.Sprintf("%s.sources[%d]", at, j)
		switch {
		case s.kinds() != 1:
			errs.Add(k.Name.Pos(), key, "give one of git, package and binary")
		case s.Git.V != "" && s.Tag.V == "":
			errs.Add(s.Git.Pos(), key+".tag", "missing")
		case s.Git.V != "" && !commitRE.MatchString(s.Commit.V):
			errs.Add(s.Commit.Pos(), key+".commit", "%q: 40 hexadecimal digits are needed", s.Commit.V)
		case s.Binary.V != "" && !strings.HasPrefix(s.Binary.V, imagePrefix):
			errs.Add(s.Binary.Pos(), key+".binary", "%q: want the name of a package %sRELEASE", s.Binary.V, imagePrefix)
		case s.Binary.V != "" && s.Suite.V == "":
			errs.Add(s.Binary.Pos(), key+".suite", "missing")
		case (s.Binary.V != "") != k.Prebuilt():
			errs.Add(k.Name.Pos(), key, "either all sources of a kernel are binary, or none is")
		}
	}
	switch {
	case !k.Prebuilt() && len(k.Config) == 0:
		errs.Add(k.Name.Pos(), at+".config", "missing; give at least one fragment")
	case !k.Prebuilt() && k.Modules.V != "":
		errs.Add(k.Modules.Pos(), at+".modules", "is for kernels with binary sources; the fragments of this one build everything in")
	case k.Prebuilt() && (len(k.Config) > 0 || k.Patches.V != ""):
		errs.Add(k.Name.Pos(), at, "config and patches are for kernels that are built; this one's sources are binary")
	case k.Prebuilt() && k.Modules.V == "":
		errs.Add(k.Name.Pos(), at+".modules", "missing; name the list of modules that a guest needs")
	}
}

// kinds counts the kinds of source that s names.
func (s Source) kinds() int {
	n := 0
	for _, name := range []string{s.Git.V, s.Package.V, s.Binary.V} {
		if name != "" {
			n++
		}
	}
	return n
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
