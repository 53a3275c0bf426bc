// SPDX-License-Identifier: Apache-2.0

package architecture

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-graphviz"
)

// shared is the folder that everything may import: it has no box and no lines.
const shared = "internal"

// folderFill are the colours of folders, in their order; grey is the kernel's.
var folderFill = []string{"#f6deaa", "#abc1d7", "#aadfd0", "#e2bed4", "#ddf0fd", "#e5bdb9", "#e9e39a", "#d9c9ee"}

// kernelFill marks what is in the kernel.
var kernelFill = map[string]string{kindMap: "#e4e4e4", kindProgram: "#d0d0d0", kindHook: "#ffffff"}

// kernelLabel names the rows of the kernel's half.
var kernelLabel = map[string]string{kindMap: "BPF maps", kindProgram: "BPF programs", kindHook: "kernel hooks"}

// Dot is the architecture as a graph for Graphviz: a frame for each folder of user
// space, and for maps, programs and hooks in the kernel. An import that follows
// from a chain of others has no line.
func (a *Architecture) Dot() string {
	var b strings.Builder
	b.WriteString(`digraph architecture {
	graph [rankdir=LR, newrank=true, nodesep=0.06, ranksep=0.3, fontname="sans-serif", fontsize=9, pad=0.05]
	node [shape=box, style=filled, height=0.24, margin="0.1,0.03", fontname="Helvetica,sans-serif", fontsize=8, color="#505050", penwidth=0.6]
	edge [color="#787878", penwidth=0.7, arrowsize=0.4]
`)
	var frames []string
	inside := map[string][]*node{}
	for _, n := range a.nodes {
		frame := n.kind
		if n.kind == kindPackage {
			frame = n.folder()
		}
		if frame == shared {
			continue
		}
		if len(inside[frame]) == 0 {
			frames = append(frames, frame)
		}
		inside[frame] = append(inside[frame], n)
	}
	folders := 0
	for _, frame := range frames {
		fill, inKernel := kernelFill[frame]
		label := frame
		if inKernel {
			label = kernelLabel[frame]
		} else {
			fill = folderFill[folders%len(folderFill)]
			folders++
		}
		fmt.Fprintf(&b, "\tsubgraph %q {\n\t\tlabel=%q; style=rounded; color=\"#b0b0b0\"\n", "cluster_"+frame, label)
		if inKernel {
			b.WriteString("\t\trank=same\n")
		}
		for _, n := range inside[frame] {
			text := strings.TrimPrefix(n.name, n.folder()+"/")
			if n.note != "" {
				text += "\n" + n.note
			}
			fmt.Fprintf(&b, "\t\t%q [label=%q, tooltip=%q, fillcolor=%q]\n", n.id(), text, n.id(), fill)
		}
		b.WriteString("\t}\n")
	}
	drawn := slices.DeleteFunc(slices.Clone(a.links), func(l link) bool { return l.from.folder() == shared || l.to.folder() == shared })
	for _, l := range reduced(drawn) {
		fmt.Fprintf(&b, "\t%q -> %q\n", l.from.id(), l.to.id())
	}
	b.WriteString("}\n")
	return b.String()
}

// id is a node's name in the graph.
func (n *node) id() string { return n.kind + " " + n.name }

// SVG lays the graph out. The same code is the same bytes.
func (a *Architecture) SVG(ctx context.Context) ([]byte, error) {
	g, err := graphviz.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("architecture: graphviz: %w", err)
	}
	graph, err := graphviz.ParseBytes([]byte(a.Dot()))
	if err != nil {
		return nil, fmt.Errorf("architecture: graphviz: %w", err)
	}
	var b bytes.Buffer
	if err := g.Render(ctx, graph, graphviz.SVG, &b); err != nil {
		return nil, fmt.Errorf("architecture: graphviz: %w", err)
	}
	return b.Bytes(), nil
}

// Common are the packages of the folder that everything may import, which are not drawn.
func (a *Architecture) Common() []string {
	var out []string
	for _, n := range a.nodes {
		if n.kind == kindPackage && n.folder() == shared {
			out = append(out, strings.TrimPrefix(n.name, shared+"/"))
		}
	}
	return out
}
