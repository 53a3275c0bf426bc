// SPDX-License-Identifier: Apache-2.0

// Alps-sim simulates workloads under schedulers. It needs no
// kernel and no root, and it is not part of a guest: a change of workloads or
// simulator leaves what was measured in guests as it was.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ds2-lab/alps/alps/cmd/policyflags"
	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/sim"
	"github.com/ds2-lab/alps/experiments"
	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/experiments/simulate"
	"github.com/ds2-lab/alps/internal/cli"
	"github.com/ds2-lab/alps/internal/progress"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	if len(args) == 1 && (args[0] == "-version" || args[0] == "--version") {
		fmt.Fprintln(stdout, cli.Version("alps-sim"))
		return 0
	}
	fs := cli.NewFlags("alps-sim", stderr, "[-workload huawei] [-scheduler cfs,alps] [-machine paper] [-cores 24] [-load 0.9] [-n 15000] [-seed 1] [-out DIR] [flags]",
		"Simulates invocations, and prints per group of functions the turnaround, from\n"+
			"process start to exit, the mean from request to exit, and switches; with -out also\n"+
			"writes DIR/SCHEDULER/{invocations.csv,slices.csv,run.json}.\n"+
			"A workload is huawei, azure, fib15, the path of a workload's YAML, or that of a trace\n"+
			"of lines \"id n function gap port\" with -times. The machine is the paper's as far as that is\n"+
			"known and fitted (docs/fidelity.md); -machine bare costs nothing. Order, step and the flags of the policy alps are for\n"+
			"alps and ghost-alps, those of steady for steady and scx; -order off is for sfs, too. Schedulers:\n\n"+describeSchedulers())
	workload := fs.String("workload", "huawei", "`name` or path")
	times := fs.String("times", "", "CPU times for a trace, a YAML `file`: times: [{function: fib, n: 28, cpu: 100ms}, …]")
	schedulers := fs.String("scheduler", "cfs,alps", "a `list` of schedulers")
	load := fs.Float64("load", 0.9, "of the cores, in (0, 2]")
	n := fs.Int("n", 15000, "`n` invocations")
	out := fs.String("out", "", "write results into this `directory`")
	asJSON := fs.Bool("json", false, "print the table as JSON")
	order := fs.String("order", model.OrderBounded, "off, fifo, strict or bounded")
	gaps := fs.Float64("gaps", 1, "the slice under sfs, in mean gaps between arrivals at one core")
	step := fs.Duration("step", model.DefaultStep, "bias between neighbouring ranks under bounded")
	on := newMachineFlags(fs)
	drain := fs.Duration("drain", 0, "give up so long after the last arrival; 0 is ten times the span of the arrivals")
	flags := policyflags.NewALPS(fs, true, false)
	steady := policyflags.NewSteady(fs, true)
	fs.Lookup("seed").Usage = "of every random choice"
	if code, done := cli.Parse(fs, args); done {
		return code
	}
	params, err := flags.Params()
	machine, machineErr := on.Config()
	machine.Drain = *drain
	names := strings.Split(*schedulers, ",")
	if err := errors.Join(err, machineErr, steady.Validate(), checkSchedulers(names), checkMode(*order, *step, *gaps), checkSize(*load, *n, *drain), checkUsed(fs, flags, names)); err != nil {
		return cli.Usage(fs, err)
	}
	mix, err := config.FindWorkload(experiments.Files, *workload, *times)
	if err != nil {
		return cli.Fail(stderr, err)
	}
	arrivals := simulate.NewArrivals(mix, *load, machine.Cores, *n, params.Seed)
	var jobs []simulate.Job
	for _, name := range names {
		s := sim.Spec{Name: name}
		switch {
		case name == "sfs":
			s.Gaps = *gaps
			if *order == model.OrderOff {
				s.Order = *order
			}
		case config.FollowsPolicy(name):
			s.Order, s.Step, s.Params = *order, *step, params
		case followsSteady(name):
			s.Steady = *steady
		}
		jobs = append(jobs, simulate.Job{Arrivals: arrivals, Machine: machine, Scheduler: s})
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	rows := make([]simRow, len(jobs))
	err = simulate.Run(ctx, jobs, progress.New(stderr), func(i int, r results.Result) error {
		rows[i] = newSimRow(r)
		if *out == "" {
			return nil
		}
		return results.Write(filepath.Join(*out, r.Run.Scheduler), r)
	})
	if ctx.Err() != nil {
		return cli.Fail(stderr, errors.New("interrupted"))
	}
	if err != nil {
		return cli.Fail(stderr, err)
	}
	print := printSim
	if *asJSON {
		print = printSimJSON
	}
	if err := print(stdout, arrivals, rows); err != nil {
		return cli.Fail(stderr, fmt.Errorf("write table: %w", err))
	}
	code := 0
	for _, r := range rows {
		if len(r.Invalid) > 0 {
			code = cli.Fail(stderr, fmt.Errorf("%s: not valid: %s", r.Scheduler, strings.Join(r.Invalid, "; ")))
		}
	}
	return code
}

func checkSchedulers(names []string) error {
	for i, name := range names {
		if !slices.Contains(sim.Names(), name) {
			return fmt.Errorf("scheduler: %q is none of %s", name, strings.Join(sim.Names(), ", "))
		}
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("scheduler: %q is there twice", name)
		}
	}
	return nil
}

// followsSteady says whether a scheduler has policy.SteadyParams.
func followsSteady(scheduler string) bool { return scheduler == config.Steady || scheduler == "scx" }

// checkUsed refuses flags that no scheduler goes by of those that are simulated.
func checkUsed(fs *flag.FlagSet, flags *policyflags.ALPS, names []string) error {
	alps, sfs := slices.ContainsFunc(names, config.FollowsPolicy), slices.Contains(names, "sfs")
	errs := []error{flags.Unused(alps, slices.ContainsFunc(names, followsSteady))}
	fs.Visit(func(f *flag.Flag) {
		switch {
		case f.Name == "step" && !alps:
			errs = append(errs, errors.New("-step: for alps and ghost-alps; none is in -scheduler"))
		case f.Name == "order" && !alps && !(sfs && f.Value.String() == model.OrderOff):
			errs = append(errs, errors.New("-order: for alps and ghost-alps, and off for sfs; none is in -scheduler"))
		case f.Name == "gaps" && !sfs:
			errs = append(errs, errors.New("-gaps: for sfs; it is not in -scheduler"))
		}
	})
	return errors.Join(errs...)
}

func describeSchedulers() string {
	var b strings.Builder
	for _, name := range sim.Names() {
		fmt.Fprintf(&b, "  %-11s  %s\n", name, sim.Describe(name))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func checkMode(order string, step time.Duration, gaps float64) error {
	var errs []error
	if !slices.Contains(model.Orders(), order) {
		errs = append(errs, fmt.Errorf("order: %q is none of %s", order, strings.Join(model.Orders(), ", ")))
	}
	if !(gaps > 0 && gaps <= config.MaxGaps) {
		errs = append(errs, fmt.Errorf("gaps: %v is outside (0, %g]", gaps, config.MaxGaps))
	}
	if step < time.Microsecond || step > config.MaxStep {
		errs = append(errs, fmt.Errorf("step: %s is outside [1us, %s]", step, config.MaxStep))
	}
	return errors.Join(errs...)
}

func checkSize(load float64, n int, drain time.Duration) error {
	var errs []error
	if drain < 0 || drain > config.MaxDrain {
		errs = append(errs, fmt.Errorf("drain: %s is outside [0s, %s]", drain, config.MaxDrain))
	}
	if !(load > 0 && load <= 2) {
		errs = append(errs, fmt.Errorf("load: %v is outside (0, 2]", load))
	}
	if n < 1 || n > config.MaxInvocations {
		errs = append(errs, fmt.Errorf("n: %d is outside [1, %d]", n, config.MaxInvocations))
	}
	return errors.Join(errs...)
}

// simRow is what is printed of one scheduler.
type simRow struct {
	Scheduler string     `json:"scheduler"`
	Load      float64    `json:"load_achieved"`
	Invalid   []string   `json:"invalid"`
	Groups    []simGroup `json:"groups"`
}

// simGroup is a results.Summary of at least one invocation.
type simGroup struct {
	Group    string  `json:"group"`
	N        int     `json:"n"`
	P50      float64 `json:"p50_ms"`
	P75      float64 `json:"p75_ms"`
	P90      float64 `json:"p90_ms"`
	P99      float64 `json:"p99_ms"`
	Mean     float64 `json:"mean_ms"`
	EndToEnd float64 `json:"request_to_exit_ms"`
	Switches float64 `json:"switches"`
}

func newSimRow(r results.Result) simRow {
	row := simRow{Scheduler: r.Run.Scheduler, Load: r.Run.LoadAchieved, Invalid: r.Run.Invalid, Groups: []simGroup{}}
	for _, s := range results.Summarize(r.Invocations) {
		if s.N > 0 {
			row.Groups = append(row.Groups, simGroup(s))
		}
	}
	return row
}

func printSim(w io.Writer, arrivals *simulate.Arrivals, rows []simRow) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d invocations, %d cores, load %g, seed %d; turnaround in ms, mean from request to exit in ms, switches per invocation\n\n",
		arrivals.Workload, len(arrivals.Invocations), arrivals.Cores, arrivals.Load, arrivals.Seed)
	fmt.Fprintf(&b, "%-11s  %-5s  %7s  %9s  %9s  %9s  %9s  %9s  %9s  %8s\n", "scheduler", "group", "n", "p50", "p75", "p90", "p99", "mean", "request", "switches")
	for _, r := range rows {
		for _, g := range r.Groups {
			fmt.Fprintf(&b, "%-11s  %-5s  %7d  %9.1f  %9.1f  %9.1f  %9.1f  %9.1f  %9.1f  %8.2f\n", r.Scheduler, g.Group, g.N, g.P50, g.P75, g.P90, g.P99, g.Mean, g.EndToEnd, g.Switches)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func printSimJSON(w io.Writer, _ *simulate.Arrivals, rows []simRow) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "\t")
	return enc.Encode(rows)
}
