// SPDX-License-Identifier: Apache-2.0

package backend

import (
	"maps"
	"sync/atomic"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/bpf/scx"
)

// tell tells the scheduler the rules of a policy, but not of cgroups that are no functions
// any more. The caller holds mu.
func (b *schedExt) tell(p model.Policy) error {
	order, rules := scx.RulesOf(of(b.functions, p))
	refused := map[bpf.CgroupID]string{}
	for id, r := range rules {
		if err := r.Check(); err != nil {
			refused[id] = refusal(err)
			delete(rules, id)
		}
	}
	if err := b.scheduler.SetOrder(order); err != nil {
		return err
	}
	if err := b.scheduler.SetRules(rules, scx.Rule{}); err != nil {
		return err
	}
	b.refused = refused
	return nil
}

// refusal is why a function is not steered whose entry the backend cannot carry out.
func refusal(err error) string { return "its rule is refused: " + err.Error() }

// of is the part of a policy that is the functions'.
func of(functions []bpf.Function, p model.Policy) model.Policy {
	entries := make(map[uint64]model.Entry, len(functions))
	for _, f := range functions {
		if e, ok := p.Entries[uint64(f.ID)]; ok {
			entries[uint64(f.ID)] = e
		}
	}
	p.Entries = entries
	return p
}

// Published is what the scheduler was told last, in its own terms: its biases are
// bounded. Nothing is read back from the kernel but whether the scheduler is in charge.
func (b *schedExt) Published() (map[bpf.CgroupID]model.Entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[bpf.CgroupID]model.Entry{}
	if b.scheduler == nil {
		return out, nil
	}
	if _, ended := b.scheduler.Ended(); ended { // also when the policy is no longer valid
		return out, nil
	}
	p := of(b.functions, b.policy)
	order, rules := scx.RulesOf(p)
	for id, e := range p.Entries {
		if _, refused := b.refused[bpf.CgroupID(id)]; refused {
			continue
		}
		r := rules[bpf.CgroupID(id)]
		e.Bias, e.Slice, e.LateBias = r.Bias, r.Slice, r.LateBias
		if e.Steady != nil {
			params := *e.Steady.Params
			params.Octave = order.Octave
			e.Steady = &model.Steady{Params: &params, Table: e.Steady.Table}
		}
		out[bpf.CgroupID(id)] = e
	}
	return out, nil
}

// refusals are functions whose entries were left out of the policy, and why. State reads
// them at any moment.
type refusals struct {
	atomic.Pointer[map[bpf.CgroupID]string]
}

func (r *refusals) get() map[bpf.CgroupID]string {
	if m := r.Load(); m != nil {
		return maps.Clone(*m)
	}
	return nil
}
