// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"bytes"
	"fmt"
	"time"

	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/experiments/loadgen"
	"github.com/ds2-lab/alps/experiments/trace"
	"github.com/ds2-lab/alps/internal/digest"
)

// Requests turns the run's rows into requests. The functions' costs say how many rounds
// each needs for its CPU time. They are due such that they make the run's load on cpus
// function CPUs, or, in the paper's deployment, when the paper's client sends them.
func (r Run) Requests(costs guest.Costs, cpus int) ([]loadgen.Request, error) {
	demand := make([]time.Duration, len(r.Classes))
	rounds := make([]int, len(r.Classes))
	for i, c := range r.Classes {
		cost, ok := costs[c.Function]
		if !ok {
			return nil, fmt.Errorf("function %s was not calibrated", c.Function)
		}
		rounds[i] = cost.Rounds(time.Duration(float64(c.CPU) * r.Factor))
		demand[i] = cost.CPU(rounds[i])
	}
	each := make([]time.Duration, len(r.Rows))
	for i, row := range r.Rows {
		each[i] = demand[row.Class]
	}
	due := trace.Scale(r.Rows, each, r.Load, cpus)
	if r.Guest.Deployment == config.AsPaper && r.ClientFactor > 0 {
		due = trace.Artifact(r.Rows, r.ClientFactor, r.Load, cpus)
	}
	reqs := make([]loadgen.Request, len(r.Rows))
	for i, row := range r.Rows {
		c := r.Classes[row.Class]
		reqs[i] = loadgen.Request{ID: i + 1, Function: c.Function, UID: c.UID, Group: c.Group, N: c.N, Port: c.Port,
			Size: costs[c.Function].Size, Rounds: rounds[row.Class], Due: due[i]}
	}
	return reqs, nil
}

// digestArrivals is the digest of what the run is called after, and of its requests, as
// the guest gets them, in a guest with so many CPUs for the functions. A guest's costs
// are known only when it runs, so each function takes costs of 1 ns per round here.
func (r Run) digestArrivals(cpus int) (string, error) {
	costs := guest.Costs{}
	for f, size := range loadgen.Unit {
		costs[f] = loadgen.Cost{Function: f, Size: size, PerRound: 1}
	}
	reqs, err := r.Requests(costs, cpus)
	if err != nil {
		return "", err
	}
	var trace bytes.Buffer
	if err := loadgen.WriteTrace(&trace, reqs); err != nil {
		return "", err
	}
	return digest.New("arrivals/2").Str("workload", r.Workload).Str("load", fmt.Sprint(r.Load)).Str("round", fmt.Sprint(r.Round)).Str("requests", trace.String()).Sum()
}
