// SPDX-License-Identifier: Apache-2.0

package client

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheErrorSaysWhatToDo(t *testing.T) {
	_, err := New(filepath.Join(t.TempDir(), "none")).Status(t.Context())
	require.ErrorContains(t, err, "is the daemon running? start it with: alps run")
	denied := nextAction(&net.OpError{Op: "dial", Err: syscall.EACCES})
	require.ErrorContains(t, denied, "permission denied (the socket is root's: run this as root)")
	require.NotContains(t, denied.Error(), "is the daemon running")
	require.ErrorIs(t, denied, syscall.EACCES)
	require.NoError(t, nextAction(nil))
	require.False(t, errors.Is(nextAction(syscall.ECONNREFUSED), syscall.EACCES))
}

// daemonOf is a client of a daemon that answers as h.
func daemonOf(t *testing.T, h http.HandlerFunc) *Client {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	s := &http.Server{Handler: h}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return New(socket)
}

// An event is as long as its invocation has on-CPU segments of different lengths, and a
// stream that ends in the middle of one is cut, not wrong.
func TestLongEvents(t *testing.T) {
	long := Event{UID: "f", Exact: true}
	for i := range 100_000 {
		long.Slices = append(long.Slices, Slices{LengthUS: uint64(i), Count: 1})
	}
	line, err := json.Marshal(long)
	require.NoError(t, err)
	c := daemonOf(t, func(w http.ResponseWriter, _ *http.Request) {
		for _, part := range [][]byte{line, []byte("\n"), line, []byte("\n"), line[:len(line)/2]} {
			w.Write(part)
		}
	})
	var got []Event
	err = c.Events(t.Context(), func() {}, func(e Event) { got = append(got, e) })
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.ErrorContains(t, err, "the daemon ended the stream")
	require.Equal(t, []Event{long, long}, got)

	c = daemonOf(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("{}\nhello\n")) })
	require.ErrorContains(t, c.Events(t.Context(), func() {}, func(Event) {}), "read the daemon's events: invalid character 'h'")
}

// Whatever is asked for, the error has the daemon's reason.
func TestRefusalsSayWhy(t *testing.T) {
	c := daemonOf(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no such day", http.StatusBadRequest) })
	require.EqualError(t, c.EventsSince(t.Context(), 3, nil), "daemon: GET /events?since=3: no such day")
	require.EqualError(t, c.SetMode(t.Context(), Mode{}), "daemon: PUT /mode: no such day")
	c = daemonOf(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	require.EqualError(t, c.Events(t.Context(), nil, nil), "daemon: GET /events: 404 Not Found")
}

func TestLostSince(t *testing.T) {
	before := Lost{Invocations: 5, Tasks: 4, Slices: 3, Orphans: 2, Stream: 9}
	require.Equal(t, Lost{Invocations: 1}, Lost{6, 4, 3, 2, 9}.Since(before))
	require.Equal(t, Lost{Stream: 1}, Lost{5, 4, 3, 2, 1}.Since(before), "another daemon counts from 0")
}
