// SPDX-License-Identifier: Apache-2.0

package heap

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

type item struct{ key, at int }

func (x *item) Before(y *item) bool { return x.key < y.key }
func (x *item) Moved(i int)         { x.at = i }

// Whatever is done, each item knows its index, no item comes before its parent,
// and they leave in order.
func TestHeap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var h Heap[*item]
		check := func() {
			for i, x := range h {
				require.Equal(t, i, x.at)
				require.False(t, x.Before(h[max(i-1, 0)/2]))
			}
		}
		for range r.IntN(60) {
			switch {
			case len(h) > 0 && r.IntN(4) == 0:
				x := h[r.IntN(len(h))]
				require.Same(t, x, h.Remove(x.at))
				require.Equal(t, -1, x.at)
			case len(h) > 0 && r.IntN(4) == 0:
				x := h[r.IntN(len(h))]
				x.key = r.IntN(20)
				h.Fix(x.at)
			case r.IntN(10) == 0:
				for _, x := range h {
					x.key = r.IntN(20)
				}
				h.Init()
			default:
				h.Push(&item{key: r.IntN(20), at: -1})
			}
			check()
		}
		var keys []int
		for len(h) > 0 {
			keys = append(keys, h.Pop().key)
			check()
		}
		require.True(t, slices.IsSorted(keys), "%v", keys)
	}
}
