package runner

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	alpsclient "github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/experiments/load"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/experiments/simulate"
	"github.com/ds2-lab/alps/experiments/spec"
	"github.com/ds2-lab/alps/experiments/trace"
	"github.com/ds2-lab/alps/internal/digest"
	"github.com/ds2-lab/alps/vm"
)

// run is something to measure: a scheduler that is given a workload at a load in
// a round. It knows no experiment, for several show the same run.
type run struct {
	workload string
	load     float64
	seed     uint64
	round    int
	classes  []trace.Class
	rows     []trace.Row
	factor   float64 // of CPU times
	mode     alpsclient.Mode
	at       place
	unit     int    // of the plan
	owner    string // the experiment that asked for it first
	title    string // what that calls it

	work string // digest of what arrives
	key  string // once the place is there
}

// place is what a run needs of a guest that is not usual.
type place struct {
	kernel string // in kernels.yaml
	worker string // the path of another ol
	agent  bool   // decides in user space

	deployment string // of package spec; "": apart
}

// shown is a run under the name that an experiment gives it.
type shown struct {
	experiment string
	series     results.Series // without key
	run        *run
	oracle     string // is given what run measured; "": run itself is shown
}

// batch is all that experiments need of guests.
type batch struct {
	profile spec.Profile
	runs    []*run // each once, in the order they take place
	shown   []shown
	units   map[string]int

	known map[string]*run // by what makes it
}

// newBatch plans the parts for a guest whose functions have so many CPUs. The
// first round of everything comes first, so that a job that is cut short has
// whole rounds.
func newBatch(exps []spec.Experiment, profile spec.Profile, cpus int) (*batch, error) {
	b := &batch{profile: profile, units: map[string]int{}, known: map[string]*run{}}
	for round := 1; round <= profile.Rounds.V; round++ {
		for _, e := range exps {
			part := profile.Apply(*e.VM)
			for _, mix := range part.Mixes {
				rows := part.Rows(profile, mix, round, cpus)
				for _, l := range part.Loads {
					r := run{workload: mix.Name.V, load: l.V, seed: part.RoundSeed(round), round: round,
						classes: mix.TraceClasses(), rows: rows, factor: profile.TimeFactor.V, owner: e.Name}
					if err := b.add(r, part); err != nil {
						return nil, fmt.Errorf("%s: %w", e.Name, err)
					}
				}
			}
		}
	}
	return b, nil
}

// add plans the series of a part, given what they have in common.
func (b *batch) add(common run, part spec.VM) error {
	var err error
	if common.work, err = common.arrivals(); err != nil {
		return err
	}
	// What is compared is measured on one machine.
	unit := fmt.Sprint(common.workload, common.load, common.round)
	if _, ok := b.units[unit]; !ok {
		b.units[unit] = len(b.units)
	}
	common.unit = b.units[unit]
	series := map[string]*run{}
	for i := range part.Series {
		s := part.Series[(i+common.round-1)%len(part.Series)] // who goes first changes from round to round
		if !s.On.IsZero() {
			continue
		}
		r := common
		r.title, r.at = s.Name.V, place{kernel: s.Kernel.V, worker: part.WorkerPath, deployment: part.Deployment.V}
		if r.mode, r.at.agent, err = modeOf(s); err != nil {
			return fmt.Errorf("series %s: %w", s.Name.V, err)
		}
		mode, err := json.Marshal(r.mode)
		if err != nil {
			return err
		}
		id := fmt.Sprintf("%s %s %+v", r.work, mode, r.at)
		if b.known[id] == nil {
			b.known[id] = &r
			b.runs = append(b.runs, &r)
		}
		series[s.Name.V] = b.known[id]
	}
	for _, s := range part.Series {
		x := shown{experiment: common.owner, run: series[s.Name.V],
			series: results.Series{Name: s.Name.V, Workload: common.workload, Load: common.load, Round: common.round, Kernel: s.Kernel.V}}
		if !s.On.IsZero() {
			x.run, x.oracle = series[s.On.V], cmp.Or(s.Scheduler.V, s.Name.V)
		}
		b.shown = append(b.shown, x)
	}
	return nil
}

// modeOf is what the load generator is told; what a series leaves out is
// written out, so that the same is the same. agent is whether a process decides
// by it, and not the kernel.
func modeOf(s spec.Series) (m alpsclient.Mode, agent bool, err error) {
	x, err := s.VM()
	m = alpsclient.Mode{Policy: x.Scheduler}
	if err != nil || !spec.FollowsPolicy(x.Scheduler) {
		return m, x.Delegated, err
	}
	m.Order, m.Step, m.Params = x.Order, x.Step.String(), &x.Params
	return m, x.Delegated, nil
}

// scheduler is its name in results.
func (r run) scheduler() string {
	if r.at.agent {
		return "ghost-" + r.mode.Policy
	}
	return r.mode.Policy
}

// arrivals is the digest of what arrives.
func (r run) arrivals() (string, error) {
	data, err := json.Marshal(struct {
		Workload string
		Classes  []trace.Class
		Rows     []trace.Row
		Load     float64
		Factor   float64
		Round    int
		Unit     map[string]int
	}{r.workload, r.classes, r.rows, r.load, r.factor, r.round, load.Unit})
	if err != nil {
		return "", err
	}
	return digest.New("work/1").Str("work", string(data)).Sum()
}

// setKey names the run by all that makes it. The usual place is not part of it:
// p is what came of that.
func (r *run) setKey(p Parts) error {
	mode, err := json.Marshal(r.mode)
	if err != nil {
		return err
	}
	sum, err := digest.New("run/2").Str("kernel", p.Kernel.Key).Str("image", p.Image.Digest).Str("tools", p.ToolsDigest).
		Str("accel", string(p.Accel)).Str("qemu", p.QEMU.Key).Str("deployment", p.deployment).Str("cpus", fmt.Sprint(p.CPUs)).Str("mode", string(mode)).Str("work", r.work).Sum()
	if err != nil {
		return err
	}
	r.key = r.name() + "-" + sum[:12]
	return nil
}

// name is readable, and the same for runs that differ in parameters.
func (r run) name() string {
	return fmt.Sprintf("%s-%s-%.0f-r%d", r.scheduler(), r.workload, 100*r.load, r.round)
}

// label names a run for people.
func (r run) label() string {
	return fmt.Sprintf("%s on %s at %.0f %%, round %d", r.title, r.workload, 100*r.load, r.round)
}

// plans are the series of each experiment, with the keys that the runs have.
func (b *batch) plans() (map[string][]results.Series, error) {
	plans := map[string][]results.Series{}
	for _, x := range b.shown {
		s := x.series
		var err error
		if s.Key, err = x.key(); err != nil {
			return nil, err
		}
		plans[x.experiment] = append(plans[x.experiment], s)
	}
	return plans, nil
}

func (x shown) key() (string, error) {
	if x.oracle == "" {
		return x.run.key, nil
	}
	return simulate.OracleKey(x.run.key, x.oracle, x.run.seed)
}

// ports are those of all functions that are called.
func (b *batch) ports() []string {
	var ports []string
	for _, r := range b.runs {
		for _, c := range r.classes {
			ports = append(ports, c.Port)
		}
	}
	return uniquePorts(ports)
}

// kind is what runs have in common that take the same time.
func (r run) kind(accel vm.Accel, cpus int) string {
	return fmt.Sprintf("%s %s %g %dx%g %s %d", r.scheduler(), r.workload, r.load, len(r.rows), r.factor, accel, cpus)
}

// vtimeSlowdown is how many seconds a busy second of virtual time took on the
// machine where that was measured (docs/virtual-time.md).
const vtimeSlowdown = 1.8

// span is about how long a run takes: what was measured the last time, else
// the time that the trace covers and what alps-load waits for at its end. In
// virtual time only the busy part counts.
func (r run) span(accel vm.Accel, cpus int, past *history) (d time.Duration, measured bool) {
	if d, ok := past.get(r.kind(accel, cpus)); ok {
		return d, true
	}
	var work time.Duration
	for _, row := range r.rows {
		work += time.Duration(float64(r.classes[row.Class].CPU) * r.factor)
	}
	if accel == vm.VTime {
		return time.Duration(vtimeSlowdown*float64(work)) + 5*time.Second, false
	}
	return time.Duration(float64(work)/r.load/float64(functionCPUs(cpus))) + 5*time.Second, false
}
