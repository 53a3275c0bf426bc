// SPDX-License-Identifier: Apache-2.0

// Package demo shows in minutes what a scheduler that knows functions does: it sends
// the same short burst of requests under the kernel's scheduler and under steady, on
// Debian's own kernel, in a guest with one CPU for the functions.
//
// The demo shows and does not measure: there is one run under each scheduler.
// Experiments measure (package execute).
package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	alpsclient "github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/experiments/loadgen"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/vm"
)

// Kernel is the guest's kernel in kernels.yaml: one that need not be compiled.
const Kernel = "7.3"

// cpus are the guest's: one for system, worker and client, one for the functions.
const cpus = 2

// schedulers are what the burst is replayed under, in this order.
var schedulers = []struct {
	name string
	mode alpsclient.Mode
}{
	{"EEVDF", alpsclient.Mode{Policy: "cfs"}}, // the daemon only observes
	{"steady", alpsclient.Mode{Policy: "steady"}},
}

// Options say where the demo runs and writes. Root and Out are required.
type Options struct {
	Root     string   // of the repository
	Accel    vm.Accel // "": KVM where it works, else virtual time
	Progress *progress.Reporter
	Out      io.Writer // of the table
}

// Run prepares the guest, replays the burst under each scheduler, and writes
// the table.
func Run(ctx context.Context, o Options) error {
	a, err := guest.Prepare(ctx, guest.Options{Root: o.Root, Kernel: Kernel, Accel: o.Accel, Virtual: true, CPUs: cpus, Progress: o.Progress})
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	// Debian's kernel has no hooks; a guest without sched_ext must be an error.
	if a, err = a.Variant(ctx, guest.Variant{Backend: config.BackendSCX}); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	g, err := a.Acquire(ctx, ports())
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer g.Close()
	reqs, demand, err := burst(g.Costs)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	var runs []outcome
	for _, s := range schedulers {
		step := o.Progress.Step("burst under "+s.name, 0, 0)
		invocations, err := replay(ctx, g, s.mode, reqs, step)
		if err != nil {
			return fmt.Errorf("demo: %s: %w", s.name, err)
		}
		step.Done("")
		runs = append(runs, outcome{s.name, invocations})
	}
	fmt.Fprintf(o.Out, "\n%d requests within %s for one CPU, which needs %s for them.\nLinux %s as Debian ships it, %s.\n\n",
		len(reqs), span, progress.Round(demand), g.Info.KernelRelease, accelName(a.Accel))
	return table(o.Out, runs)
}

func accelName(a vm.Accel) string {
	if a == vm.KVM {
		return "under KVM"
	}
	return "emulated: compare the columns, not the milliseconds with those of other hosts"
}

// replay sends reqs to the guest's worker while the daemon is in mode.
func replay(ctx context.Context, g *guest.Guest, mode alpsclient.Mode, reqs []loadgen.Request, step *progress.Step) ([]results.Invocation, error) {
	arg, err := json.Marshal(mode)
	if err != nil {
		return nil, err
	}
	out, err := g.Do(ctx, "replay", string(arg), nil, reqs, step)
	if err != nil {
		return nil, err
	}
	head, body, _ := bytes.Cut(out, []byte("\n"))
	var o loadgen.Outcome
	if err := json.Unmarshal(head, &o); err != nil {
		return nil, fmt.Errorf("alps-loadgen: %w", err)
	}
	if o.Failed > 0 || o.Lost > 0 || len(o.Broken) > 0 {
		return nil, fmt.Errorf("%d requests failed, %d invocations were not reported: %v %v", o.Failed, o.Lost, o.Errors, o.Broken)
	}
	return results.ReadCSV("alps-loadgen", bytes.NewReader(body))
}
