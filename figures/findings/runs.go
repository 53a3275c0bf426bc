// SPDX-License-Identifier: Apache-2.0

package findings

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// measuredRun is what findings need of report/runs.json.
type measuredRun struct {
	Engine, Workload, Scheduler string
	Revision                    string // of the code
	Round, Invocations          int
	FunctionCPUs                int `json:"function_cpus"`
	Kernel, Accelerator         string
	LoadAsked                   float64 `json:"load_asked"`
	LoadAchieved                float64 `json:"load_achieved"`
	PlatformPerRequest          float64 `json:"platform_per_request_ns"`
	MeanGap                     float64 `json:"mean_gap_ns"`
}

// measured are the runs of a scheduler, or with "" of all, on a workload at 90 % load in
// guests with so many CPUs for the functions; an error if there are none.
func (t *tables) measured(workload, scheduler string, functionCPUs int) ([]measuredRun, error) {
	text, err := os.ReadFile(filepath.Join(t.docs, "report", "runs.json"))
	if err != nil {
		return nil, err
	}
	var runs []measuredRun
	if err := json.Unmarshal(text, &runs); err != nil {
		return nil, fmt.Errorf("report/runs.json: %w", err)
	}
	runs = slices.DeleteFunc(runs, func(r measuredRun) bool {
		return r.Engine != "vm" || r.Workload != workload || scheduler != "" && r.Scheduler != scheduler || r.LoadAsked != 0.9 || r.FunctionCPUs != functionCPUs
	})
	if len(runs) == 0 {
		return nil, fmt.Errorf("report/runs.json: no run of %s on %s at 90 %% in a guest with %d CPUs for the functions", scheduler, workload, functionCPUs)
	}
	return runs, nil
}

// invocations is how many a run on Huawei's workload has in guests with so many CPUs for the functions.
func (t *tables) invocations(functionCPUs int) (int, error) {
	runs, err := t.measured("huawei", "cfs", functionCPUs)
	if err != nil {
		return 0, err
	}
	return runs[0].Invocations, nil
}

// demand is which part of the functions' CPU time functions and platform ask for together
// under CFS on Huawei's workload, in percent.
func (t *tables) demand(functionCPUs int) (string, error) {
	runs, err := t.measured("huawei", "cfs", functionCPUs)
	if err != nil {
		return "", err
	}
	r := runs[0]
	return fmt.Sprintf("%.0f %%", 100*(r.LoadAchieved+r.PlatformPerRequest/r.MeanGap/float64(functionCPUs))), nil
}

// conditions say with which kernel, clock, CPUs, rounds, invocations and code the report's measured runs of alps on these
// workloads at 90 % load were made, of those with so many CPUs for the functions; and with which code all series beside them.
func (t *tables) conditions(functionCPUs int, workloads ...string) (string, error) {
	rounds, codes, invocations := map[int]bool{}, map[string]bool{}, []string{}
	var r measuredRun
	if len(workloads) == 0 {
		return "", fmt.Errorf("conditions with %d CPUs: of which workloads?", functionCPUs)
	}
	for _, workload := range workloads {
		runs, err := t.measured(workload, "alps", functionCPUs)
		if err != nil {
			return "", err
		}
		for _, r = range runs {
			rounds[r.Round] = true
		}
		all, err := t.measured(workload, "", functionCPUs)
		if err != nil {
			return "", err
		}
		for _, of := range all {
			codes[of.Revision] = true
		}
		n := thousands(r.Invocations)
		if len(workloads) > 1 {
			n += " (" + strings.ToUpper(workload[:1]) + workload[1:] + ")"
		}
		invocations = append(invocations, n)
	}
	plural := func(n int, name string) string {
		if n == 1 {
			return "one " + name
		}
		return fmt.Sprintf("%d %ss", n, name)
	}
	time := "accelerator " + r.Accelerator
	if r.Accelerator == "vtime" {
		time = "virtual time"
	}
	return fmt.Sprintf("kernel %s, %s, %s for the functions, %s of %s invocations, code %s", r.Kernel, time, plural(functionCPUs, "CPU"), plural(len(rounds), "round"),
		strings.Join(invocations, " and "), strings.Join(slices.Sorted(maps.Keys(codes)), ", ")), nil
}

// rounds is how many rounds the report's measured runs of alps on Huawei's workload at 90 % load have in guests with so many CPUs for the functions.
func (t *tables) rounds(functionCPUs int) (int, error) {
	runs, err := t.measured("huawei", "alps", functionCPUs)
	rounds := map[int]bool{}
	for _, r := range runs {
		rounds[r.Round] = true
	}
	return len(rounds), err
}
