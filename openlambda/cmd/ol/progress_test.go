// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// While a worker starts, its lines about functions that are ready or slow are shown as they
// come. The line that says why it ended is left for the error.
func TestProgressOfAStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "worker.out")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	require.NoError(t, err)
	defer f.Close()
	var shown bytes.Buffer
	c := &cli{stderr: &shown}
	say := func(text string) {
		_, err := f.WriteString(text)
		require.NoError(t, err)
	}
	say("old\n")
	at := c.progress(f, 4)
	require.EqualValues(t, 4, at)
	say("level=INFO msg=\"pulled code\" function=fib\nlevel=INFO msg=\"function is ready\" function=fib number=1 of=15\nlevel=WARN msg=\"sandbox is slow")
	at = c.progress(f, at)
	require.Equal(t, "level=INFO msg=\"function is ready\" function=fib number=1 of=15\n", shown.String())
	say(" to start\" function=graphMst said=\"(nothing)\"\nlevel=ERROR msg=\"sandbox did not start\"\n")
	at = c.progress(f, at)
	require.Contains(t, shown.String(), "slow to start\" function=graphMst said=\"(nothing)\"\n")
	require.NotContains(t, shown.String(), "did not start")
	rest, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "level=ERROR msg=\"sandbox did not start\"\n", string(rest[at:]))
}
