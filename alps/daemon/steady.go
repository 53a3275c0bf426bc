// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/internal/clock"
)

// keepAbsent is for how long the histogram is kept of a function that has no
// cgroup: its next container goes on with it.
const keepAbsent = time.Hour

// steadyLearnt is what the policy steady knows, from the mode's begin on. The
// daemon's mu guards it.
type steadyLearnt struct {
	params  policy.SteadyParams
	steady  *policy.Steady
	present map[string]clock.KTime // by uid: when the function had a cgroup last
}

func newSteadyLearnt(p policy.SteadyParams) (*steadyLearnt, error) {
	s, err := policy.NewSteady(p)
	if err != nil {
		return nil, err
	}
	return &steadyLearnt{params: p, steady: s, present: map[string]clock.KTime{}}, nil
}

// record takes an invocation that has ended.
func (l *steadyLearnt) record(uid string, cpu time.Duration) { l.steady.Record(uid, cpu) }

// update makes the tables anew, and an entry for each function.
func (l *steadyLearnt) update(functions map[bpf.CgroupID]client.Function, now clock.KTime) map[uint64]model.Entry {
	for _, f := range functions {
		l.present[f.UID] = now
	}
	for uid, at := range l.present {
		if now.Sub(at) > keepAbsent {
			l.steady.Forget(uid)
			delete(l.present, uid)
		}
	}
	l.steady.Update()
	rules := map[string]*model.Steady{} // one for all cgroups of a uid
	entries := make(map[uint64]model.Entry, len(functions))
	for id, f := range functions {
		if rules[f.UID] == nil {
			rules[f.UID] = model.NewSteady(&l.params, l.steady.Table(f.UID))
		}
		entries[uint64(id)] = model.Entry{Steady: rules[f.UID]}
	}
	return entries
}

// steadyEntries are those of functions, by what is known at this moment.
func (d *daemon) steadyEntries(functions map[bpf.CgroupID]client.Function) map[uint64]model.Entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.learnt.update(functions, d.now())
}

// publishSteady makes the tables anew between two periods, so that a function
// which has just begun to be one is not without an entry: it would go before all
// that have one. The caller holds ops.
func (d *daemon) publishSteady() error {
	d.mu.Lock()
	m, published := d.mode, d.published
	d.mu.Unlock()
	functions := d.known()
	missing := published == nil
	for id := range functions {
		_, ok := published[uint64(id)]
		missing = missing || !ok
	}
	if m.wire.Policy != client.PolicySteady || !missing {
		return nil
	}
	return d.publish(m, d.steadyEntries(functions))
}

// tables are what is known of the functions, the lowest index first.
func (l *steadyLearnt) tables(functions map[bpf.CgroupID]client.Function) []client.Table {
	all := map[string]client.Table{}
	for _, f := range functions {
		if _, ok := all[f.UID]; ok {
			continue
		}
		t := l.steady.Table(f.UID)
		index := t.Index(0)
		all[f.UID] = client.Table{UID: f.UID, Records: l.steady.Records(f.UID), IndexNS: index, BiasNS: l.params.Bias(index), QuantumNS: t.End(0), LongestNS: t.Seen()}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b client.Table) int {
		return cmp.Or(cmp.Compare(a.IndexNS, b.IndexNS), cmp.Compare(a.UID, b.UID))
	})
}

// wireEntry is an entry of the kernel's policy for people and clients.
func wireEntry(f client.Function, e model.Entry) client.Entry {
	out := client.Entry{Function: f, BiasUS: uint32(e.Bias.Microseconds()), SliceUS: uint32(e.Slice.Microseconds()), LateBiasUS: uint32(e.LateBias.Microseconds())}
	if e.Steady == nil {
		return out
	}
	fresh := e.Steady.Table.Index(0)
	out.BiasUS, out.SliceUS = uint32(e.Steady.Bias(fresh, model.NoOne).Microseconds()), uint32(e.Steady.Slice(fresh, 0, 0, false, model.NoOne).Microseconds())
	for _, s := range e.Steady.Table.Steps {
		if s.From == model.Never {
			break
		}
		out.Steps = append(out.Steps, client.Step{UsedNS: s.From, IndexNS: s.Index, Slope: float64(s.Slope) / (1 << model.SlopeBits), EndNS: s.End})
	}
	return out
}
