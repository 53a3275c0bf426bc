// SPDX-License-Identifier: Apache-2.0

// Command alps-ghost schedules functions from user space, by sched_ext: what
// ghOSt's agent is to ALPS in the paper.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/ghost"
	"github.com/ds2-lab/alps/alps/host"
	"github.com/ds2-lab/alps/internal/cpulist"
)

func main() {
	socket := flag.String("socket", client.DefaultSocket, "the `socket` of a daemon that runs with -delegated")
	cpus := flag.String("cpus", "", "the functions' CPUs, a `list` such as 1-3")
	flag.Parse()
	if err := run(*socket, *cpus, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "alps-ghost:", err)
		os.Exit(1)
	}
}

func run(socket, cpus string, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q", args[0])
	}
	list, err := cpulist.Parse(cpus)
	if err == nil {
		err = host.This.CheckCPUs(list)
	}
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return ghost.Run(ctx, ghost.Config{Socket: socket, CPUs: list, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
}
