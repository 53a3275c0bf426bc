package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/alps/policy/records"
)

// runLearn shows what the policy makes of the invocations on stdin.
func runLearn(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	fs := newFlags("alps learn", stderr, "[-learner avg] [-load 85] [flags] < records.csv",
		"Reads id,function,arrive_ms,burst_ms as one window, and prints what the policy learns\n"+
			"from it: function,rank,slice_ms,mean_ms,stdev_ms,n. The slice is what the function\n"+
			"may use in one turn, 0 being the kernel's own; mean, stdev and n are of the turns\n"+
			"that SRPT gave it. With -like=artifact, other defaults than shown hold.")
	flags := newParamFlags(fs, false)
	var load percent
	fs.Var(&load, "load", "CPU utilisation of the cores, in `percent` (default 0)")
	cores := fs.Int("cores", 1, "the records are of `n` cores")
	if code, done := parse(fs, args); done {
		return code
	}
	params, err := flags.Params()
	if err == nil {
		err = checkCores(*cores)
	}
	if err != nil {
		return usage(fs, err)
	}
	rows, err := records.Read("stdin", stdin)
	if err != nil {
		return fail(stderr, err)
	}
	// Of two that arrive together the one with the lower id goes first.
	slices.SortFunc(rows, func(a, b records.Row) int { return cmp.Compare(a.ID, b.ID) })
	p, err := policy.New(params)
	if err != nil {
		return usage(fs, err)
	}
	idle := 0
	for _, r := range rows {
		if r.Burst == 0 {
			idle++
		}
	}
	if idle > 0 {
		fmt.Fprintf(stderr, "stdin: %d rows without CPU time are left out\n", idle)
	}
	decisions := p.Update(records.Window(rows), float64(load), *cores)
	if err := records.WriteDecisions(stdout, decisions); err != nil {
		return fail(stderr, fmt.Errorf("write decisions: %w", err))
	}
	return 0
}
