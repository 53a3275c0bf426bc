// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/bpf"
)

// update makes a new policy, if the mode has the daemon make it.
func (d *daemon) update() error {
	d.ops.Lock()
	defer d.ops.Unlock()
	d.check() // before a controller that was withdrawn is asked for again
	load, err := d.load.sample()
	if err != nil {
		return err
	}
	if err := d.forgetGone(); err != nil {
		return err
	}
	begun := time.Now()
	d.mu.Lock()
	d.loadPct = load
	m, records, decisions := d.mode, slices.Clone(d.window.Records(d.now())), d.decisions // valid until the next event
	d.mu.Unlock()
	functions := d.known()
	entries := map[uint64]model.Entry{}
	var errs []error
	switch m.wire.Policy {
	case client.PolicyCFS:
		return nil
	case client.PolicySteady:
		entries = d.steadyEntries(functions)
	case client.PolicySFS:
		if e, ok := sfsEntry(records, d.load.count()); ok {
			for id := range functions {
				entries[uint64(id)] = e
			}
		}
	case client.PolicyALPS:
		decisions = d.policy.Update(records, load, d.load.count())
		for i := range decisions {
			// What a large alpha makes of a long function's slice.
			decisions[i].Slice = min(decisions[i].Slice, model.MaxSlice)
		}
		fallthrough
	case client.PolicyManual:
		entries, errs = decided(m, functions, decisions)
	}
	d.mu.Lock()
	d.decisions, d.tookNS = decisions, time.Since(begun).Nanoseconds()
	d.mu.Unlock()
	return errors.Join(append(errs, d.publish(m, entries))...)
}

// decided are the functions' entries, by the decisions or, for a function that these
// do not name, by decide. Where decide has nothing to say the function has no entry.
func decided(m mode, functions map[bpf.CgroupID]client.Function, decisions []policy.Decision) (map[uint64]model.Entry, []error) {
	entries := map[uint64]model.Entry{}
	var errs []error
	for id, f := range functions {
		decision, ok := decide(m, decisions, f.UID)
		if !ok {
			continue
		}
		e, err := m.entry(decision)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		entries[uint64(id)] = e
	}
	return entries, errs
}

// validPeriods is for how many periods a policy is valid: a daemon that publishes
// nothing for so long counts as dead.
const validPeriods = 2

// publish makes entries the policy.
func (d *daemon) publish(m mode, entries map[uint64]model.Entry) error {
	if err := d.backend.Publish(m.policy(entries)); err != nil {
		return err
	}
	d.mu.Lock()
	d.generation++
	d.published = entries
	d.mu.Unlock()
	return nil
}

// setRules takes a client's policy, whole or not at all.
func (d *daemon) setRules(rules []client.Rule) error {
	d.ops.Lock()
	defer d.ops.Unlock()
	if d.ended {
		return errEnded
	}
	functions := d.known()
	d.mu.Lock()
	m := d.mode
	d.mu.Unlock()
	if m.wire.Policy != client.PolicyManual {
		return refuse("the policy is %s's: switch with alps mode -policy manual", m.wire.Policy)
	}
	var decisions []policy.Decision
	for _, r := range rules {
		uid, err := uidOf(functions, r.UID)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(decisions, func(x policy.Decision) bool { return x.UID == uid }) {
			return refuse("function %s has two rules", r.UID)
		}
		decision := policy.Decision{UID: uid, Rank: r.Rank, Slice: r.Slice}
		if _, err := m.entry(decision); err != nil {
			return callers{err}
		}
		decisions = append(decisions, decision)
	}
	entries, errs := decided(m, functions, decisions)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := d.publish(m, entries); err != nil {
		return err
	}
	d.mu.Lock()
	d.decisions = decisions
	d.mu.Unlock()
	d.check()
	return nil
}

// uidOf finds the function that a rule means: by uid, or by a name that only
// one uid has.
func uidOf(functions map[bpf.CgroupID]client.Function, name string) (string, error) {
	named := map[string]bool{}
	for _, f := range functions {
		if f.UID == name {
			return name, nil
		}
		if f.Name == name {
			named[f.UID] = true
		}
	}
	uids := slices.Sorted(maps.Keys(named))
	switch len(uids) {
	case 0:
		return "", refuse("function %s is not known: no cgroup is registered for it", name)
	case 1:
		return uids[0], nil
	}
	return "", refuse("several functions are called %s: give a uid: %s", name, strings.Join(uids, ", "))
}

// forgetGone drops functions whose cgroups were removed, as the kernel did.
func (d *daemon) forgetGone() error {
	known, err := d.observer.Functions()
	if err != nil {
		return err
	}
	there := map[bpf.CgroupID]bool{}
	for _, f := range known {
		there[f.ID] = true
	}
	next := d.known()
	for id, f := range next {
		if !there[id] {
			d.log.Info("function's cgroup was removed", "uid", f.UID, "name", f.Name, "cgroup", f.Cgroup)
			delete(next, id)
		}
	}
	return d.setFunctions(next)
}

// decide finds the decision about a function. One that has none, among others that
// are ranked, gets model.UnknownRank and the kernel's slice, but not under manual.
func decide(m mode, decisions []policy.Decision, uid string) (policy.Decision, bool) {
	for _, x := range decisions {
		if x.UID == uid {
			return x, true
		}
	}
	if m.wire.Policy == client.PolicyManual {
		return policy.Decision{}, false
	}
	rank, ok := model.UnknownRank(decisions)
	return policy.Decision{UID: uid, Rank: rank}, ok
}
