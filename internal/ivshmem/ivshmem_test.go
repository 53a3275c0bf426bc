// SPDX-License-Identifier: Apache-2.0

package ivshmem

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// both are the two sides of a window of the given size.
func both(t *testing.T, size int64) (host, guest *Window) {
	path := filepath.Join(t.TempDir(), "window")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, os.Truncate(path, size))
	var err error
	host, err = Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { host.Close() })
	guest, err = Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { guest.Close() })
	return host, guest
}

// serve runs jobs in the guest's side until the test ends.
func serve(t *testing.T, guest *Window, run func(io.Reader) ([]byte, error)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- guest.Serve(ctx, func(context.Context) error { time.Sleep(time.Millisecond); return ctx.Err() }, run)
	}()
	t.Cleanup(func() { cancel(); <-done })
}

func TestWindow(t *testing.T) {
	host, guest := both(t, 1<<16)
	guest.networks = t.TempDir()
	went := make(chan bool)
	serve(t, guest, func(in io.Reader) ([]byte, error) {
		data, err := io.ReadAll(in)
		guest.Progress(3, 7)
		<-went
		return append(data, " is done"...), err
	})
	require.NoError(t, host.AwaitServer(t.Context()))
	for _, job := range []string{"work", "more work"} {
		require.NoError(t, host.Give([]byte(job)))
		var seen [][2]int
		out, err := host.Await(t.Context(), func(done, total int) {
			seen = append(seen, [2]int{done, total})
			went <- true
		})
		require.NoError(t, err)
		require.Equal(t, job+" is done", string(out))
		require.Equal(t, [][2]int{{3, 7}}, seen)
	}
}

func TestWindowFailures(t *testing.T) {
	host, guest := both(t, headerBytes+10)
	require.ErrorContains(t, host.Give([]byte(strings.Repeat("x", 11))), "11 bytes do not fit into 10")
	require.NoError(t, host.Give(nil))
	require.NoError(t, guest.put(failure, []byte("broken")))
	_, err := host.Await(t.Context(), nil)
	require.EqualError(t, err, "broken")

	require.NoError(t, host.Give(nil))
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errors.New("too long"))
	defer cancel()
	_, err = host.Await(ctx, nil)
	require.EqualError(t, err, "too long")
}

func TestOnNetwork(t *testing.T) {
	sys := t.TempDir()
	add := func(name, flags string, device bool) {
		require.NoError(t, os.MkdirAll(filepath.Join(sys, name), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(sys, name, "flags"), []byte(flags+"\n"), 0o644))
		if device {
			require.NoError(t, os.MkdirAll(filepath.Join(sys, name, "device"), 0o755))
		}
	}
	add("lo", "0x9", false)
	add("docker0", "0x1003", false)
	add("eth0", "0x1002", true)
	online, err := onNetwork(sys)
	require.NoError(t, err)
	require.False(t, online)
	add("eth0", "0x1003", true)
	online, err = onNetwork(sys)
	require.NoError(t, err)
	require.True(t, online)
}
