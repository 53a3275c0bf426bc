// SPDX-License-Identifier: Apache-2.0

package list

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

type item struct {
	n     int
	links Links[*item]
}

func (i *item) Links() *Links[*item] { return &i.links }

// A list is what a slice is after the same operations, read from either end.
func TestListIsASlice(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var l List[*item]
	var want []*item
	for n := range 2000 {
		switch x := (&item{n: n}); rng.IntN(4) {
		case 0:
			l.Push(x)
			want = append(want, x)
		case 1:
			l.PushFront(x)
			want = slices.Insert(want, 0, x)
		default:
			if len(want) == 0 {
				continue
			}
			i := rng.IntN(len(want))
			l.Remove(want[i])
			require.Equal(t, Links[*item]{}, want[i].links)
			want = slices.Delete(want, i, i+1)
		}
		require.Equal(t, len(want), l.Len)
		var forth, back []*item
		for x := l.Head; x != nil; x = x.links.Next {
			forth = append(forth, x)
		}
		for x := l.Tail; x != nil; x = x.links.Prev {
			back = append(back, x)
		}
		slices.Reverse(back)
		require.True(t, slices.Equal(want, forth) && slices.Equal(want, back))
	}
}
