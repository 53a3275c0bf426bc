// SPDX-License-Identifier: Apache-2.0

package architecture

import (
	"cmp"
	"slices"
)

// spot is a node where it is drawn, or a place where a long line passes.
type spot struct {
	*node
	layer    int
	x, width float64 // points; x is the middle
	up, down []*spot
}

// shared is the folder that everything may import: its lines are left out.
const shared = "internal"

const (
	spotGap   = 9.0 // points
	passWidth = 5.0
)

// layers arranges an architecture: who imports above what is imported, in an
// order that leaves few lines crossing. What is in the kernel is below.
func layers(a *architecture, width func(*node) float64) [][]*spot {
	drawn := reduced(slices.DeleteFunc(slices.Clone(a.links), func(l link) bool { return l.to.folder() == shared || l.from.folder() == shared }))
	floor := map[string]int{kindHook: 0, kindProgram: 1, kindMap: 2, kindPackage: 3}
	height := map[*node]int{}
	var measure func(n *node) int
	measure = func(n *node) int {
		if h, ok := height[n]; ok {
			return h
		}
		h := floor[n.kind]
		for _, l := range drawn {
			if l.from == n {
				h = max(h, measure(l.to)+1)
			}
		}
		height[n] = h
		return h
	}
	at := map[*node]*spot{}
	var rows [][]*spot
	put := func(b *spot) *spot {
		for len(rows) <= b.layer {
			rows = append(rows, nil)
		}
		rows[b.layer] = append(rows[b.layer], b)
		return b
	}
	for _, n := range a.nodes {
		if n.folder() != shared {
			at[n] = put(&spot{node: n, layer: measure(n), width: width(n)})
		}
	}
	for _, l := range drawn {
		from := at[l.from]
		for layer := from.layer - 1; layer >= at[l.to].layer; layer-- {
			next := at[l.to]
			if layer > next.layer {
				next = put(&spot{layer: layer, width: passWidth})
			}
			from.down, next.up = append(from.down, next), append(next.up, from)
			from = next
		}
	}
	order(rows)
	settle(rows)
	return rows
}

// order sorts every layer by where its boxes' neighbours are, down and up.
func order(rows [][]*spot) {
	sweep := func(row []*spot, neighbours func(*spot) []*spot) {
		slices.SortStableFunc(row, func(a, b *spot) int { return cmp.Compare(middle(a, neighbours(a)), middle(b, neighbours(b))) })
		for i, b := range row {
			b.x = float64(i)
		}
	}
	for _, row := range rows {
		sweep(row, func(*spot) []*spot { return nil })
	}
	for range 12 {
		for i := len(rows) - 2; i >= 0; i-- {
			sweep(rows[i], func(b *spot) []*spot { return b.up })
		}
		for i := 1; i < len(rows); i++ {
			sweep(rows[i], func(b *spot) []*spot { return b.down })
		}
	}
}

// middle of the neighbours; of none, where b is.
func middle(b *spot, neighbours []*spot) float64 {
	if len(neighbours) == 0 {
		return b.x
	}
	sum := 0.0
	for _, n := range neighbours {
		sum += n.x
	}
	return sum / float64(len(neighbours))
}

// settle gives every box an x near its neighbours', in order and without overlap.
func settle(rows [][]*spot) {
	for range 30 {
		for _, row := range rows {
			nudge(row, func(b *spot) float64 { return middle(b, append(slices.Clone(b.up), b.down...)) })
		}
	}
	left := 0.0
	for _, row := range rows {
		for _, b := range row {
			left = min(left, b.x-b.width/2)
		}
	}
	for _, row := range rows {
		for _, b := range row {
			b.x -= left
		}
	}
}

// nudge moves a row's boxes as near as may be to where they want to be
// (least squares under least distances: pool adjacent violators).
func nudge(row []*spot, want func(*spot) float64) {
	type block struct{ sum, n float64 }
	var blocks []block
	offset := make([]float64, len(row)) // of a box if all touched
	for i, b := range row {
		if i > 0 {
			offset[i] = offset[i-1] + (row[i-1].width+b.width)/2 + spotGap
		}
		blocks = append(blocks, block{want(b) - offset[i], 1})
		for k := len(blocks) - 1; k > 0 && blocks[k-1].sum/blocks[k-1].n > blocks[k].sum/blocks[k].n; k-- {
			blocks[k-1] = block{blocks[k-1].sum + blocks[k].sum, blocks[k-1].n + blocks[k].n}
			blocks = blocks[:k]
		}
	}
	i := 0
	for _, b := range blocks {
		for range int(b.n) {
			row[i].x = offset[i] + b.sum/b.n
			i++
		}
	}
}
