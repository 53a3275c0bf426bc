// SPDX-License-Identifier: Apache-2.0

// Alps-loadgen runs in the guest: it calibrates the functions and replays traces.
//
//	alps-loadgen calibrate < trace.csv        {"fib": {…}, …}: costs by function
//	alps-loadgen replay JOB-JSON < trace.csv  stats as one JSON line, then invocations.csv
//	alps-loadgen register UID NAME CGROUP     tells the daemon that a cgroup is a function
//	alps-loadgen serve                        runs such commands from the memory shared with the host
//
// A job is the daemon's mode, such as {"policy":"alps"}. It may have a "program"
// that decides by sched_ext; the program's archive then comes before the trace.
//
// Progress goes to standard error as "done total" lines; serve's to the shared memory.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	alpsclient "github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/experiments/loadgen"
	"github.com/ds2-lab/alps/experiments/results"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	var err error
	if len(os.Args) == 2 && os.Args[1] == "serve" {
		err = serve(ctx)
	} else {
		err = run(ctx, os.Args[1:], os.Stdin, os.Stdout, beginEvery, tell(os.Stderr))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "alps-loadgen:", err)
		os.Exit(1)
	}
}

// tell writes done and total to w, about once a second and at the end.
func tell(w io.Writer) func(done, total int) {
	var told time.Time
	return func(done, total int) {
		if now := time.Now(); done == total || now.Sub(told) > time.Second {
			told = now
			fmt.Fprintln(w, done, total)
		}
	}
}

// beginEvery is the align of a command from a shell: its trace begins after a whole
// multiple of this on the guest's clock. The align of a job of serve is lookEvery.
const beginEvery = time.Second

// run runs a command. align is the Align of the Replayer that replays a trace.
func run(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer, align time.Duration, progress func(done, total int)) error {
	if len(args) == 0 {
		return errors.New("usage: alps-loadgen calibrate | replay JOB-JSON < trace.csv | register UID NAME CGROUP | serve")
	}
	r := &loadgen.Replayer{Daemon: alpsclient.New("")}
	switch {
	case args[0] == "calibrate" && len(args) == 1:
		reqs, err := loadgen.ReadTrace("stdin", stdin)
		if err != nil {
			return err
		}
		costs := map[string]loadgen.Cost{}
		for _, q := range reqs {
			if _, ok := costs[q.Function]; ok {
				continue
			}
			c, err := r.Calibrate(ctx, q.Function, q.UID, q.Port)
			if err != nil {
				return err
			}
			costs[q.Function] = c
			progress(len(costs), len(loadgen.Unit))
		}
		return json.NewEncoder(stdout).Encode(costs)
	case args[0] == "register" && len(args) == 4:
		return r.Daemon.Register(ctx, alpsclient.Function{UID: args[1], Name: args[2], Cgroup: args[3]})
	case args[0] == "replay" && len(args) == 2:
		r.Align, r.Progress = align, progress
		var job loadgen.Job
		if err := json.Unmarshal([]byte(args[1]), &job); err != nil {
			return fmt.Errorf("read the job: %w", err)
		}
		out, err := r.Run(ctx, job, stdin)
		if err != nil {
			return err
		}
		if err := json.NewEncoder(stdout).Encode(out); err != nil {
			return err
		}
		return results.WriteCSV(stdout, out.Invocations)
	}
	return fmt.Errorf("unknown command %q", args)
}
