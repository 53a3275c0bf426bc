// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"sync"
	"testing"

	"github.com/cilium/ebpf/link"
	"github.com/stretchr/testify/require"
)

// fakeLink is attached to nothing.
type fakeLink struct{ link.Link }

func (fakeLink) Close() error { return nil }

// What else is attached is asked at any moment, also while functions begin or cease to have busy
// periods. The race detector, or the run time, finds the map that both read and write at once.
func TestRivalsAreCountedWhileLinksChange(t *testing.T) {
	b := &Backend{links: map[string]link.Link{"wakeup": fakeLink{}}}
	var all sync.WaitGroup
	all.Go(func() {
		for range 10_000 {
			n, err := b.Rivals()
			if n != 0 || err != nil {
				t.Errorf("%d rivals, %v", n, err)
			}
		}
	})
	for range 10_000 {
		require.NoError(t, b.detach("wakeup"))
		require.False(t, b.isAttached("wakeup"))
		b.setLink("wakeup", fakeLink{})
	}
	all.Wait()
}
