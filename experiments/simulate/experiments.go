package simulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/experiments/spec"
	"github.com/ds2-lab/alps/internal/progress"
)

// Options say where things are.
type Options struct {
	Root     string // of the repository, for the simulator's source
	Results  string // directory
	Progress *progress.Reporter
}

// plan is what some experiments need: series of each, and every job once.
type plan struct {
	series map[string][]results.Series // by experiment, without results
	jobs   []Job
	keys   []string // of jobs
}

func newPlan(exps []spec.Experiment, model string) (*plan, error) {
	p := &plan{series: map[string][]results.Series{}}
	works := map[string]*Work{}
	known := map[string]bool{}
	add := func(e spec.Experiment, part spec.Sim, mix spec.Workload, load, round int, s spec.Series) error {
		scheduler, err := s.Sim()
		if err != nil {
			return err
		}
		j := Job{Machine: part.Config(s, round), Scheduler: scheduler, Model: model, Round: round}
		asked, cores, n, seed := part.Load(s, load), j.Machine.Cores, part.Invocations.V, part.RoundSeed(round)
		at := fmt.Sprint(mix.Name.V, asked, cores, n, seed)
		if works[at] == nil {
			works[at] = NewWork(mix, asked, cores, n, seed)
		}
		j.Work = works[at]
		key, err := j.Key()
		if err != nil {
			return err
		}
		p.series[e.Name] = append(p.series[e.Name], results.Series{Name: s.Name.V, Load: part.Loads[load].V, Key: key})
		if !known[key] {
			known[key] = true
			p.jobs, p.keys = append(p.jobs, j), append(p.keys, key)
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

// Plan prints what Experiments would do with one experiment.
func Plan(e spec.Experiment, w io.Writer) error {
	if len(e.Sims)+len(e.Hosts) == 0 {
		return nil
	}
	p, err := newPlan([]spec.Experiment{e}, "")
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s: %s\n", e.Name, e.Title)
	for i, j := range p.jobs {
		fmt.Fprintf(w, "%d/%d  %s  %d invocations, %d cores\n", i+1, len(p.jobs), j.Label(), len(j.Work.Invocations), j.Work.Cores)
	}
	for _, h := range e.Hosts {
		fmt.Fprintf(w, "in this process: %s\n", h.Measure.V)
	}
	fmt.Fprintln(w)
	return nil
}

// Experiments runs the parts of exps that need no guest. What is there already
// is kept. A run that did not drain is written, and is an error all the same.
func Experiments(ctx context.Context, exps []spec.Experiment, o Options) error {
	model, err := ModelDigest(o.Root)
	if err != nil {
		return err
	}
	p, err := newPlan(exps, model)
	if err != nil {
		return err
	}
	var todo []Job
	invalid := map[string]string{} // key → why
	for i, j := range p.jobs {
		old, err := results.ReadRun(results.SimDir(o.Results, p.keys[i]))
		if err != nil {
			todo = append(todo, j)
		} else if !old.Valid {
			invalid[p.keys[i]] = strings.Join(old.Invalid, "; ")
		}
	}
	if kept := len(p.jobs) - len(todo); kept > 0 {
		o.Progress.Printf("simulate  %d runs are there and kept", kept)
	}
	bad := make([]string, len(todo))
	err = Run(ctx, todo, o.Progress, func(i int, r results.Result) error {
		bad[i] = strings.Join(r.Run.Invalid, "; ")
		return results.Write(results.SimDir(o.Results, r.Run.Key), r)
	})
	if err != nil {
		return err
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
	for _, e := range exps {
		if len(e.Sims)+len(e.Hosts) == 0 {
			continue
		}
		shown := p.series[e.Name]
		for _, s := range shown {
			if why := invalid[s.Key]; why != "" {
				errs = append(errs, fmt.Errorf("%s: %s (%s) is not valid: %s", e.Name, s.Name, s.Key, why))
			}
		}
		for _, h := range e.Hosts {
			s, err := host(ctx, e.Name, h, o)
			if err != nil {
				return err
			}
			shown = append(shown, s)
		}
		if err := results.WriteSimPlan(o.Results, e.Name, shown); err != nil {
			return err
		}
	}
	return errors.Join(errs...)
}
