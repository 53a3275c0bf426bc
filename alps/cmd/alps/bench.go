// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ds2-lab/alps/alps/cost"
	"github.com/ds2-lab/alps/internal/cli"
)

// runBench measures on the running kernel.
func runBench(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	fs := cli.NewFlags("alps bench", stderr, "backend|observer|switch [-n N] [-json]",
		"backend: what the hooks cost per call and per context switch, beside the paper's Table 3.\n"+
			"observer: what the observer costs per context switch, on any kernel.\n"+
			"switch: a context switch alone; it runs on any kernel, to compare one with hooks and one without.")
	n := fs.Int("n", 20_000, "go so many `times` there and back")
	asJSON := fs.Bool("json", false, "of backend and observer: for programs, not for people")
	if len(args) == 0 {
		fs.Usage()
		return 2
	}
	if strings.HasPrefix(args[0], "-") { // -h, or what to measure is missing
		if code, done := cli.Parse(fs, args); done {
			return code
		}
		return cli.Usage(fs, errors.New("want backend, observer or switch before the flags"))
	}
	if code, done := cli.Parse(fs, args[1:]); done {
		return code
	}
	if *n < 1000 {
		return cli.Usage(fs, fmt.Errorf("-n %d: at least 1000", *n))
	}
	if *asJSON && args[0] == "switch" {
		return cli.Usage(fs, errors.New("-json: not of switch, whose output is a line for programs already"))
	}
	switch args[0] {
	case "backend", "observer":
		measure, report := cost.Backend, cost.Report
		if args[0] == "observer" {
			measure, report = cost.Observer, cost.ReportObserver
		}
		phases, err := measure(*n)
		switch {
		case err != nil:
		case *asJSON:
			err = json.NewEncoder(stdout).Encode(phases)
		default:
			err = report(stdout, phases)
		}
		if err != nil {
			return cli.Fail(stderr, err)
		}
		return 0
	case "switch":
		b, err := cost.NewBench()
		if err != nil {
			return cli.Fail(stderr, err)
		}
		defer b.Close()
		s, err := b.Run(*n)
		if err != nil {
			return cli.Fail(stderr, err)
		}
		fmt.Fprintf(stdout, "syscall_ns=%d round_ns=%d switch_ns=%d\n", s.Syscall, s.Round, s.Switch)
		return 0
	}
	return cli.Usage(fs, fmt.Errorf("%q: want backend, observer or switch", args[0]))
}
