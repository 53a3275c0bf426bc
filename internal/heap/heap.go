// SPDX-License-Identifier: Apache-2.0

// Package heap is a binary heap whose items know where they are, so that one in
// the middle can be removed or moved.
package heap

// Item is what a heap holds.
type Item[T any] interface {
	// Before says whether the item comes before another. If neither of two items comes before
	// the other, their order depends on the earlier calls of the heap's methods.
	Before(T) bool
	// Moved tells the item its index in the heap; -1: it is in none.
	Moved(i int)
}

// Heap holds items, the first of all at index 0. The zero Heap is empty. Whoever changes what
// Before says of items in the heap must call Fix or Init next.
type Heap[T Item[T]] []T

// Push adds x.
func (h *Heap[T]) Push(x T) {
	*h = append(*h, x)
	h.up(len(*h)-1, x)
}

// Pop removes the first item and returns it. The heap must not be empty.
func (h *Heap[T]) Pop() T { return h.Remove(0) }

// Remove removes the item at index i, which must exist, and returns it.
func (h *Heap[T]) Remove(i int) T {
	old := *h
	x, last := old[i], len(old)-1
	moved := old[last]
	var none T
	old[last] = none
	*h = old[:last]
	if i < last {
		h.place(i, moved)
	}
	x.Moved(-1)
	return x
}

// Fix moves the item at index i to where it belongs, after what Before says of that item has changed.
func (h Heap[T]) Fix(i int) { h.place(i, h[i]) }

// Init moves all items to where they belong, after what Before says of any of them has changed.
func (h Heap[T]) Init() {
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.down(i, h[i])
	}
}

// place puts x at i or where it belongs, above or below.
func (h Heap[T]) place(i int, x T) {
	if i > 0 && x.Before(h[(i-1)/2]) {
		h.up(i, x)
	} else {
		h.down(i, x)
	}
}

// up puts x at i or above.
func (h Heap[T]) up(i int, x T) {
	for i > 0 {
		parent := (i - 1) / 2
		if !x.Before(h[parent]) {
			break
		}
		h[i] = h[parent]
		h[i].Moved(i)
		i = parent
	}
	h[i] = x
	x.Moved(i)
}

// down puts x at i or below.
func (h Heap[T]) down(i int, x T) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1].Before(h[child]) {
			child++
		}
		if !h[child].Before(x) {
			break
		}
		h[i] = h[child]
		h[i].Moved(i)
		i = child
	}
	h[i] = x
	x.Moved(i)
}
