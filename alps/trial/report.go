// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"time"

	"github.com/ds2-lab/alps/alps/client"
)

// Verdict is what a trial shows of a change.
type Verdict string

// Verdicts. The first three come from the interval alone: it lies below zero, above, or
// has zero in it.
const (
	Better    Verdict = "better"
	Worse     Verdict = "worse"
	None      Verdict = "no difference shown"
	TooFew    Verdict = "too few rounds"
	TooFewP99 Verdict = "too few invocations"
)

// Report is what came out of a trial. Its JSON is the output of alps trial -json. Times
// named ns are nanoseconds, those of begins and ends CLOCK_MONOTONIC.
type Report struct {
	Modes     [2]client.Mode `json:"modes"` // A's and B's, as the daemon was given them
	Rounds    int            `json:"rounds"`
	Counted   int            `json:"rounds_counted"` // both periods are
	EachNS    time.Duration  `json:"each_ns"`
	SettleNS  time.Duration  `json:"settle_ns"`
	Periods   []Period       `json:"periods"`
	All       Group          `json:"all"`       // all functions together
	Functions []Group        `json:"functions"` // with enough invocations for a verdict: worse ones first
	Others    []Other        `json:"others,omitempty"`
	Notes     []string       `json:"notes,omitempty"` // what a reader of the numbers must know
	Ended     string         `json:"ended,omitempty"` // why the trial ended before its time
}

// Period is a stretch of time under one mode. What it counts is of all functions together.
type Period struct {
	Round       int           `json:"round"`  // from 1
	Side        string        `json:"side"`   // a or b
	Policy      string        `json:"policy"` // of the side's mode
	BeginNS     uint64        `json:"begin_ns"`
	EndNS       uint64        `json:"end_ns"`
	Invocations int           `json:"invocations"` // that arrived after the settle time and ended in the period
	CPUNS       time.Duration `json:"cpu_ns"`      // CPU time of these
	Settling    int           `json:"settling"`    // invocations that arrived in the settle time: not counted
	Unfinished  int           `json:"unfinished"`  // that arrived after it and ended after the period: not counted
	Lost        client.Lost   `json:"lost"`
	LeftOut     string        `json:"left_out,omitempty"` // why the period is not counted
}

// Group is one function, or all together, in the rounds that count.
type Group struct {
	UID  string   `json:"uid,omitempty"` // none: all functions
	Name string   `json:"name,omitempty"`
	A    Measured `json:"a"`
	B    Measured `json:"b"`
	Mean Change   `json:"mean"` // of the mean turnaround, from A to B
	P99  Change   `json:"p99"`  // of the turnaround's 99th percentile
}

// Measured is what a group's invocations did under one mode.
type Measured struct {
	Invocations int           `json:"invocations"`
	MeanCPUNS   time.Duration `json:"mean_cpu_ns"`
	MeanWaitNS  time.Duration `json:"mean_wait_ns"` // runnable, but not on a CPU, all threads together
	MeanNS      time.Duration `json:"mean_ns"`      // turnaround, as the next two
	P50NS       time.Duration `json:"p50_ns"`
	P99NS       time.Duration `json:"p99_ns,omitempty"` // 0: fewer than stats.MinP99 invocations
	Busy        int           `json:"busy,omitempty"`   // of the invocations, those that are busy periods
	Settling    int           `json:"settling"`         // arrived in the settle time: not counted
	Unfinished  int           `json:"unfinished"`       // ended after their period: not counted
}

// Change is how a statistic under B compares with that under A: the geometric mean of the
// rounds' ratios as a change in %, with its 95 % interval. Without 2 rounds that have the
// statistic there are no numbers.
type Change struct {
	Rounds  int     `json:"rounds"` // in which both periods have enough invocations
	Percent float64 `json:"percent"`
	Lo      float64 `json:"lo_percent"`
	Hi      float64 `json:"hi_percent"`
	Verdict Verdict `json:"verdict"`
}

// Other is a function with too few invocations for a verdict.
type Other struct {
	UID  string `json:"uid"`
	Name string `json:"name"`
	A    int    `json:"a"` // invocations under A in the rounds that count
	B    int    `json:"b"`

	Unfinished int `json:"unfinished"` // that ended after their periods, under both
}
