package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

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
	var series []Series
	if err := readPlan(filepath.Join(root, experiment, simPlanName), &series); err != nil {
		return nil, err
	}
	for i, s := range series {
		r, err := Read(SimDir(root, s.Key))
		if err != nil {
			return nil, fmt.Errorf("%s: series %s: %w", experiment, s.Name, err)
		}
		series[i].Result = r
	}
	return series, nil
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
