// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/experiments/simulate"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/vm"
)

// Step is one run of a plan.
type Step struct {
	Experiment  string
	Engine      string
	Label       string
	Unit        int // steps of one unit stay on one host; from 0
	Invocations int // 0: of engine host
	Expected    time.Duration
	Measured    bool          // Expected is what such a step took on this host before
	Guest       guest.Variant // of engine vm
}

// Plan describes what execute.Run would do.
type Plan struct {
	Name    string // of the experiment, or all
	Engine  string // as in Options
	Profile config.Profile
	Accel   vm.Accel // under which guests take the times expected
	CPUs    int      // of the guests
	Steps   []Step
	Units   int           // how many there are
	Jobs    int           // guests side by side
	SetUp   time.Duration // boot, functions and calibration, once per kind of guest

	ready bool // the usual guest is set up already

	asked  asked // as in Options
	guests bool  // something runs in a guest
}

// asked is what Options say of the hosts' guests; zero values leave it to each host.
type asked struct {
	accel      vm.Accel
	cpus, jobs int
}

const (
	// simGuess is the time of an invocation of a simulated run: 15,000 take about 0.2 s.
	simGuess = 15 * time.Microsecond
	// hostGuess is the time of a table that package simulate computes without simulating.
	hostGuess = 5 * time.Second
	// setUpGuess is the time of boot, fifteen functions and a calibration under emulation.
	setUpGuess = 75 * time.Second
	// bytesPerInvocation is the size of a row of invocations.csv; measured: 88 to 96.
	bytesPerInvocation = 95
	// bytesPerStep is the size of run.json and slices.csv.
	bytesPerStep = 24 << 10
	// cacheGiB is the size of kernel, image and compiler cache, and buildGiB that of
	// a build of the kernel beside them; both as measured for 6.1.
	cacheGiB, buildGiB = 4, 3
)

// New validates what execute.Run would do, and describes it.
func New(ctx context.Context, name string, o Options) (Plan, error) {
	p := Plan{Name: name, Engine: o.Engine, asked: asked{o.Guest.Accel, o.Guest.CPUs, o.Jobs}}
	p.Accel, p.CPUs = o.Machine()
	p.Jobs = o.Guests(p.Accel)
	selected, err := Select(name, o)
	if err != nil {
		return p, err
	}
	p.Profile = selected.Profile
	set, err := NewRunSet(selected.Measured, selected.Profile, guest.FunctionCPUs(p.CPUs))
	if err != nil {
		return p, err
	}
	past := OpenHistory()
	p.SetUp = setUpGuess
	if took, ok := past.Get(SetUpKind(p.Accel)); ok {
		p.SetUp = took
	}
	p.ready = o.Artifacts != nil && o.Artifacts.IsSetUp(ctx)
	p.guests = len(set.Runs) > 0
	for _, r := range set.Runs {
		s := Step{Experiment: r.experiment, Engine: results.EngineVM, Label: r.Label(), Unit: r.Unit, Invocations: len(r.Rows), Guest: r.Guest}
		s.Expected, s.Measured = r.Expected(p.Accel, p.CPUs, past)
		p.Steps = append(p.Steps, s)
	}
	p.Units = set.Units
	simulated, err := simulate.Steps(selected.Simulated)
	if err != nil {
		return p, err
	}
	perInvocation, measured := past.Get(SimulatedKind)
	for _, x := range simulated {
		s := Step{Experiment: x.Experiment, Engine: results.EngineSim, Label: x.Label, Unit: p.Units, Invocations: x.Invocations,
			Expected: cmp.Or(perInvocation, simGuess) * time.Duration(x.Invocations), Measured: measured}
		if x.Invocations == 0 {
			s.Engine, s.Expected, s.Measured = results.EngineHost, hostGuess, false
		}
		p.Steps = append(p.Steps, s)
		p.Units++
	}
	return p, nil
}

// Expected is about how long the longest of so many shards takes on a host that does
// nothing else, without building kernel, image and programs.
func (p Plan) Expected(shards int) time.Duration {
	var longest time.Duration
	for i := range shards {
		var measured, simulated time.Duration
		setUps := map[guest.Variant]bool{}
		for _, s := range p.Steps {
			switch {
			case !(Shard{i + 1, shards}).Has(s.Unit):
			case s.Engine == results.EngineVM:
				measured += s.Expected
				setUps[s.Guest] = !p.ready || s.Guest != guest.Variant{}
			default:
				simulated += s.Expected
			}
		}
		// No run begins before the first guest is set up; the others are set up beside
		// runs.
		n := 0
		for _, needed := range setUps {
			if needed {
				n++
			}
		}
		if n > 0 {
			measured += p.SetUp * time.Duration(n-1+p.Jobs)
		}
		longest = max(longest, measured/time.Duration(p.Jobs)+simulated)
	}
	return longest
}

// snapshotsGiB is the size of the snapshots that runs in virtual time go on from, one for
// every kind of guest; 0 under another accelerator.
func (p Plan) snapshotsGiB() int {
	kinds := map[guest.Variant]bool{}
	for _, s := range p.Steps {
		if s.Engine == results.EngineVM && p.Accel == vm.VTime {
			kinds[s.Guest] = true
		}
	}
	return (len(kinds)*vm.SnapshotMiB + 1023) / 1024
}

// Guests reports whether anything runs in a guest.
func (p Plan) Guests() bool { return p.guests }

// Bytes is about the size of the results.
func (p Plan) Bytes() (n int64) {
	for _, s := range p.Steps {
		n += bytesPerStep + bytesPerInvocation*int64(s.Invocations)
	}
	return n
}

// Write prints the plan for people.
func (p Plan) Write(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	measured := 0
	for i, s := range p.Steps {
		size := "computed"
		if s.Invocations > 0 {
			size = fmt.Sprintf("%d invocations", s.Invocations)
		}
		if s.Measured {
			measured++
		}
		where := s.Engine
		if s.Guest.Deployment != "" {
			where += ", deployment " + s.Guest.Deployment
		}
		fmt.Fprintf(tw, "%d/%d\t%s\t%s\t%s\t%s\tabout %s\n", i+1, len(p.Steps), s.Experiment, where, s.Label, size, progress.Round(s.Expected))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s\n", p.Summary())
	fmt.Fprintf(w, "Of these times %d were measured on this host, the others are estimates; the sum is for a host that does nothing else.\n", measured)
	if !p.Guests() {
		return nil
	}
	fmt.Fprintf(w, "Before that, once: kernel, disk image and tools (minutes; %d GiB of cache, %d more while a kernel is built).\n", cacheGiB, buildGiB)
	if n := p.snapshotsGiB(); n > 0 {
		fmt.Fprintf(w, "Snapshots of the guests take up to %d GiB.\n", n)
	}
	fmt.Fprintf(w, "Profile %s: %d invocations, %d rounds, CPU times × %g", p.Profile.Name.V, p.Profile.Invocations.V, p.Profile.Rounds.V, p.Profile.TimeFactor.V)
	if r := p.Profile.Restriction(); r != "" {
		fmt.Fprintf(w, "; of %s no others run", r)
	}
	if m := minutes(p.Profile); m != "" {
		fmt.Fprintf(w, "; everything on 2 CPUs takes about %s", m)
	}
	fmt.Fprint(w, ".\n\n")
	args, err := vm.Plan(vm.Config{Kernel: "BZIMAGE", Disk: "DISK.qcow2", Tools: "TOOLS.raw", Accel: p.Accel, QEMU: "QEMU", CPUs: p.CPUs})
	if err != nil {
		return err
	}
	fmt.Fprintln(w, strings.Join(args, " "))
	return nil
}

// Summary says in one line how many steps there are, how long they take and how large
// their results are.
func (p Plan) Summary() string {
	line := fmt.Sprintf("%d steps, about %s", len(p.Steps), progress.Round(p.Expected(1)))
	if p.Guests() {
		line += fmt.Sprintf(" with %s and %d CPUs", p.Accel, p.CPUs)
		if p.Jobs > 1 {
			line += fmt.Sprintf(", %d guests side by side", p.Jobs)
		}
	}
	return line + fmt.Sprintf(", %.1f MiB of results", float64(p.Bytes())/(1<<20))
}

// minutes lists the Minutes of a profile by accelerator.
func minutes(p config.Profile) string {
	var list []string
	for _, a := range []vm.Accel{vm.KVM, vm.TCG, vm.VTime} {
		if m, ok := p.Minutes[string(a)]; ok {
			list = append(list, fmt.Sprintf("%d minutes under %s", m.V, a))
		}
	}
	return strings.Join(list, ", ")
}
