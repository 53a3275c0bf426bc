// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"strings"

	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/stats"
)

// term is a word of the page and what it means.
type term struct{ Name, Meaning string }

// terms are explained on the page.
var terms = []term{
	{"request", "The client's HTTP call. It waits for the platform before its process exists."},
	{"process start", "The moment at which the process of an invocation is forked: arrive_ns. It is first on a CPU at start_ns, later."},
	{"turnaround", "From the process's start to its exit, the paper's measure. “From the request” is from the client's call to the same exit."},
	{"G1, G2, G3, G4", "Groups of functions by the CPU time of an invocation alone: below 50 ms, 50 to 200, 200 to 400, and 400 ms or more (the paper's Table 1)."},
	{"series", "One scheduler's line or bars in a figure."},
	{"CFS, EEVDF", "Linux's scheduler until 6.5, and since 6.6."},
	{"FIFO, RR", "Linux's real-time classes: the first runs until it is done; the other changes after 100 ms."},
	{"SFS", "The scheduler of Fu et al., SC 2022: first come, first served for as long as the mean gap between arrivals at a CPU, then CFS. So it is measured; in the paper's figures the simulated sfs is the one that their plots fit, with slices of a fifth of that gap and no order, and each such figure says so."},
	{"SRPT", "Shortest remaining processing time first: it needs to know the future, and is simulated, or computed from what another series measured, never run. A claim of computed runs alone is not measured."},
	{"alps, alps-artifact", "ALPS that serves functions by rank with a bounded wait, as the paper's text has it, and first come, first served, as its published artifact amounts to."},
	{"steady", "A policy of this repository: by what a function's invocations took until now, and what this one has used."},
	{"on-CPU segment", "What an invocation uses of a CPU in one stretch."},
	{"load", "CPU time demanded as a share of the CPU time that the functions' CPUs have."},
	{"round", fmt.Sprintf("A repetition with another seed. A verdict needs %d; on 24 CPUs one has to do, and the verdict is marked: one round.", dataset.MinRounds)},
	{"interval", fmt.Sprintf("In brackets: the middle 95 %% of %d draws of a bootstrap over rounds and, in each, over blocks of consecutive invocations. Of one round it is over the blocks of that run, marked “within one run”, and says nothing of how far another round would differ. It says how far chance goes, not how far the model is right.", stats.Draws)},
	{"percentile", fmt.Sprintf("p90 is the smallest value with at least nine tenths of all values at or below it; nothing is interpolated. A 99th needs %d values; with fewer the maximum is shown, and called so.", stats.MinP99)},
	{"simulated", "Computed by the simulator, on modelled CPUs."},
	{"measured", "Run by Linux in a guest. “In virtual time” means that the guest's clocks count its instructions."},
}

// column of a file beside the page.
type column struct{ Name, Meaning string }

// dataFile is a kind of file beside the page or in results/, and its columns.
type dataFile struct {
	Name, What string
	Columns    []column
}

// dataFiles are the files with columns that the page explains. A test compares them with the headers that are written.
var dataFiles = []dataFile{
	{"invocations.csv", "in results/ENGINE/RUN: a row for each invocation. Times are ns of one clock: the guest's CLOCK_MONOTONIC or virtual time.", []column{
		{"id", "number of the request, from 1"}, {"function", "its name"}, {"uid", "its UID"}, {"group", "G1 to G4"}, {"n", "the argument in the trace"},
		{"arrive_ns", "the process was forked: turnaround is end_ns − arrive_ns"}, {"send_ns", "the client sent the request: from the request is end_ns − send_ns"},
		{"start_ns", "the process was first on a CPU; no turnaround begins here"}, {"end_ns", "the process ended"}, {"cpu_ns", "CPU time of the process and its descendants"},
		{"switches_vol", "how often it left a CPU by itself"}, {"switches_invol", "how often it lost a CPU to another: the switches of Fig 7"}, {"status", "ok or failed"}}},
	{"slices.csv", "in results/ENGINE/RUN: how often an on-CPU segment had a length.", []column{
		{"group", "G1 to G4"}, {"length_us", "length of the segment, µs"}, {"count", "how many there were"}}},
	{"fig*.tsv", "the table behind a picture.", []column{
		{"engine", "sim or vm"}, {"workload", "which functions arrive how"}, {"load_pct", "load, %"}, {"group", "G1 to G4, or all"}, {"series", "scheduler"},
		{"stat", "mean, max or a percentile, after what is measured if it is not the turnaround: slice_p50"}, {"unit", "ms, %, or none"}, {"ours", "our value"},
		{"ours_lo95", "the interval's lower end"}, {"ours_hi95", "the interval's upper end"}, {"paper", "the paper's value, read off its plot (±1 %)"}, {"ours/paper", "ratio"}, {"n", "values behind ours, all rounds"}}},
	{"peers-*.tsv", "means of schedulers as multiples of EEVDF's or CFS's.", []column{
		{"engine", "sim or vm"}, {"workload", "which functions arrive how"}, {"load_pct", "load, %"}, {"series", "scheduler"}, {"base", "what it is compared with"},
		{"measure", "turnaround or request"}, {"mean_ms", "its mean"}, {"ratio", "as a multiple of the base's"}, {"ratio_lo95", "the interval's lower end"}, {"ratio_hi95", "the interval's upper end"}, {"n", "invocations, all rounds"}}},
	{"claims.tsv", "the claims and their verdicts.", []column{
		{"id", "name of the claim"}, {"figure", "where its numbers are drawn"}, {"measured_verdict", "by what was measured"}, {"measured", "the numbers, with their interval"},
		{"large_verdict", "by what was measured on 24 CPUs (headline); not measured also where it does not repeat the figure"}, {"large", "the numbers, with their interval"}, {"large_rounds", "how many rounds stand behind them: of 1 the interval is within one run"},
		{"simulated_verdict", "by what was simulated"}, {"simulated", "the numbers, with their interval"}, {"threshold", "from where on the claim holds"}, {"paper", "the paper's numbers"}, {"text", "the claim"},
		{"reason", "what is known of why; empty: nothing"}, {"first_come", "where the order first come, first served (alps-artifact) has another verdict: which"}}},
	{"means.tsv", "means over all invocations of every series of every figure.", []column{
		{"figure", "where the runs are shown"}, {"engine", "sim or vm"}, {"workload", "which functions arrive how"}, {"load_pct", "load, %"}, {"series", "scheduler"}, {"rounds", "how many there were"},
		{"n", "invocations, all rounds"}, {"turnaround_ms", "mean from the process's start"}, {"request_ms", "mean from the client's request"}, {"switches", "mean number of lost CPUs per invocation"},
		{"turnaround_over_cfs", "the mean as a multiple of that of cfs; empty: no cfs ran"}, {"turnaround_over_cfs_lo95", "the interval's lower end"}, {"turnaround_over_cfs_hi95", "the interval's upper end"},
		{"request_over_cfs", "likewise from the client's request"}, {"request_over_cfs_lo95", "the interval's lower end"}, {"request_over_cfs_hi95", "the interval's upper end"}}},
	{"never-sim.tsv", "the grid of workloads, machines and loads.", []column{
		{"workload", "which functions arrive how"}, {"cores", "of the modelled machine"}, {"load", "0 to 1, and above"}, {"series", "scheduler"}, {"mean_ms", "mean turnaround"}, {"request_ms", "mean from the request"},
		{"over_better", "mean over that of the better of CFS and EEVDF"}, {"over_cfs", "mean over CFS's"}, {"over_oracle", "mean over that of SRPT with one queue for all cores"}, {"unfinished", "invocations that had not ended"}}},
}

// dataMarkdown explains the files beside the page.
func dataMarkdown() string {
	var b strings.Builder
	b.WriteString("# The data beside the report\n\n")
	for _, t := range terms {
		if t.Name == "percentile" || t.Name == "interval" {
			fmt.Fprintf(&b, "**%s**: %s\n\n", t.Name, t.Meaning)
		}
	}
	for _, f := range dataFiles {
		fmt.Fprintf(&b, "## %s\n\n%s%s\n\n| column | meaning |\n|---|---|\n", f.Name, strings.ToUpper(f.What[:1]), f.What[1:])
		for _, c := range f.Columns {
			fmt.Fprintf(&b, "| `%s` | %s |\n", c.Name, c.Meaning)
		}
		b.WriteString("\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}
