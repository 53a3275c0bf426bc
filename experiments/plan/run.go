// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	alpsclient "github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/experiments/trace"
	"github.com/ds2-lab/alps/internal/digest"
	"github.com/ds2-lab/alps/vm"
)

// Run is one measurement: a scheduler that is given a workload at a load in a
// round. It belongs to no experiment, for several show the same run.
type Run struct {
	Workload     string
	Load         float64 // CPU time demanded / CPU time of the functions' CPUs
	Seed         uint64
	Round        int // from 1
	Classes      []trace.Class
	Rows         []trace.Row
	ClientFactor float64 // of the workload; see config.Workload
	Factor       float64 // by which the classes' CPU times are multiplied
	Mode         alpsclient.Mode
	Guest        guest.Variant
	Command      string         // of a program that decides, by sched_ext; "": no such program
	Dir          string         // to which the command's path is relative
	Program      *guest.Program // of Command, once it was read
	Unit         int            // of the plan: runs of one unit are compared, and stay on one host

	Arrivals string // digest of the requests to come: the same for all series of a part in one kind of guest at one workload, load and round
	Key      string // names the result; set by SetKey or SetImpossible

	experiment string         // that asked for the run first
	shown      results.Series // what that experiment shows it as
}

// modeOf is the mode that the load generator gives the daemon. Values that a
// series leaves out are written out, so that equal series have equal modes.
// agent says whether a process in user space decides, and not the kernel.
func modeOf(x config.VMSpec) (m alpsclient.Mode, agent bool) {
	m = alpsclient.Mode{Policy: x.Scheduler}
	switch {
	case x.Scheduler == config.Steady:
		m.Steady = &x.Steady
	case config.FollowsPolicy(x.Scheduler):
		m.Order, m.Step, m.Params = x.Order, x.Step.String(), &x.Params
	}
	return m, x.Delegated
}

// Scheduler is the name of the scheduler in results.
func (r Run) Scheduler() string {
	if r.Command != "" {
		return filepath.Base(strings.Fields(r.Command)[0])
	}
	if r.Guest.Agent {
		return "ghost-" + r.Mode.Policy
	}
	if r.Guest.Backend != "" {
		return r.Mode.Policy + "-" + r.Guest.Backend
	}
	return r.Mode.Policy
}

// SetKey names the run by everything that makes it. a is the guest's artifacts,
// with the run's variant.
func (r *Run) SetKey(a guest.Artifacts) error {
	mode, err := json.Marshal(r.Mode)
	if err != nil {
		return err
	}
	setUp, err := a.SetUp()
	if err != nil {
		return err
	}
	program := ""
	if r.Program != nil {
		program = r.Command + " " + r.Program.Digest
	}
	sum, err := digest.New("run/4").Str("kernel", a.Kernel.Key).Str("image", a.Image.Digest).Str("tools", a.ToolsDigest).
		Str("accel", string(a.Accel)).Str("qemu", a.QEMU.Key).Str("deployment", a.Deployment()).Str("set up", setUp).Str("platform", fmt.Sprint(a.PlatformModelled)).Str("backend", r.Guest.Backend).Str("cpus", fmt.Sprint(a.CPUs)).Str("mode", string(mode)).Str("program", program).Str("arrivals", r.Arrivals).Sum()
	if err != nil {
		return err
	}
	r.Key = r.name() + "-" + sum[:12]
	return nil
}

// SetImpossible gives the run a key that no result has, so that it is shown as
// missing.
func (r *Run) SetImpossible() { r.Key = r.name() + "-impossible" }

// name is the readable part of the key. Runs that differ only in parameters or guest
// have the same.
func (r Run) name() string {
	return fmt.Sprintf("%s-%s-%.0f-r%d", r.Scheduler(), r.Workload, 100*r.Load, r.Round)
}

// Label names a run for people, as the experiment that asked for it first shows it.
func (r Run) Label() string {
	return r.shown.String()
}

// Kind is the same for runs that take about the same time under an accelerator, in
// guests with so many CPUs where the run's variant does not say how many.
func (r Run) Kind(accel vm.Accel, cpus int) string {
	cpus = cmp.Or(r.Guest.CPUs, cpus)
	kind := fmt.Sprintf("%s %s %g %dx%g %s %d", r.Scheduler(), r.Workload, r.Load, len(r.Rows), r.Factor, accel, cpus)
	if r.Guest.Deployment != "" {
		kind += " " + r.Guest.Deployment
	}
	return kind
}

// perRun is the time that a run takes beside its trace: the guest resumes, waits for a
// multiple of the load generator's period, and the load generator for the last events.
const perRun = 5 * time.Second

// vtimeSlowdown is how many seconds of the host's CPU time a CPU-second of the
// functions takes in virtual time, on so many CPUs: measured were 1.8 on 4 CPUs
// on a quiet host, and 3.4 on 24 (docs/virtual-time.md).
func vtimeSlowdown(functionCPUs int) float64 { return 1.5 + 0.08*float64(functionCPUs) }

// estimate is how long a run takes on the host that profiles.yaml speaks of, if no run
// was measured: the time that the trace covers, and perRun. In virtual time it is the
// host's CPU time, which follows from the CPU time of functions and platform.
func (r Run) estimate(accel vm.Accel, cpus int) time.Duration {
	var cpu time.Duration
	for _, row := range r.Rows {
		cpu += time.Duration(float64(r.Classes[row.Class].CPU) * r.Factor)
	}
	functions := guest.FunctionCPUs(cmp.Or(r.Guest.CPUs, cpus))
	if accel == vm.VTime {
		cpu += time.Duration(len(r.Rows)) * r.Guest.PlatformTime()
		return time.Duration(vtimeSlowdown(functions)*float64(cpu)) + perRun
	}
	return time.Duration(float64(cpu)/r.Load/float64(functions)) + perRun
}

// Expected is about how long a run takes, as PutRun counts: as long as its kind took
// before (measured), else the estimate times the factor of other runs on this host.
func (r Run) Expected(accel vm.Accel, cpus int, past *History) (d time.Duration, measured bool) {
	if d, ok := past.Get(r.Kind(accel, cpus)); ok {
		return d, true
	}
	factor, ok := past.median(factorKind(accel))
	if !ok {
		factor = 1
	}
	return time.Duration(factor * float64(r.estimate(accel, cpus))), false
}
