// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
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

// setMode switches what decides and forgets what was learnt under the former, or
// changes nothing.
func (d *daemon) setMode(m client.Mode) error {
	next, err := parseMode(m)
	if err != nil {
		return callers{err}
	}
	p, err := policy.New(next.params)
	if err != nil {
		return callers{err}
	}
	d.ops.Lock()
	defer d.ops.Unlock()
	if d.ended {
		return errEnded
	}
	// The policy of the mode's begin: of steady tables, so that no function is without an
	// entry; else none.
	var begin model.Policy
	var learnt *steadyLearnt
	if m.Policy == client.PolicySteady {
		if learnt, err = newSteadyLearnt(next.steady); err != nil {
			return callers{err}
		}
		begin = next.policy(learnt.update(d.known(), d.now()))
	}
	steered := m.Policy != client.PolicyCFS
	if steered {
		if err := d.backend.Supports(m.Policy); err != nil {
			return callers{fmt.Errorf("policy %s: %w", m.Policy, err)}
		}
		if err := d.backend.Attach(); err != nil {
			return err
		}
	}
	if err := d.backend.Publish(begin); err != nil {
		return err
	}
	if err := d.backend.SetEnabled(steered); err != nil {
		return errors.Join(err, d.publishFormer())
	}
	d.observer.SetFullSlices(m.FullSlices)
	d.policy = p
	d.mu.Lock()
	d.mode, d.decisions, d.published, d.lastErr, d.learnt = next, nil, begin.Entries, "", learnt
	d.window = next.params.NewWindow(d.load.count())
	if learnt != nil {
		d.generation++
	}
	d.mu.Unlock()
	select {
	case d.changed <- struct{}{}:
	default:
	}
	d.log.Info("the mode is set", "policy", m.Policy, "backend", d.backend.Name(), "order", m.Order, "step", m.Step)
	d.check()
	return nil
}

// publishFormer publishes once more what counts for the daemon. The caller holds ops.
func (d *daemon) publishFormer() error {
	d.mu.Lock()
	var former model.Policy
	if d.published != nil {
		former = d.mode.policy(d.published)
	}
	d.mu.Unlock()
	if err := d.backend.Publish(former); err != nil {
		return fmt.Errorf("publish the policy of before once more: %w", err)
	}
	return nil
}

// policy is what the backend is told under the mode.
func (m mode) policy(entries map[uint64]model.Entry) model.Policy {
	return model.Policy{Entries: entries, ValidFor: validPeriods * m.every()}
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
