package window

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

func TestWindow(t *testing.T) {
	host, guest := both(t, 1<<16)
	_, ok, err := guest.Job()
	require.NoError(t, err)
	require.False(t, ok)
	require.NoError(t, host.Give([]byte("work")))
	in, ok, err := guest.Job()
	require.NoError(t, err)
	require.True(t, ok)
	data, err := io.ReadAll(in)
	require.NoError(t, err)
	require.Equal(t, "work", string(data))

	guest.Progress(3, 7)
	var seen [][2]int
	out, err := host.Await(t.Context(), func(done, total int) {
		seen = append(seen, [2]int{done, total})
		require.NoError(t, guest.Finish([]byte("a longer outcome"), nil))
	})
	require.NoError(t, err)
	require.Equal(t, [][2]int{{3, 7}}, seen)
	require.Equal(t, "a longer outcome", string(out))
	_, ok, _ = guest.Job()
	require.False(t, ok, "it is done once")
}

func TestWindowFailures(t *testing.T) {
	host, guest := both(t, headerBytes+10)
	require.ErrorContains(t, host.Give([]byte(strings.Repeat("x", 11))), "11 bytes do not fit into 10")
	require.NoError(t, guest.Finish(nil, errors.New("broken")))
	_, err := host.Await(t.Context(), nil)
	require.EqualError(t, err, "broken")
	require.ErrorContains(t, guest.Finish([]byte(strings.Repeat("x", 11)), nil), "do not fit", "not even the message does")

	require.NoError(t, host.Give(nil))
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errors.New("too long"))
	defer cancel()
	_, err = host.Await(ctx, nil)
	require.EqualError(t, err, "too long")
}
