// SPDX-License-Identifier: Apache-2.0

// Alps schedules serverless functions.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/ds2-lab/alps/alps/cost"
	"github.com/ds2-lab/alps/internal/cli"
)

// command is one subcommand. It returns the exit code.
type command struct {
	name, what string
	run        func(args []string, stdin io.Reader, stdout, stderr io.Writer) int
}

func commands() []command {
	return []command{
		{"run", "the daemon: learn from this host's invocations, steer its kernel", runDaemon},
		{"status", "what the daemon believes", runStatus},
		{"policy", "the policy that counts; set it by hand", runPolicyMap},
		{"mode", "switch the daemon between steady, alps, sfs, manual and cfs", runMode},
		{"trial", "whether a policy helps the functions of this host", runTrial},
		{"bench", "what the hooks cost on this kernel", runBench},
		{"srpt", "schedule invocations by SRPT", runSRPT},
		{"learn", "ranks and slices from invocations", runLearn},
	}
}

func main() {
	cost.Main()
	os.Exit(dispatch(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func dispatch(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	help := func(w io.Writer) {
		fmt.Fprint(w, "usage: alps COMMAND [flags]; alps COMMAND -h explains, alps --version\n\n")
		for _, c := range commands() {
			fmt.Fprintf(w, "  %-8s %s\n", c.name, c.what)
		}
	}
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" || args[0] == "help" {
		help(stdout)
		return 0
	}
	if args[0] == "version" || args[0] == "-version" || args[0] == "--version" {
		fmt.Fprintln(stdout, cli.Version("alps"))
		return 0
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(args[1:], stdin, stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "alps: unknown command %q\n", args[0])
	help(stderr)
	return 2
}
