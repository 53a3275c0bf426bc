// SPDX-License-Identifier: Apache-2.0

// Package architecture draws Fig 4: the repository's parts as its own code has them.
package architecture

import (
	"cmp"
	"errors"
	"fmt"
	"go/build"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// Kinds of nodes, from the top of the picture to its bottom.
const (
	kindPackage = "package"
	kindMap     = "map"
	kindProgram = "program"
	kindHook    = "hook" // or another point in the kernel that a program is attached to
)

// node of the architecture.
type node struct{ kind, name, note string }

// folder is a package's top-level folder.
func (n *node) folder() string {
	top, _, _ := strings.Cut(n.name, "/")
	return top
}

// link goes from a package to one that it imports or to a BPF map that it uses, from a map to a program that uses
// it, or from a program to the hook that it is attached to.
type link struct{ from, to *node }

// Architecture is the repository's packages, BPF maps, BPF programs and kernel hooks, with the links between them.
type Architecture struct {
	nodes []*node
	links []link
}

// node is the node of this kind and name; it adds one if there is none.
func (a *Architecture) node(kind, name string) *node {
	for _, n := range a.nodes {
		if n.kind == kind && n.name == name {
			return n
		}
	}
	n := &node{kind: kind, name: name}
	a.nodes = append(a.nodes, n)
	return n
}

func (a *Architecture) link(from, to *node) {
	if l := (link{from, to}); !slices.Contains(a.links, l) {
		a.links = append(a.links, l)
	}
}

// compare orders nodes by kind and name.
func (n *node) compare(o *node) int {
	return cmp.Or(cmp.Compare(n.kind, o.kind), cmp.Compare(n.name, o.name))
}

// Read reads the packages below root and their imports, the BPF objects with their programs and maps, and which
// patch series of the kernel add the hooks. A file that cannot be read is an error.
func Read(root string) (*Architecture, error) {
	a := &Architecture{}
	if err := a.readPackages(root); err != nil {
		return nil, fmt.Errorf("architecture: %w", err)
	}
	if err := a.readPatches(filepath.Join(root, "kernel", "patches")); err != nil {
		return nil, fmt.Errorf("architecture: %w", err)
	}
	slices.SortFunc(a.nodes, (*node).compare)
	slices.SortFunc(a.links, func(x, y link) int { return cmp.Or(x.from.compare(y.from), x.to.compare(y.to)) })
	return a, nil
}

// readPackages reads who imports whom; tests and the root's targets, which import everything, do not count.
func (a *Architecture) readPackages(root string) error {
	module, err := moduleOf(root)
	if err != nil {
		return err
	}
	imports := map[string][]string{}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || path == root {
			return err
		}
		if name := d.Name(); strings.HasPrefix(name, ".") || name == "testdata" {
			return filepath.SkipDir
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		if err := a.readObjects(path, name); err != nil {
			return err
		}
		p, err := build.Default.ImportDir(path, 0)
		if none := (*build.NoGoError)(nil); errors.As(err, &none) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(p.GoFiles) == 0 {
			return nil // only tests
		}
		imports[name] = nil
		for _, other := range p.Imports {
			if other, ours := strings.CutPrefix(other, module+"/"); ours {
				imports[name] = append(imports[name], other)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for name, others := range imports {
		from := a.node(kindPackage, name)
		for _, other := range others {
			a.link(from, a.node(kindPackage, other))
		}
	}
	return nil
}

// moduleOf is the module's path.
func moduleOf(root string) (string, error) {
	data, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		if path, ok := strings.CutPrefix(line, "module "); ok {
			return strings.TrimSpace(path), nil
		}
	}
	return "", fmt.Errorf("%s/go.mod: no module line", root)
}

// readObjects reads the BPF objects in the directory of the package owner: the programs that are attached to
// something, and the maps that they use, which count as used by owner too.
func (a *Architecture) readObjects(dir, owner string) error {
	objects, err := filepath.Glob(filepath.Join(dir, "*_bpfel.o"))
	if err != nil {
		return err
	}
	for _, path := range objects {
		spec, err := ebpf.LoadCollectionSpec(path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for name, p := range spec.Programs {
			if p.AttachTo == "" {
				continue // called from user space, or to be timed
			}
			hook, _, _ := strings.Cut(p.AttachTo, ":")
			if p.Type == ebpf.StructOps {
				name = structOf(spec)
			}
			program := a.node(kindProgram, name)
			a.link(program, a.node(kindHook, hook))
			for _, m := range mapsOf(spec, p.Instructions) {
				a.link(a.node(kindPackage, owner), a.node(kindMap, m))
				a.link(a.node(kindMap, m), program)
			}
		}
	}
	return nil
}

// structOf is the name of the operations that an object's programs make up.
func structOf(spec *ebpf.CollectionSpec) string {
	for name, m := range spec.Maps {
		if m.Type == ebpf.StructOpsMap {
			return name
		}
	}
	return ""
}

// mapsOf are the maps that instructions refer to.
func mapsOf(spec *ebpf.CollectionSpec, code asm.Instructions) []string {
	var out []string
	for _, ins := range code {
		name := ins.Reference()
		if _, ok := spec.Maps[name]; ok && !strings.HasPrefix(name, ".") && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// readPatches writes into every hook's note which patch series have it.
func (a *Architecture) readPatches(dir string) error {
	patches, err := filepath.Glob(filepath.Join(dir, "*", "*.patch"))
	if err != nil {
		return err
	}
	for _, path := range patches {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		series := filepath.Base(filepath.Dir(path))
		for _, n := range a.nodes {
			if n.kind == kindHook && strings.Contains(string(text), "int "+n.name+"(") {
				n.note = strings.TrimPrefix(n.note+", "+series, ", ")
			}
		}
	}
	return nil
}

// reduced are links without those that follow from others.
func reduced(links []link) []link {
	below := map[*node]map[*node]bool{}
	var reach func(n *node) map[*node]bool
	reach = func(n *node) map[*node]bool {
		if r, ok := below[n]; ok {
			return r
		}
		r := map[*node]bool{}
		below[n] = r
		for _, l := range links {
			if l.from == n {
				r[l.to] = true
				maps.Copy(r, reach(l.to))
			}
		}
		return r
	}
	return slices.DeleteFunc(slices.Clone(links), func(l link) bool {
		return slices.ContainsFunc(links, func(o link) bool { return o.from == l.from && o.to != l.to && reach(o.to)[l.to] })
	})
}

// TSV is every link: the kinds and names of its ends.
func (a *Architecture) TSV() string {
	var b strings.Builder
	b.WriteString("from_kind\tfrom\tto_kind\tto\n")
	for _, l := range a.links {
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\n", l.from.kind, l.from.name, l.to.kind, l.to.name)
	}
	return b.String()
}
