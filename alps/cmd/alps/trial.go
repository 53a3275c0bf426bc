// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/cmd/policyflags"
	"github.com/ds2-lab/alps/alps/trial"
	"github.com/ds2-lab/alps/internal/cli"
	"github.com/ds2-lab/alps/internal/progress"
)

// runTrial compares two policies on this host.
func runTrial(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	fs := cli.NewFlags("alps trial", stderr, "[-a cfs] [-b steady] [-rounds 6] [-each 2m] [-settle 20s] [-json]",
		"Does a policy help the functions of this host, and which of them? Switches the running daemon to and fro between two\n"+
			"policies and compares the turnarounds of the invocations that end meanwhile, per function: better, worse, or no\n"+
			"difference shown. It takes rounds × 2 × each. A policy that the daemon has now keeps its parameters; another one has\n"+
			"those of alps mode -policy NAME. At the end, and on Ctrl-C, the daemon gets back the mode of before; Ctrl-C prints\n"+
			"what is known so far. How to read the output: docs/host.md.")
	config := trial.Default()
	names := "the policy `name`: " + strings.Join(client.Policies(), ", ")
	fs.StringVar(&config.A, "a", config.A, names+"; cfs steers nothing")
	fs.StringVar(&config.B, "b", config.B, names+"; it is compared with -a")
	fs.IntVar(&config.Rounds, "rounds", config.Rounds, "a period of either policy so many `times`, in the order a b, b a, and so on")
	fs.DurationVar(&config.Each, "each", config.Each, "how long a period is")
	fs.DurationVar(&config.Settle, "settle", config.Settle, "do not count who arrives so soon after a switch: the policy learns anew")
	socket := fs.String("socket", "", "the daemon's `socket`")
	asJSON := fs.Bool("json", false, "print JSON")
	if code, done := cli.Parse(fs, args); done {
		return code
	}
	if err := config.Check(); err != nil {
		return cli.Usage(fs, err)
	}
	unlock, err := onlyTrial(*socket)
	if err != nil {
		return cli.Fail(stderr, err)
	}
	defer unlock()
	ctx, stop := untilEnded()
	defer stop()
	t := trial.Trial{Config: config, Daemon: client.New(*socket), Default: namedMode, Socket: *socket, Progress: progress.New(stderr)}
	report, err := t.Run(ctx)
	if report != nil {
		if *asJSON {
			if code := printJSON(stdout, stderr, report); code != 0 {
				return code
			}
		} else if printed := report.Print(stdout); printed != nil {
			err = errors.Join(err, fmt.Errorf("print what came out: %w", printed))
		}
	}
	if err != nil {
		return cli.Fail(stderr, err)
	}
	return 0
}

// onlyTrial keeps other trials of the daemon at socket away until unlock is called or this
// process ends: the second would take the first's mode for that of before. The lock is a
// socket without a file (unix(7), abstract).
func onlyTrial(socket string) (unlock func() error, err error) {
	path, err := filepath.Abs(cmp.Or(socket, client.DefaultSocket))
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", fmt.Sprintf("@alps-trial-%x", sha256.Sum256([]byte(path))))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, errors.New("another alps trial of this daemon is running: wait until it is over")
	} else if err != nil {
		return nil, fmt.Errorf("keep other trials away: %w", err)
	}
	return l.Close, nil
}

// untilEnded is a context until somebody ends the command. A terminal that hangs up, or
// a reader of the output that is gone, does not kill it before the daemon's mode is restored.
func untilEnded() (context.Context, context.CancelFunc) {
	signal.Ignore(syscall.SIGPIPE)
	ends := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		ends = append(ends, syscall.SIGHUP)
	}
	return signal.NotifyContext(context.Background(), ends...)
}

// namedMode is what alps mode -policy NAME asks for.
func namedMode(policy string) (client.Mode, error) {
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	read := policyflags.NewMode(fs)
	if err := fs.Parse([]string{"-policy", policy}); err != nil {
		return client.Mode{}, err
	}
	m, _, err := read(policy)
	return m, err
}
