// SPDX-License-Identifier: Apache-2.0

// Package list is a doubly linked list through its items, so that one in the
// middle can be removed and nothing is allocated.
package list

// Item is what a list holds; T is a pointer. An item is in one list at a time.
type Item[T any] interface {
	comparable
	// Links are where the item keeps its neighbours.
	Links() *Links[T]
}

// Links are the neighbours of an item; zero where there is none.
type Links[T any] struct{ Prev, Next T }

// List holds items. The zero List is empty. Only Push, PushFront and Remove may
// change it.
type List[T Item[T]] struct {
	Head, Tail T // zero if the list is empty
	Len        int
}

// Push adds x at the end.
func (l *List[T]) Push(x T) {
	var none T
	*x.Links() = Links[T]{Prev: l.Tail}
	if l.Tail != none {
		l.Tail.Links().Next = x
	} else {
		l.Head = x
	}
	l.Tail = x
	l.Len++
}

// PushFront adds x before all others.
func (l *List[T]) PushFront(x T) {
	var none T
	*x.Links() = Links[T]{Next: l.Head}
	if l.Head != none {
		l.Head.Links().Prev = x
	} else {
		l.Tail = x
	}
	l.Head = x
	l.Len++
}

// Remove takes x, which is in the list, out of it.
func (l *List[T]) Remove(x T) {
	var none T
	at := x.Links()
	if at.Prev != none {
		at.Prev.Links().Next = at.Next
	} else {
		l.Head = at.Next
	}
	if at.Next != none {
		at.Next.Links().Prev = at.Prev
	} else {
		l.Tail = at.Prev
	}
	*at = Links[T]{}
	l.Len--
}
