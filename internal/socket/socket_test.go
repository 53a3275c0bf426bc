// SPDX-License-Identifier: Apache-2.0

package socket

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDial(t *testing.T) {
	for _, length := range []int{1, 200} {
		dir := filepath.Join(t.TempDir(), strings.Repeat("x", length))
		require.NoError(t, os.Mkdir(dir, 0o755))
		t.Chdir(dir) // the address of a listener is as short
		l, err := net.Listen("unix", "s")
		require.NoError(t, err)
		defer l.Close()
		conn, err := Dial(t.Context(), filepath.Join(dir, "s"))
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		_, err = Dial(t.Context(), filepath.Join(dir, "none"))
		require.ErrorIs(t, err, os.ErrNotExist)
	}
}
