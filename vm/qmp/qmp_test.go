// SPDX-License-Identifier: Apache-2.0

package qmp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// server plays QEMU: it greets, writes before, and has answer write the reply to every
// request and whatever else the test wants.
func server(t *testing.T, before string, answer func(write func(string), req map[string]any)) *Monitor {
	path := filepath.Join(t.TempDir(), "qmp")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		var mu sync.Mutex
		write := func(s string) {
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintln(conn, s)
		}
		write(`{"QMP": {"version": {}, "capabilities": []}}`)
		if before != "" {
			write(before)
		}
		sc := bufio.NewScanner(conn)
		for sc.Scan() {
			var req map[string]any
			if json.Unmarshal(sc.Bytes(), &req) != nil {
				return
			}
			if req["execute"] == "qmp_capabilities" {
				write(fmt.Sprintf(`{"return": {}, "id": %q}`, req["id"]))
				continue
			}
			if req["execute"] == "hangup" {
				return
			}
			answer(write, req)
		}
	}()
	m := New(path)
	require.NoError(t, m.Connect())
	t.Cleanup(func() { m.Disconnect() })
	return m
}

func TestRepliesFindTheirRequestsWhateverTheOrder(t *testing.T) {
	var held []string
	m := server(t, "", func(write func(string), req map[string]any) {
		held = append(held, fmt.Sprintf(`{"return": %q, "id": %q}`, req["execute"], req["id"]))
		if len(held) < 10 {
			return
		}
		for i := len(held) - 1; i >= 0; i-- { // backwards
			write(`{"event": "NOISE", "data": {}, "timestamp": {"seconds": 1, "microseconds": 2}}`)
			write(held[i])
		}
	})
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			raw, err := m.Do(context.Background(), fmt.Sprint("cmd", i), nil)
			assert.NoError(t, err)
			assert.JSONEq(t, fmt.Sprintf("%q", fmt.Sprint("cmd", i)), string(raw))
		})
	}
	wg.Wait()
}

func TestEventsBeforeTheFirstReaderAndStormsAreKept(t *testing.T) {
	const storm = 5000
	m := server(t, `{"event": "EARLY"}`, func(write func(string), req map[string]any) {
		for i := range storm {
			write(fmt.Sprintf(`{"event": "E%d"}`, i))
		}
		write(fmt.Sprintf(`{"return": {}, "id": %q}`, req["id"]))
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, err := m.Events(ctx)
	require.NoError(t, err)
	_, err = m.Do(ctx, "storm", nil) // answered although nobody reads events
	require.NoError(t, err)
	require.Equal(t, "EARLY", (<-events).Event)
	for i := range storm {
		require.Equal(t, fmt.Sprint("E", i), (<-events).Event)
	}
}

func TestLargeReply(t *testing.T) {
	big := strings.Repeat("x", 3<<20)
	m := server(t, "", func(write func(string), req map[string]any) {
		write(fmt.Sprintf(`{"return": %q, "id": %q}`, big, req["id"]))
	})
	raw, err := m.Do(t.Context(), "big", nil)
	require.NoError(t, err)
	require.Len(t, string(raw), len(big)+2)
}

func TestErrorsDeadlinesAndHangUps(t *testing.T) {
	m := server(t, "", func(write func(string), req map[string]any) {
		if req["execute"] == "bad" {
			write(fmt.Sprintf(`{"error": {"class": "GenericError", "desc": "no"}, "id": %q}`, req["id"]))
		}
	})
	_, err := m.Do(t.Context(), "bad", nil)
	require.EqualError(t, err, "qmp: bad: GenericError: no")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = m.Do(ctx, "silent", nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	events, err := m.Events(t.Context())
	require.NoError(t, err)
	_, err = m.Do(t.Context(), "hangup", nil)
	require.ErrorIs(t, err, ErrClosed)
	_, open := <-events
	require.False(t, open)
	_, err = m.Do(t.Context(), "late", nil)
	require.ErrorIs(t, err, ErrClosed)
}

func TestRunSpeaksGoQEMUsForm(t *testing.T) {
	m := server(t, "", func(write func(string), req map[string]any) {
		write(fmt.Sprintf(`{"return": {"status": "running"}, "id": %q}`, req["id"]))
	})
	raw, err := m.Run([]byte(`{"execute": "query-status"}`))
	require.NoError(t, err)
	require.Contains(t, string(raw), "running")
}

func TestNoSocket(t *testing.T) {
	m := New(filepath.Join(t.TempDir(), "none"))
	require.ErrorContains(t, m.Connect(), "none")
	require.NoError(t, m.Disconnect())
	_, err := m.Do(t.Context(), "x", nil)
	require.ErrorIs(t, err, ErrClosed)
}

// A request whose context ends before any of it was written fails alone: the connection
// goes on.
func TestADeadlineSpoilsNobodyElse(t *testing.T) {
	m := server(t, "", func(write func(string), req map[string]any) {
		write(fmt.Sprintf(`{"return": {}, "id": %q}`, req["id"]))
	})
	late := 0
	for i := range 5000 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%50)*time.Microsecond)
		_, err := m.Do(ctx, "in a hurry", nil)
		cancel()
		if err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			late++
		}
	}
	require.Positive(t, late, "no deadline struck")
	_, err := m.Do(t.Context(), "patient", nil)
	require.NoError(t, err)
}

// Deadlines hold for QEMUs that do not read, too.
func TestAQEMUThatDoesNotRead(t *testing.T) {
	release := make(chan struct{})
	m := server(t, "", func(func(string), map[string]any) { <-release })
	defer close(release)
	big := strings.Repeat("x", 1<<20)
	go m.Do(t.Context(), "one", nil) // from now on nothing is read
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for { // the first to run out of time in mid-request ends the connection
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				_, err := m.Do(ctx, "big", big)
				cancel()
				if errors.Is(err, ErrClosed) {
					return
				}
				if !assert.ErrorIs(t, err, context.DeadlineExceeded) {
					return
				}
			}
		})
	}
	wg.Wait()
	<-m.Done()
	_, err := m.Do(t.Context(), "late", nil)
	require.ErrorIs(t, err, ErrClosed)
}

// Connecting to a QEMU that accepts and says nothing ends with the context.
func TestConnectEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "qmp")
	l, err := net.Listen("unix", path) // which the kernel accepts for
	require.NoError(t, err)
	defer l.Close()
	gaveUp := errors.New("no longer needed")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(10*time.Millisecond, func() { cancel(gaveUp) })
	require.ErrorIs(t, New(path).ConnectContext(ctx), gaveUp)
	require.ErrorIs(t, New(path).ConnectContext(ctx), gaveUp, "it had ended before")
}
