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

// series is a run as an experiment shows it.
type series struct {
	name string
	key  string
}

// plan is what some experiments need: series of each, and every job once.
type plan struct {
	series map[string][]series // by experiment
	jobs   []Job
	keys   []string // of jobs
}

func newPlan(exps []spec.Experiment, model string) (*plan, error) {
	p := &plan{series: map[string][]series{}}
	works := map[string]*Work{}
	known := map[string]bool{}
	for _, e := range exps {
		for _, part := range e.Sims {
			for _, mix := range part.Mixes {
				for _, load := range part.Loads {
					at := fmt.Sprint(mix.Name.V, load.V, part.Cores.V, part.Invocations.V, part.Seed)
					if works[at] == nil {
						works[at] = NewWork(mix, load.V, part.Cores.V, part.Invocations.V, part.Seed)
					}
					for _, s := range part.Series {
						scheduler, err := s.Sim()
						if err != nil {
							return nil, err
						}
						j := Job{Work: works[at], Machine: part.Config(s), Scheduler: scheduler, Model: model}
						key, err := j.Key()
						if err != nil {
							return nil, err
						}
						p.series[e.Name] = append(p.series[e.Name], series{s.Name.V, key})
						if !known[key] {
							known[key] = true
							p.jobs, p.keys = append(p.jobs, j), append(p.keys, key)
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
		var shown []results.Series
		for _, s := range p.series[e.Name] {
			shown = append(shown, results.Series{Name: s.name, Key: s.key})
			if why := invalid[s.key]; why != "" {
				errs = append(errs, fmt.Errorf("%s: %s (%s) is not valid: %s", e.Name, s.name, s.key, why))
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
