package results

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/ds2-lab/alps/internal/atomicfile"
)

// A plan lists, per experiment, what its latest run consists of. Runs in a
// guest lie below the experiment; simulated ones in a pool that the
// experiments share, for many figures show the same run.
const (
	planName    = "plan.json"
	simPlanName = "plan-sim.json"
	simPool     = "sim"
)

// SimDir is where the run called key lies in the pool.
func SimDir(root, key string) string { return filepath.Join(root, simPool, key) }

// WritePlan records which keys below root/experiment belong together.
func WritePlan(root, experiment string, keys []string) error {
	return writePlan(filepath.Join(root, experiment, planName), keys)
}

// ReadPlan reads the results of an experiment's latest plan, and the keys of
// those that are missing.
func ReadPlan(root, experiment string) (found []Result, missing []string, err error) {
	var keys []string
	if err := readPlan(filepath.Join(root, experiment, planName), &keys); err != nil {
		return nil, nil, err
	}
	for _, k := range keys {
		r, err := Read(filepath.Join(root, experiment, k))
		if errors.Is(err, os.ErrNotExist) {
			missing = append(missing, k)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		found = append(found, r)
	}
	return found, missing, nil
}

// Series is a run under the name and the load that a figure gives it. The load
// that was asked for may be another: what a figure calls 90 % is not known exactly.
type Series struct {
	Name string  `json:"series"`
	Load float64 `json:"load"`
	Key  string  `json:"key"`

	Result Result `json:"-"`
}

// WriteSimPlan records which runs of the pool an experiment shows, and as what.
func WriteSimPlan(root, experiment string, series []Series) error {
	return writePlan(filepath.Join(root, experiment, simPlanName), series)
}

// ReadSimPlan reads the simulated results of an experiment. All must be there.
func ReadSimPlan(root, experiment string) ([]Series, error) {
	found, missing, err := NewPool(root).Plan(experiment)
	if err := cmp.Or(err, errors.Join(missing...)); err != nil {
		return nil, err
	}
	return found, nil
}

// Pool reads simulated results, each once however many experiments show it.
type Pool struct {
	root string
	runs map[string]Result
}

// NewPool reads below root.
func NewPool(root string) *Pool { return &Pool{root: root, runs: map[string]Result{}} }

// Plan reads the series of an experiment; missing says which are not there.
func (p *Pool) Plan(experiment string) (found []Series, missing []error, err error) {
	var series []Series
	if err := readPlan(filepath.Join(p.root, experiment, simPlanName), &series); err != nil {
		return nil, nil, err
	}
	for _, s := range series {
		r, known := p.runs[s.Key]
		if !known {
			r, err = Read(SimDir(p.root, s.Key))
			if err != nil {
				err = fmt.Errorf("%s: series %s: %w", experiment, s.Name, err)
			}
			if errors.Is(err, os.ErrNotExist) {
				missing = append(missing, err)
				continue
			}
			if err != nil {
				return nil, nil, err
			}
			p.runs[s.Key] = r
		}
		s.Result = r
		found = append(found, s)
	}
	return found, missing, nil
}

func writePlan(path string, plan any) error {
	data, err := json.MarshalIndent(plan, "", "\t")
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	if err := atomicfile.Write(path, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return nil
}

func readPlan(path string, plan any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	if err := json.Unmarshal(data, plan); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Found are paths below a results directory.
type Found struct {
	Runs  []string // EXPERIMENT/KEY or sim/KEY
	Plans []string // EXPERIMENT/plan.json or EXPERIMENT/plan-sim.json
}

// Find lists what is in a results directory, sorted.
func Find(root string) (Found, error) {
	var f Found
	runs, err := filepath.Glob(filepath.Join(root, "*", "[^.]*", jsonName))
	if err != nil {
		return f, fmt.Errorf("results: %w", err)
	}
	for _, r := range runs {
		f.Runs = append(f.Runs, lastTwo(filepath.Dir(r)))
	}
	for _, name := range []string{planName, simPlanName} {
		plans, err := filepath.Glob(filepath.Join(root, "*", name))
		if err != nil {
			return f, fmt.Errorf("results: %w", err)
		}
		for _, p := range plans {
			f.Plans = append(f.Plans, lastTwo(p))
		}
	}
	return f, nil
}

// lastTwo are the last two names of a path.
func lastTwo(path string) string {
	return filepath.Join(filepath.Base(filepath.Dir(path)), filepath.Base(path))
}

// Missing lists the runs that a plan found by Find names and root has not, as
// Find would.
func Missing(root, plan string) ([]string, error) {
	var runs []string
	path := filepath.Join(root, plan)
	if filepath.Base(plan) == planName {
		var keys []string
		if err := readPlan(path, &keys); err != nil {
			return nil, err
		}
		for _, k := range keys {
			runs = append(runs, filepath.Join(filepath.Dir(plan), k))
		}
	} else {
		var series []Series
		if err := readPlan(path, &series); err != nil {
			return nil, err
		}
		for _, s := range series {
			runs = append(runs, filepath.Join(simPool, s.Key))
		}
	}
	return slices.DeleteFunc(runs, func(run string) bool {
		_, err := os.Stat(filepath.Join(root, run, jsonName))
		return err == nil
	}), nil
}

// Copy copies one result directory, whole or not at all.
func Copy(from, to string) error {
	return whole(to, func(tmp string) error { return os.CopyFS(tmp, os.DirFS(from)) })
}
