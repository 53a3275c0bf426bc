// SPDX-License-Identifier: Apache-2.0

package client

import (
	"errors"
	"net"
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

func TestLostSince(t *testing.T) {
	before := Lost{Invocations: 5, Tasks: 4, Slices: 3, Orphans: 2, Stream: 9}
	require.Equal(t, Lost{Invocations: 1}, Lost{6, 4, 3, 2, 9}.Since(before))
	require.Equal(t, Lost{Stream: 1}, Lost{5, 4, 3, 2, 1}.Since(before), "another daemon counts from 0")
}
