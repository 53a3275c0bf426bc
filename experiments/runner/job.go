package runner

import (
	"encoding/json"
	"fmt"
	"time"

	alpsclient "github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/experiments/load"
	"github.com/ds2-lab/alps/experiments/spec"
	"github.com/ds2-lab/alps/experiments/trace"
	"github.com/ds2-lab/alps/internal/digest"
	"github.com/ds2-lab/alps/vm"
)

// run is one step: a scheduler in a round.
type run struct {
	scheduler spec.Scheduler
	mode      alpsclient.Mode
	round     int
	rows      []trace.Row
	key       string
}

type job struct {
	opts    Options
	exp     spec.Experiment
	part    spec.VM
	profile spec.Profile
	classes []trace.Class
	ports   []string
	runs    []run
}

// newJob plans the runs of an experiment that has a part for a guest.
func newJob(exp spec.Experiment, profile spec.Profile, o Options) (*job, error) {
	j := &job{opts: o, exp: exp, part: *exp.VM, profile: profile, classes: exp.VM.Mix.TraceClasses()}
	for _, c := range j.classes {
		j.ports = append(j.ports, c.Port)
	}
	j.ports = uniquePorts(j.ports)
	for round := 1; round <= profile.Rounds.V; round++ {
		rows := j.part.Rows(profile, round)
		for i := range j.part.Schedulers {
			// Who goes first changes from round to round.
			s := j.part.Schedulers[(i+round-1)%len(j.part.Schedulers)]
			mode, err := modeOf(s)
			if err != nil {
				return nil, err
			}
			j.runs = append(j.runs, run{scheduler: s, mode: mode, round: round, rows: rows})
		}
	}
	return j, nil
}

func modeOf(s spec.Scheduler) (alpsclient.Mode, error) {
	m := alpsclient.Mode{Policy: s.Policy.V}
	if m.Policy != "alps" {
		return m, nil
	}
	p, err := s.PolicyParams()
	if err != nil {
		return m, err
	}
	m.Order, m.Params = s.Order.V, &p
	if m.Order == "" {
		m.Order = "bounded"
	}
	if s.Step.V > 0 {
		m.Step = s.Step.V.String()
	}
	return m, nil
}

// setKeys names the runs by what makes them.
func (j *job) setKeys(p Parts) error {
	for i := range j.runs {
		r := &j.runs[i]
		mode, err := json.Marshal(r.mode)
		if err != nil {
			return err
		}
		work, err := json.Marshal(struct {
			Classes []trace.Class
			Rows    []trace.Row
			Load    float64
			Factor  float64
			Unit    map[string]int
		}{j.classes, r.rows, j.part.Load.V, j.profile.TimeFactor.V, load.Unit})
		if err != nil {
			return err
		}
		sum, err := digest.New("run/1").Str("kernel", p.Kernel.Key).Str("image", p.Image.Digest).Str("tools", p.ToolsDigest).
			Str("accel", string(p.Accel)).Str("cpus", fmt.Sprint(p.CPUs)).
			Str("mode", string(mode)).Str("work", string(work)).Str("round", fmt.Sprint(r.round)).Sum()
		if err != nil {
			return err
		}
		r.key = fmt.Sprintf("%s-r%d-%s", r.scheduler.Name.V, r.round, sum[:12])
	}
	return nil
}

// label names a run for people.
func (r run) label() string { return fmt.Sprintf("%s round %d", r.scheduler.Name.V, r.round) }

// kind is what runs have in common that take the same time.
func (j *job) kind(r run, accel vm.Accel, cpus int) string {
	return fmt.Sprintf("%s %s %dx%g %s %d", j.exp.Name, r.scheduler.Name.V, len(r.rows), j.profile.TimeFactor.V, accel, cpus)
}

// icountSlowdown is how many seconds a busy second of virtual time took on the
// machine where that was measured (docs/virtual-time.md).
const icountSlowdown = 1.3

// span is about how long a run takes: what was measured the last time, else
// the time that the trace covers and what alps-load waits for at its end.
func (j *job) span(r run, accel vm.Accel, cpus int, past history) (d time.Duration, measured bool) {
	if d, ok := past.took[j.kind(r, accel, cpus)]; ok {
		return d, true
	}
	var work time.Duration
	for _, row := range r.rows {
		work += time.Duration(float64(j.classes[row.Class].CPU) * j.profile.TimeFactor.V)
	}
	d = time.Duration(float64(work)/j.part.Load.V/float64(functionCPUs(cpus))) + 5*time.Second
	if accel == vm.ICount {
		d = time.Duration(icountSlowdown * float64(d))
	}
	return d, false
}
