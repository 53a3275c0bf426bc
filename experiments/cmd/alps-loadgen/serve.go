// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ds2-lab/alps/experiments/loadgen"
	"github.com/ds2-lab/alps/internal/ivshmem"
)

// lookEvery is how often serve looks for a job, and the align of its traces. Idle
// time costs nothing in virtual time, so a long period delays nobody.
const lookEvery = 10 * time.Second

// serve runs the jobs that the host puts into the shared memory (package ivshmem):
// a command line, then its standard input. So nothing but the guest's own clock
// says when a run begins, and no packet comes in while the run lasts.
func serve(ctx context.Context) error {
	w, err := ivshmem.InGuest()
	if err != nil {
		return err
	}
	defer w.Close()
	wait := func(ctx context.Context) error { return loadgen.SleepToMultiple(ctx, lookEvery) }
	return w.Serve(ctx, wait, func(job io.Reader) ([]byte, error) {
		var out bytes.Buffer
		err := runJob(ctx, job, &out, w.Progress)
		return out.Bytes(), err
	})
}

func runJob(ctx context.Context, job io.Reader, out io.Writer, progress func(done, total int)) error {
	in := bufio.NewReader(job)
	line, err := in.ReadString('\n')
	if err != nil {
		return fmt.Errorf("job: its first line: %w", err)
	}
	command, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
	args := []string{command}
	if arg != "" {
		args = append(args, arg)
	}
	return run(ctx, args, in, out, lookEvery, progress)
}
