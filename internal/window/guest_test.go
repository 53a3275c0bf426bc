package window

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// In a guest that package vm's tests start, this is what waits for jobs. Its
// outcome tells two guests apart that did not do the same to the nanosecond.
func TestServe(t *testing.T) {
	if os.Getenv("ALPS_WINDOW") == "" {
		t.Skip("runs in the guest of a test of package vm")
	}
	w, err := InGuest()
	require.NoError(t, err)
	for {
		time.Sleep(time.Second)
		in, ok, err := w.Job()
		require.NoError(t, err)
		if !ok {
			continue
		}
		job, err := io.ReadAll(in)
		require.NoError(t, err)
		if string(job) == "fail" {
			require.NoError(t, w.Finish(nil, fmt.Errorf("asked to")))
			continue
		}
		var out bytes.Buffer
		out.Write(job)
		for i := range 100 {
			w.Progress(i+1, 100)
			var ts unix.Timespec
			require.NoError(t, unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts))
			chance := make([]byte, 8)
			rand.Read(chance)
			fmt.Fprintf(&out, "\n%d %x", ts.Nano(), chance)
			time.Sleep(100 * time.Millisecond)
		}
		require.NoError(t, w.Finish(out.Bytes(), nil))
	}
}
