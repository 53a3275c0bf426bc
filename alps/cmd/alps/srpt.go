// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"time"

	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/alps/policy/records"
	"github.com/ds2-lab/alps/internal/cli"
)

// runSRPT schedules the invocations on stdin by SRPT.
func runSRPT(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	fs := cli.NewFlags("alps srpt", stderr, "[-granularity 8ms] [-cores 1] < records.csv",
		"Reads id,function,arrive_ms,burst_ms, schedules shortest remaining time first, and\n"+
			"prints id,function,wait_ms,slices_ms: time not on a CPU, and the on-CPU segments.")
	m := policy.Machine{Cores: 1}
	fs.DurationVar(&m.Granularity, "granularity", 0, "an on-CPU segment is not preempted before")
	fs.IntVar(&m.Cores, "cores", 1, "`n` cores serve the queue")
	if code, done := cli.Parse(fs, args); done {
		return code
	}
	if err := cli.CheckCores(m.Cores); err != nil {
		return cli.Usage(fs, err)
	}
	if m.Granularity < 0 || m.Granularity > 24*time.Hour {
		return cli.Usage(fs, fmt.Errorf("granularity: %v is outside [0s, 24h]", m.Granularity))
	}
	rows, err := records.Read("stdin", stdin)
	if err != nil {
		return cli.Fail(stderr, err)
	}
	outcomes, err := policy.SRPT(records.Jobs(rows), m)
	if err != nil {
		return cli.Fail(stderr, err)
	}
	if err := records.WriteOutcomes(stdout, rows, outcomes); err != nil {
		return cli.Fail(stderr, fmt.Errorf("write outcomes: %w", err))
	}
	return 0
}
