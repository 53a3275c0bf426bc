// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ds2-lab/alps/alps/backend"
	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/cmd/policyflags"
	"github.com/ds2-lab/alps/alps/daemon"
	"github.com/ds2-lab/alps/alps/host"
	"github.com/ds2-lab/alps/internal/cli"
	"github.com/ds2-lab/alps/internal/cpulist"
)

// runDaemon runs until SIGINT or SIGTERM, then leaves the kernel to CFS.
func runDaemon(args []string, _ io.Reader, _, stderr io.Writer) int {
	fs := cli.NewFlags("alps run", stderr, "[flags]", "Runs the daemon. It needs root. It steers a kernel with the ALPS hooks, or one with sched_ext (from 6.12 on) by a scheduler that\n"+
		"it loads once there is a function: that takes over all tasks of the machine, or only functions' where -cpus are theirs alone, and says so.\n"+
		"alps mode -policy cfs or the daemon's end give them back. On any other kernel invocations are only observed; the log and alps status say why.\n"+
		"Without -policy the policy is steady, of this project; -policy alps is the paper's (docs/policy.md).")
	mode := policyflags.NewMode(fs)
	socket := fs.String("socket", client.DefaultSocket, "listen on this unix `path`, for root only")
	docker := fs.String("docker", "", "Docker's `address`; empty: from the environment; none: register cgroups by hand")
	pin := fs.String("pin", daemon.DefaultPin, "a `directory` on a BPF file system, from which a daemon that was killed is resumed")
	hooks := fs.Bool("hooks", false, "attach the hooks now, if the kernel has them, even if the policy is cfs; attaching later disturbs what runs")
	via := fs.String("backend", backend.NameAuto, "how the policy reaches the kernel: `hooks` in CFS; scx, a sched_ext scheduler; auto: hooks where the kernel has them, else sched_ext where no other such scheduler is in charge, else functions are observed only")
	reload := fs.Bool("reload", true, "with scx: load the scheduler again when the kernel has ended it, after a second and later each time; false: at the next alps mode")
	delegated := fs.Bool("delegated", false, "leave the hooks alone: alps-ghost, a scheduler in user space, acts on the policies")
	cgroups := fs.String("cgroups", "", "also take cgroups for functions whose paths match these `patterns`, with commas between: kubernetes, faasd, firecracker, or as functions.slice/{uid}.service")
	source := fs.String("source", client.SourceAuto, "what an invocation is, of functions that do not say: process, a forked one; busy, a busy period of a process that lives on; or auto, found out: docs/observer.md")
	cpus := fs.String("cpus", "", "the functions' CPUs, a `list` such as 1-3; empty: all")
	if code, done := cli.Parse(fs, args); done {
		return code
	}
	if err := checkBackendFlags(fs, *via, *delegated); err != nil {
		return cli.Usage(fs, err)
	}
	m, byDefault, err := daemonMode(mode, *delegated)
	if err != nil {
		return cli.Usage(fs, err)
	}
	list, err := cpulist.Parse(*cpus)
	if err == nil {
		err = host.This.CheckCPUs(list)
	}
	if err == nil {
		err = daemon.CheckSource(*source)
	}
	patterns := strings.FieldsFunc(*cgroups, func(r rune) bool { return r == ',' })
	if err == nil {
		err = daemon.CheckCgroups(patterns)
	}
	if err != nil {
		return cli.Usage(fs, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(stderr, nil))
	if byDefault != "" {
		log.Info("no -policy is given", "policy", byDefault, "the paper's", "-policy alps")
	}
	err = daemon.Run(ctx, daemon.Config{Mode: m, Socket: *socket, Docker: *docker, CPUs: list, Pin: *pin, Hooks: *hooks, Delegated: *delegated, Source: *source, Cgroups: patterns,
		Backend: *via, NoReload: !*reload, Log: log})
	if err != nil {
		return cli.Fail(stderr, err)
	}
	return 0
}

// checkBackendFlags refuses a backend that is none, and flags that say nothing to the one
// that is asked for.
func checkBackendFlags(fs *flag.FlagSet, via string, delegated bool) (err error) {
	if !slices.Contains(backend.Names(), via) {
		return fmt.Errorf("-backend %s: allowed: %s", via, strings.Join(backend.Names(), ", "))
	}
	fs.Visit(func(f *flag.Flag) {
		switch {
		case delegated && (f.Name == "backend" || f.Name == "hooks" || f.Name == "reload"):
			err = errors.Join(err, fmt.Errorf("-%s: not with -delegated, which leaves all to a scheduler in user space", f.Name))
		case f.Name == "reload" && via == backend.NameHooks:
			err = errors.Join(err, errors.New("-reload: of the sched_ext scheduler, not with -backend hooks"))
		}
	})
	return err
}

// daemonMode is the mode that the flags ask for. If they name no policy, byDefault is the
// one there is then. The mode has no name of it where the daemon may do without: a kernel
// that cannot be steered is observed.
func daemonMode(mode func(string) (client.Mode, bool, error), delegated bool) (m client.Mode, byDefault string, err error) {
	byDefault = daemon.DefaultPolicy
	if delegated {
		byDefault = client.PolicyALPS // alps-ghost knows no tables
	}
	m, chosen, err := mode(byDefault)
	if chosen {
		return m, "", err
	}
	if !delegated {
		m.Policy = ""
	}
	return m, byDefault, err
}

// runMode switches a running daemon.
func runMode(args []string, _ io.Reader, _, stderr io.Writer) int {
	fs := cli.NewFlags("alps mode", stderr, "[flags]", "Switches what decides. The daemon forgets what it had learnt.")
	mode := policyflags.NewMode(fs)
	socket := fs.String("socket", "", "the daemon's `socket`")
	if code, done := cli.Parse(fs, args); done {
		return code
	}
	m, chosen, err := mode(daemon.DefaultPolicy)
	if err != nil {
		return cli.Usage(fs, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := client.New(*socket).SetMode(ctx, m); err != nil {
		return cli.Fail(stderr, err)
	}
	if !chosen {
		fmt.Fprintf(stderr, "the policy is %s: the default; -policy alps is the paper's\n", m.Policy)
	}
	return 0
}
