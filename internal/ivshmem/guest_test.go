// SPDX-License-Identifier: Apache-2.0

package ivshmem

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/clock"
	"github.com/ds2-lab/alps/internal/ring"
)

// In a guest that package vm's tests start, this test waits for jobs. The outcome of a job has times in ns
// and random numbers, so that it differs between two guests that did not do exactly the same.
func TestServe(t *testing.T) {
	ring.Need(t, ring.Window, os.Getenv("ALPS_WINDOW") != "", "runs in the guest of TestGuestJobs")
	w, err := InGuest()
	require.NoError(t, err)
	wait := func(context.Context) error { time.Sleep(time.Second); return nil }
	require.NoError(t, w.Serve(t.Context(), wait, func(in io.Reader) ([]byte, error) {
		job, err := io.ReadAll(in)
		if err != nil || string(job) == "fail" {
			return nil, errors.Join(err, errors.New("asked to"))
		}
		out := bytes.NewBuffer(job)
		for i := range 100 {
			w.Progress(i+1, 100)
			chance := make([]byte, 8)
			rand.Read(chance)
			fmt.Fprintf(out, "\n%d %x", clock.Now(), chance)
			time.Sleep(100 * time.Millisecond)
		}
		return out.Bytes(), nil
	}))
}
