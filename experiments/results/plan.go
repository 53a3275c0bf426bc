// SPDX-License-Identifier: Apache-2.0

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

// A plan lists, per experiment and engine, what the experiment's latest run
// consists of. The runs lie in a pool per engine that all experiments share,
// for many figures show the same run.
func planName(engine string) string { return "plan-" + engine + ".json" }

// engines have a pool each; what EngineHost computes lies in that of EngineSim.
var engines = []string{EngineSim, EngineVM}

// Dir is where the run called key lies in an engine's pool.
func Dir(root, engine, key string) string { return filepath.Join(root, engine, key) }

// Series is a run under the name and the load that a figure gives it. Run.LoadAsked
// may be another: the exact load of the paper's 90 % is not known.
type Series struct {
	Name     string  `json:"series"`
	Workload string  `json:"workload,omitzero"` // and the guest, where an experiment has several: "huawei, 4 CPUs, paper"
	Load     float64 `json:"load,omitzero"`     // CPU time over CPU time there is, as 0.9
	Round    int     `json:"round,omitzero"`    // from 1
	Kernel   string  `json:"kernel,omitzero"`   // in kernels.yaml, where the experiment names one
	Key      string  `json:"key"`

	Result Result `json:"-"`
}

// String names the series for people.
func (s Series) String() string {
	text := s.Name
	if s.Workload != "" {
		text += fmt.Sprintf(" on %s at %.0f %%", s.Workload, 100*s.Load)
	}
	if s.Round > 0 {
		text += fmt.Sprintf(", round %d", s.Round)
	}
	return text
}

// MissingError says that a plan names a run that is not there. errors.Is says that it
// is an os.ErrNotExist.
type MissingError struct {
	Experiment string
	Series     Series
	Err        error
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s: %s is missing: %v", e.Experiment, e.Series, e.Err)
}

func (e *MissingError) Unwrap() error { return e.Err }

// WritePlan records which runs of an engine's pool an experiment shows, and under
// which names.
func WritePlan(root, engine, experiment string, series []Series) error {
	return writePlan(filepath.Join(root, experiment, planName(engine)), series)
}

// ReadPlan reads the results of an experiment. All must be there.
func ReadPlan(root, engine, experiment string) ([]Series, error) {
	found, missing, err := NewPool(root, engine).Plan(experiment)
	if err := cmp.Or(err, errors.Join(missing...)); err != nil {
		return nil, err
	}
	return found, nil
}

// Pool reads an engine's results, each once however many experiments show it.
type Pool struct {
	root, engine string
	runs         map[string]Result
}

// NewPool reads below root.
func NewPool(root, engine string) *Pool {
	return &Pool{root: root, engine: engine, runs: map[string]Result{}}
}

// Plan reads the series of an experiment. Each of missing is a *MissingError
// and says which is not there.
func (p *Pool) Plan(experiment string) (found []Series, missing []error, err error) {
	var series []Series
	if err := readPlan(filepath.Join(p.root, experiment, planName(p.engine)), &series); err != nil {
		return nil, nil, err
	}
	for _, s := range series {
		r, known := p.runs[s.Key]
		if !known {
			r, err = Read(Dir(p.root, p.engine, s.Key))
			if errors.Is(err, os.ErrNotExist) {
				missing = append(missing, &MissingError{experiment, s, err})
				continue
			}
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %s: %w", experiment, s, err)
			}
			p.runs[s.Key] = r
		}
		s.Result = r
		found = append(found, s)
	}
	return found, missing, nil
}

func writePlan(path string, plan []Series) error {
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

func readPlan(path string, plan *[]Series) error {
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
	Runs  []string // ENGINE/KEY
	Plans []string // EXPERIMENT/plan-ENGINE.json
}

// Find lists the runs and plans in a results directory, sorted by engine and name.
func Find(root string) (Found, error) {
	var f Found
	for _, engine := range engines {
		runs, err := filepath.Glob(filepath.Join(root, engine, "[^.]*", jsonName))
		if err != nil {
			return f, fmt.Errorf("results: %w", err)
		}
		for _, r := range runs {
			f.Runs = append(f.Runs, lastTwo(filepath.Dir(r)))
		}
		plans, err := filepath.Glob(filepath.Join(root, "*", planName(engine)))
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

// Named lists the runs, as ENGINE/KEY, that a plan found by Find names, each once.
func Named(root, plan string) ([]string, error) {
	var series []Series
	if err := readPlan(filepath.Join(root, plan), &series); err != nil {
		return nil, err
	}
	var runs []string
	for _, engine := range engines {
		if filepath.Base(plan) != planName(engine) {
			continue
		}
		for _, s := range series {
			if run := filepath.Join(engine, s.Key); !slices.Contains(runs, run) {
				runs = append(runs, run)
			}
		}
	}
	return runs, nil
}

// Missing lists the runs that a plan found by Find names and that are not below root.
func Missing(root, plan string) ([]string, error) {
	runs, err := Named(root, plan)
	return slices.DeleteFunc(runs, func(run string) bool {
		_, err := os.Stat(filepath.Join(root, run, jsonName))
		return err == nil
	}), err
}

// Copy copies one result directory, whole or not at all.
func Copy(from, to string) error {
	return whole(to, func(tmp string) error { return os.CopyFS(tmp, os.DirFS(from)) })
}
