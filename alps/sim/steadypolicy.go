// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"time"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
)

// steadyPolicy has policy.Steady learn from what ends on a machine, as the daemon
// does, for whichever scheduler acts on it.
type steadyPolicy struct {
	m      *machine
	policy *policy.Steady
	params policy.SteadyParams
	rules  []*model.Steady // function → that of the last update
}

// newSteadyPolicy knows nothing yet; each function has the rules of that.
func newSteadyPolicy(m *machine, p policy.SteadyParams) (steadyPolicy, error) {
	learner, err := policy.NewSteady(p)
	if err != nil {
		return steadyPolicy{}, err
	}
	s := steadyPolicy{m: m, policy: learner, params: p, rules: make([]*model.Steady, len(m.Functions))}
	s.update(0)
	return s, nil
}

// ended learns from t, unless it is the platform's.
func (s *steadyPolicy) ended(t *task) {
	if !t.platform {
		s.policy.Record(s.m.Functions[t.function].UID, time.Duration(t.demand+t.extra))
	}
}

func (s *steadyPolicy) period() time.Duration { return s.params.Period }

func (s *steadyPolicy) update(float64) {
	s.policy.Update()
	for i, f := range s.m.Functions {
		s.rules[i] = model.NewSteady(&s.params, s.policy.Table(f.UID))
	}
}
