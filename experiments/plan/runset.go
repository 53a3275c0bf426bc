// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/experiments/simulate"
	"github.com/ds2-lab/alps/internal/yamlx"
)

// Shown is a run under the name that an experiment gives it.
type Shown struct {
	Experiment string
	Run        *Run
	Oracle     string // the oracle that schedules Run's invocations again; "": Run itself is shown

	series results.Series // without key
}

// RunSet is all runs in guests that experiments need.
type RunSet struct {
	Profile config.Profile
	Runs    []*Run // each once, in the order they take place
	Shown   []Shown
	Units   int // how many there are

	units map[string]int  // by what their runs have in common
	known map[string]*Run // by what makes it
}

// NewRunSet lists the runs of experiments in guests whose functions have so many CPUs
// where the experiment does not say how many. The first round of everything comes
// first, so that a job that is cut short has whole rounds.
func NewRunSet(exps []config.Experiment, profile config.Profile, cpus int) (_ *RunSet, err error) {
	b := &RunSet{Profile: profile, units: map[string]int{}, known: map[string]*Run{}}
	for round := 1; round <= profile.Rounds.V; round++ {
		for _, e := range exps {
			part := profile.Apply(*e.VM)
			for _, g := range guestsOf(part) {
				for _, mix := range part.Mixes {
					rows := part.Rows(profile, mix, round, cmp.Or(g.functionCPUs, cpus))
					for _, l := range part.Loads {
						r := Run{Workload: mix.Name.V, Load: l.V, Seed: part.RoundSeed(round), Round: round,
							Classes: mix.TraceClasses(), Rows: rows, ClientFactor: mix.ClientFactor.V, Factor: profile.TimeFactor.V, experiment: e.Name}
						r.Guest.Deployment = g.deployment
						r.Arrivals, err = r.digestArrivals(cmp.Or(g.functionCPUs, cpus))
						if err == nil {
							err = b.add(r, part, g)
						}
						if err != nil {
							return nil, fmt.Errorf("%s: %w", e.Name, err)
						}
					}
				}
			}
		}
	}
	b.Units = len(b.units)
	return b, nil
}

// guestSize is one of the guests that a part asks for.
type guestSize struct {
	functionCPUs int    // 0: as many as the guest has anyway
	deployment   string // "": apart
	sized        bool   // functionCPUs is one of several
	swept        bool   // deployment is one of several
}

// label tells a guest from the part's others, if there are any.
func (g guestSize) label() (s string) {
	switch {
	case !g.sized:
	case g.functionCPUs == 1:
		s = ", 1 CPU"
	default:
		s = fmt.Sprintf(", %d CPUs", g.functionCPUs)
	}
	if g.swept {
		s += ", " + cmp.Or(g.deployment, config.Apart)
	}
	return s
}

// guestsOf lists the guests of a part.
func guestsOf(part config.VM) (list []guestSize) {
	cpus, deployments := part.FunctionCPUs, part.Deployments
	if cpus == nil {
		cpus = []yamlx.At[int]{{}}
	}
	if deployments == nil {
		deployments = []yamlx.At[string]{part.Deployment}
	}
	for _, n := range cpus {
		for _, d := range deployments {
			g := guestSize{functionCPUs: n.V, deployment: d.V, sized: len(cpus) > 1, swept: part.Deployments != nil}
			if g.deployment == config.Apart {
				g.deployment = "" // so that this deployment, by whichever name, has one key
			}
			list = append(list, g)
		}
	}
	return list
}

// add adds the series of a part in a guest. common has the fields that are the same in
// all their runs.
func (b *RunSet) add(common Run, part config.VM, g guestSize) error {
	// Series that are compared are measured on one host.
	unit := fmt.Sprint(common.Workload, common.Load, common.Round)
	if g.functionCPUs > 0 {
		unit += fmt.Sprint(" on ", g.functionCPUs)
	}
	if _, ok := b.units[unit]; !ok {
		b.units[unit] = len(b.units)
	}
	common.Unit = b.units[unit]
	shown := results.Series{Workload: common.Workload + g.label(), Load: common.Load, Round: common.Round}
	series := map[string]*Run{}
	for i := range part.Series {
		s := part.Series[(i+common.Round-1)%len(part.Series)] // the series that goes first changes from round to round
		if !s.On.IsZero() {
			continue
		}
		r := common
		r.shown, r.Dir = shown, part.Dir
		r.shown.Name, r.shown.Kernel = s.Name.V, s.KernelName().V
		r.Guest = guest.Variant{Kernel: s.KernelName().V, Worker: part.WorkerPath, Deployment: g.deployment}
		if s.Backend.V == config.BackendSCX {
			r.Guest.Backend = s.Backend.V
		}
		if g.functionCPUs > 0 {
			r.Guest.CPUs = g.functionCPUs + 1
		}
		x, err := s.VM()
		if err != nil {
			return fmt.Errorf("series %s: %w", s.Name.V, err)
		}
		r.Command = x.Command
		r.Mode, r.Guest.Agent = modeOf(x)
		mode, err := json.Marshal(r.Mode)
		if err != nil {
			return err
		}
		id := fmt.Sprintf("%s %s %+v %s", r.Arrivals, mode, r.Guest, r.Command)
		if b.known[id] == nil {
			b.known[id] = &r
			b.Runs = append(b.Runs, &r)
		}
		series[s.Name.V] = b.known[id]
	}
	for _, s := range part.Series {
		x := Shown{Experiment: common.experiment, Run: series[s.Name.V], series: shown}
		x.series.Name, x.series.Kernel = s.Name.V, s.KernelName().V
		if !s.On.IsZero() {
			x.Run, x.Oracle = series[s.On.V], s.SchedulerName()
		}
		b.Shown = append(b.Shown, x)
	}
	return nil
}

// Plans are the series of each experiment, by its name, with the keys that the runs have.
func (b *RunSet) Plans() (map[string][]results.Series, error) {
	plans := map[string][]results.Series{}
	for _, x := range b.Shown {
		s := x.series
		var err error
		if s.Key, err = x.Key(); err != nil {
			return nil, err
		}
		plans[x.Experiment] = append(plans[x.Experiment], s)
	}
	return plans, nil
}

// Key names the result that is shown.
func (x Shown) Key() (string, error) {
	if x.Oracle == "" {
		return x.Run.Key, nil
	}
	return simulate.OracleKey(x.Run.Key, x.Oracle, x.Run.Seed)
}

// Ports are those of all functions that are called, each once, sorted.
func (b *RunSet) Ports() []string {
	var ports []string
	for _, r := range b.Runs {
		for _, c := range r.Classes {
			ports = append(ports, c.Port)
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}
