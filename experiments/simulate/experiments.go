// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/progress"
)

// Options say where things are, and which steps to do. Root and Results are required.
type Options struct {
	Root     string // of the repository, for the simulator's source
	Results  string // directory
	Progress *progress.Reporter

	Mine func(unit int) bool                       // which of Steps to do, counted from 0; nil: all
	Took func(invocations int, took time.Duration) // told how long the runs that were simulated took together; may be nil
}

// plan is all runs that some experiments need, each once, and the series that show them.
type plan struct {
	series map[string][]results.Series // by experiment, without results
	jobs   []Job
	keys   []string // of jobs
	owners []string // experiments that first asked for the jobs
}

func newPlan(exps []config.Experiment, model string) (*plan, error) {
	p := &plan{series: map[string][]results.Series{}}
	arrivals := map[string]*Arrivals{}
	known := map[string]bool{}
	add := func(e config.Experiment, part config.Sim, mix config.Workload, load, round int, s config.Series) error {
		scheduler, err := s.Sim()
		if err != nil {
			return err
		}
		j := Job{Machine: part.Config(s, round), Scheduler: scheduler, Model: model, Round: round}
		asked, cores, n, seed := part.Load(s, load), j.Machine.Cores, part.Invocations.V, part.RoundSeed(round)
		at := fmt.Sprint(mix.Path, asked, cores, n, seed)
		if arrivals[at] == nil {
			arrivals[at] = NewArrivals(mix, asked, cores, n, seed)
		}
		j.Arrivals = arrivals[at]
		key, err := j.Key()
		if err != nil {
			return err
		}
		p.series[e.Name] = append(p.series[e.Name], results.Series{Name: s.Name.V, Workload: mix.Name.V, Load: part.Loads[load].V, Round: round, Key: key})
		if !known[key] {
			known[key] = true
			p.jobs, p.keys, p.owners = append(p.jobs, j), append(p.keys, key), append(p.owners, e.Name)
		}
		return nil
	}
	for _, e := range exps {
		for _, part := range e.Sims {
			for _, mix := range part.Mixes {
				for load := range part.Loads {
					for round := 1; round <= max(part.Rounds.V, 1); round++ {
						for _, s := range part.Series {
							if err := add(e, part, mix, load, round, s); err != nil {
								return nil, err
							}
						}
					}
				}
			}
		}
	}
	return p, nil
}

// Step is something that Experiments does.
type Step struct {
	Experiment  string // that first asks for it
	Label       string
	Invocations int // 0: nothing is simulated
}

// Steps are what Experiments does, in order: every run once, then grids and the tables
// of engine host.
func Steps(exps []config.Experiment) ([]Step, error) {
	p, err := newPlan(exps, "")
	if err != nil {
		return nil, err
	}
	var steps []Step
	for i, j := range p.jobs {
		steps = append(steps, Step{p.owners[i], j.Label(), len(j.Arrivals.Invocations)})
	}
	for _, e := range exps {
		for _, part := range e.Grids {
			steps = append(steps, Step{e.Name, "grid", gridInvocations(part)})
		}
		for _, h := range e.Hosts {
			steps = append(steps, Step{e.Name, h.Measure.V, 0})
		}
	}
	return steps, nil
}

// Experiments runs the parts of exps that need no guest, and writes their plans.
// Simulated results that are there are kept. A run or a grid that did not drain is
// written, and is an error all the same, after everything else was done.
func Experiments(ctx context.Context, exps []config.Experiment, o Options) error {
	model, err := ModelDigest(o.Root)
	if err != nil {
		return err
	}
	p, err := newPlan(exps, model)
	if err != nil {
		return err
	}
	mine := o.Mine
	if mine == nil {
		mine = func(int) bool { return true }
	}
	var todo []Job
	shared := 0                    // how many jobs are mine
	invalid := map[string]string{} // key → why
	for i, j := range p.jobs {
		if !mine(i) {
			continue
		}
		shared++
		old, err := results.ReadRun(results.Dir(o.Results, results.EngineSim, p.keys[i]))
		if err != nil {
			todo = append(todo, j)
		} else if !old.Valid {
			invalid[p.keys[i]] = strings.Join(old.Invalid, "; ")
		}
	}
	if kept := shared - len(todo); kept > 0 {
		o.Progress.Printf("simulate  %d runs are there and kept", kept)
	}
	bad := make([]string, len(todo))
	begun := time.Now()
	err = Run(ctx, todo, o.Progress, func(i int, r results.Result) error {
		bad[i] = strings.Join(r.Run.Invalid, "; ")
		return results.Write(results.Dir(o.Results, results.EngineSim, r.Run.Key), r)
	})
	if err != nil {
		return err
	}
	if o.Took != nil && len(todo) > 0 {
		o.Took(total(todo), time.Since(begun))
	}
	for i, why := range bad {
		if why != "" {
			key, err := todo[i].Key()
			if err != nil {
				return err
			}
			invalid[key] = why
		}
	}
	var errs []error
	unit := len(p.jobs)
	for _, e := range exps {
		if len(e.Sims)+len(e.Grids)+len(e.Hosts) == 0 {
			continue
		}
		shown := p.series[e.Name]
		for _, s := range shown {
			if why := invalid[s.Key]; why != "" {
				errs = append(errs, fmt.Errorf("%s: %s (%s) is not valid: %s", e.Name, s.Name, s.Key, why))
			}
		}
		for _, part := range e.Grids {
			key, err := gridKey(e.Name, part, model)
			if err != nil {
				return err
			}
			s := results.Series{Name: "grid", Key: key}
			if mine(unit) {
				if err := runGrid(ctx, s, part, o); errors.Is(err, errUndrained) {
					errs = append(errs, err)
				} else if err != nil {
					return err
				}
			}
			unit++
			shown = append(shown, s)
		}
		for _, h := range e.Hosts {
			s := results.Series{Name: h.Measure.V, Key: e.Name + "-" + h.Measure.V}
			if mine(unit) {
				if err := host(ctx, s, h, o); err != nil {
					return err
				}
			}
			unit++
			shown = append(shown, s)
		}
		if err := results.WritePlan(o.Results, results.EngineSim, e.Name, shown); err != nil {
			return err
		}
	}
	return errors.Join(errs...)
}
