// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"

	"github.com/ds2-lab/alps/alps/cmd/policyflags"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/alps/policy/records"
	"github.com/ds2-lab/alps/internal/cli"
)

// runLearn shows what the policy makes of the invocations on stdin.
func runLearn(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	fs := cli.NewFlags("alps learn", stderr, "[-learner avg] [-load 85] [flags] < records.csv",
		"Reads id,function,arrive_ms,burst_ms as one window, and prints what the policy learns\n"+
			"from it: function,rank,slice_ms,mean_ms,stdev_ms,n. The slice is what the function\n"+
			"may use before its siblings are weighed, 0 being the kernel's own; mean, stdev and n are of the on-CPU segments\n"+
			"that SRPT gave it. With -like=artifact, other defaults than shown hold.\n"+
			"With -like=steady prints each function's table instead: function,used_ms,index_ms,slope,\n"+
			"quantum_end_ms, by the CPU time an invocation has used; * is a function that is not known.")
	flags := policyflags.NewALPS(fs, false, true)
	var load policyflags.Percent
	fs.Var(&load, "load", "CPU utilisation of the cores, in `percent` (default 0)")
	cores := fs.Int("cores", 1, "the records are of `n` cores")
	steadyParams := policyflags.NewSteady(fs, false)
	if code, done := cli.Parse(fs, args); done {
		return code
	}
	steady, err := flags.Steady()
	if err != nil {
		return cli.Usage(fs, err)
	}
	if steady {
		fs.Visit(func(f *flag.Flag) {
			if f.Name == "load" || f.Name == "cores" {
				err = errors.Join(err, fmt.Errorf("-%s: not with -like=steady", f.Name))
			}
		})
		if err != nil {
			return cli.Usage(fs, err)
		}
		return learnSteady(*steadyParams, fs, stdin, stdout, stderr)
	}
	params, err := flags.Params()
	if err == nil {
		err = cli.CheckCores(*cores)
	}
	if err != nil {
		return cli.Usage(fs, err)
	}
	rows, err := records.Read("stdin", stdin)
	if err != nil {
		return cli.Fail(stderr, err)
	}
	// Of two that arrive together the one with the lower id goes first.
	slices.SortFunc(rows, func(a, b records.Row) int { return cmp.Compare(a.ID, b.ID) })
	p, err := policy.New(params)
	if err != nil {
		return cli.Usage(fs, err)
	}
	leftOut(rows, stderr)
	decisions := p.Update(records.Window(rows), float64(load), *cores)
	if err := records.WriteDecisions(stdout, decisions); err != nil {
		return cli.Fail(stderr, fmt.Errorf("write decisions: %w", err))
	}
	return 0
}

// leftOut tells of rows that no policy learns from.
func leftOut(rows []records.Row, stderr io.Writer) {
	idle := 0
	for _, r := range rows {
		if r.Burst == 0 {
			idle++
		}
	}
	if idle > 0 {
		fmt.Fprintf(stderr, "stdin: %d rows without CPU time are left out\n", idle)
	}
}

// unknownFunction stands for one that has no records.
const unknownFunction = "*"

// learnSteady shows the tables that steady makes of the invocations on stdin, in
// the order of their arrival.
func learnSteady(params policy.SteadyParams, fs *flag.FlagSet, stdin io.Reader, stdout, stderr io.Writer) int {
	s, err := policy.NewSteady(params)
	if err != nil {
		return cli.Usage(fs, err)
	}
	rows, err := records.Read("stdin", stdin)
	if err != nil {
		return cli.Fail(stderr, err)
	}
	leftOut(rows, stderr)
	slices.SortStableFunc(rows, func(a, b records.Row) int { return cmp.Or(cmp.Compare(a.Arrive, b.Arrive), cmp.Compare(a.ID, b.ID)) })
	for _, r := range rows {
		s.Record(r.Function, r.Burst)
	}
	s.Update()
	for i, f := range append(s.Functions(), unknownFunction) {
		if err := records.WriteTable(stdout, f, s.Table(f), i == 0); err != nil {
			return cli.Fail(stderr, fmt.Errorf("write tables: %w", err))
		}
	}
	return 0
}
