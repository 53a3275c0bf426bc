// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// QEMU accepts a connection long before the guest does.
func TestDialEndsWithItsContext(t *testing.T) {
	t.Setenv("ALPS_CACHE", t.TempDir())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	gaveUp := errors.New("the guest ended")
	ctx, cancel := context.WithCancelCause(t.Context())
	closed := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			closed <- err
			return
		}
		cancel(gaveUp)
		_, err = conn.Read(make([]byte, 1))
		closed <- err
	}()
	_, err = dial(ctx, l.Addr().(*net.TCPAddr).Port, time.Hour)
	require.ErrorIs(t, err, gaveUp)
	require.Error(t, <-closed, "the other side sees its end")
}

type connection struct{ closed chan struct{} }

func (c connection) Close() error { close(c.closed); return nil }

func TestAConnectionThatNobodyTakesIsClosed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	won := connection{make(chan struct{})}
	answered := untilAnswered(ctx, func(context.Context, time.Duration) (connection, error) {
		cancel() // whoever waited has gone
		return won, nil
	})
	<-won.closed
	select {
	case <-answered:
		t.Fatal("it is closed")
	default:
	}
}

func TestLaterAttemptsMayTakeLonger(t *testing.T) {
	var limits []time.Duration
	won := connection{make(chan struct{})}
	require.Equal(t, won, <-untilAnswered(t.Context(), func(_ context.Context, banner time.Duration) (connection, error) {
		if limits = append(limits, banner); len(limits) < 3 {
			return connection{}, errors.New("no greeting")
		}
		return won, nil
	}))
	require.Equal(t, []time.Duration{bannerLimit, bannerLimit * 5 / 4, bannerLimit * 25 / 16}, limits)
}

// A start that fails leaves no folder, whatever failed.
func TestAFailedStartLeavesNothing(t *testing.T) {
	for _, broken := range []string{"log", "disk"} {
		cache := t.TempDir()
		t.Setenv("ALPS_CACHE", cache)
		require.NoError(t, os.WriteFile(filepath.Join(cache, broken), nil, 0o644), "not a directory")
		_, err := Start(t.Context(), Config{Kernel: "k", Disk: "d", Keep: "name"})
		require.ErrorContains(t, err, broken)
		left, err := filepath.Glob(filepath.Join(cache, "run", "vm*"))
		require.NoError(t, err)
		require.Empty(t, left)
	}
}
