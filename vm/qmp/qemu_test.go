// SPDX-License-Identifier: Apache-2.0

package qmp

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/ring"
)

// qemu starts a QEMU without a machine, which speaks all of the protocol.
func qemu(t *testing.T) *Monitor {
	_, err := exec.LookPath("qemu-system-x86_64")
	ring.Need(t, ring.QEMU, err == nil, "%v (go run mage.go deps)", err)
	path := filepath.Join(t.TempDir(), "qmp")
	cmd := exec.Command("qemu-system-x86_64", "-nodefaults", "-display", "none", "-machine", "none", "-qmp", "unix:"+path+",server=on,wait=off")
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	m := New(path)
	require.Eventually(t, func() bool { return m.Connect() == nil }, time.Minute, 20*time.Millisecond)
	t.Cleanup(func() { m.Disconnect() })
	return m
}

// Several goroutines send requests at once, with small replies and with replies of
// hundreds of kilobytes, while many events come that one reader takes slowly and another
// not at all.
func TestARealQEMUUnderAnEventStorm(t *testing.T) {
	m := qemu(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	slow, err := m.Events(ctx)
	require.NoError(t, err)
	_, err = m.Events(ctx) // never read
	require.NoError(t, err)

	const rounds, askers = 300, 4
	var wg sync.WaitGroup
	wg.Go(func() {
		for range rounds { // each makes a STOP and a RESUME
			for _, command := range []string{"stop", "cont"} {
				_, err := m.Do(ctx, command, nil)
				assert.NoError(t, err)
			}
		}
	})
	for a := range askers {
		wg.Go(func() {
			for i := range rounds / 30 {
				raw, err := m.Do(ctx, "query-qmp-schema", nil)
				assert.NoError(t, err)
				assert.Greater(t, len(raw), 100_000)
				assert.True(t, json.Valid(raw), "a reply is nobody else's buffer")
				_, err = m.Do(ctx, fmt.Sprintf("no-such-%d-%d", a, i), nil)
				assert.ErrorContains(t, err, fmt.Sprintf("no-such-%d-%d has not been found", a, i), "a reply is that to this question")
				raw, err = m.Run([]byte(`{"execute": "query-name"}`))
				assert.NoError(t, err)
				assert.Contains(t, string(raw), `"return"`)
				short, cancel := context.WithTimeout(ctx, time.Duration(i)*10*time.Microsecond)
				_, err = m.Do(short, "query-version", nil) // may come in time or not
				cancel()
				if err != nil {
					assert.ErrorIs(t, err, context.DeadlineExceeded)
				}
			}
		})
	}
	wg.Wait()
	want := []string{"STOP", "RESUME"}
	for i := range 2 * rounds {
		e := <-slow
		require.Equal(t, want[i%2], e.Event, "event %d: none is lost, the order is kept", i)
		if i%100 == 0 {
			time.Sleep(10 * time.Millisecond)
		}
	}
	_, err = m.Do(ctx, "quit", nil)
	require.NoError(t, err)
	<-m.Done()
}
