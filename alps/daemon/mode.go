// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"strings"
	"time"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
)

const maxRank = 10_000

// DefaultPolicy is that of a daemon that is told none.
const DefaultPolicy = client.PolicySteady

// mode is a checked client.Mode.
type mode struct {
	wire   client.Mode
	order  string
	step   time.Duration
	params policy.Params
	steady policy.SteadyParams
}

// every is how often the policy is made anew.
func (m mode) every() time.Duration {
	if m.wire.Policy == client.PolicySteady {
		return m.steady.Period
	}
	return m.params.Every()
}

func parseMode(m client.Mode) (mode, error) {
	out := mode{wire: m, order: m.Order, step: model.DefaultStep, params: policy.Paper(), steady: policy.DefaultSteady()}
	if m.Steady != nil && m.Policy != client.PolicySteady {
		return mode{}, fmt.Errorf("policy %q has no parameters of steady", m.Policy)
	}
	switch m.Policy {
	case client.PolicyCFS:
		return out, nil
	case client.PolicySteady:
		if m.Order != "" || m.Step != "" || m.Params != nil {
			return mode{}, fmt.Errorf("policy steady has no order, step or params of alps: it has parameters of its own, steady")
		}
		if m.Steady != nil {
			out.steady = *m.Steady
		}
		return out, out.steady.Validate()
	case client.PolicyALPS, client.PolicySFS, client.PolicyManual:
	default:
		return mode{}, fmt.Errorf("policy %q: allowed: %s", m.Policy, strings.Join(client.Policies(), ", "))
	}
	if m.Order == "" {
		out.order = model.OrderBounded
	} else if !model.ValidOrder(m.Order) {
		return mode{}, fmt.Errorf("order %q: allowed: %s", m.Order, strings.Join(model.Orders(), ", "))
	}
	if m.Step != "" {
		step, err := time.ParseDuration(m.Step)
		if err != nil || step < time.Microsecond || step > model.MaxBias {
			return mode{}, fmt.Errorf("step %q: allowed: 1us to %s", m.Step, model.MaxBias)
		}
		out.step = step
	}
	if m.Params != nil {
		out.params = *m.Params
	}
	return out, out.params.Validate()
}

// entry is what the backend is told of a decision.
func (m mode) entry(d policy.Decision) (model.Entry, error) {
	if d.Rank < 1 || d.Rank > maxRank {
		return model.Entry{}, fmt.Errorf("function %s: rank %d: allowed: 1 to %d", d.UID, d.Rank, maxRank)
	}
	if d.Slice < 0 || d.Slice > model.MaxSlice {
		return model.Entry{}, fmt.Errorf("function %s: slice %s: allowed: 0 to %s", d.UID, d.Slice, model.MaxSlice)
	}
	return model.Entry{Bias: model.Bias(m.order, d.Rank, m.step), Slice: d.Slice}, nil
}
