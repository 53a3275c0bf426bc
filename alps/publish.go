package alps

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/bpf"
)

// update makes a new policy, if the mode has the daemon make it.
func (d *daemon) update() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	load, err := d.load.sample()
	if err != nil {
		return err
	}
	d.loadPct = load
	if err := d.forgetGone(); err != nil {
		return err
	}
	begun := time.Now()
	records := d.window.Records(d.now())
	entries := map[bpf.CgroupID]bpf.Entry{}
	var errs []error
	switch d.mode.wire.Policy {
	case policyCFS:
		return nil
	case policySFS:
		if e, ok := sfsEntry(records, d.load.count()); ok {
			for id := range d.functions {
				entries[id] = e
			}
		}
	case policyALPS:
		d.decisions = d.policy.Update(records, load, d.load.count())
		for i := range d.decisions {
			// What a large alpha makes of a long function's slice.
			d.decisions[i].Slice = min(d.decisions[i].Slice, bpf.MaxSlice)
		}
		fallthrough
	case policyManual:
		entries, errs = d.decided()
	}
	d.tookNS = time.Since(begun).Nanoseconds()
	return errors.Join(append(errs, d.publish(entries))...)
}

// decided are the entries of the decisions; functions that have none are plain
// CFS until something is known of one.
func (d *daemon) decided() (map[bpf.CgroupID]bpf.Entry, []error) {
	entries := map[bpf.CgroupID]bpf.Entry{}
	var errs []error
	for id, f := range d.functions {
		decision, ok := d.decide(f.UID)
		if !ok {
			continue
		}
		e, err := d.mode.entry(decision)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		entries[id] = e
	}
	return entries, errs
}

// publish makes entries the policy. Silent for two periods, this daemon is as
// good as dead.
func (d *daemon) publish(entries map[bpf.CgroupID]bpf.Entry) error {
	if err := d.kernel.SetPolicy(entries); err != nil {
		return err
	}
	d.generation++
	return d.kernel.KeepAlive(2 * d.mode.params.Every())
}

// setRules takes a client's policy, whole or not at all.
func (d *daemon) setRules(rules []client.Rule) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mode.wire.Policy != policyManual {
		return fmt.Errorf("the policy is %s's: switch with alps mode -policy manual", d.mode.wire.Policy)
	}
	var decisions []policy.Decision
	for _, r := range rules {
		decision := policy.Decision{UID: r.UID, Rank: r.Rank, Slice: r.Slice}
		if !slices.ContainsFunc(slices.Collect(maps.Values(d.functions)), func(f client.Function) bool { return f.UID == r.UID }) {
			return fmt.Errorf("function %s is not known: no cgroup is registered for it", r.UID)
		}
		if _, err := d.mode.entry(decision); err != nil {
			return err
		}
		decisions = append(decisions, decision)
	}
	d.decisions = decisions
	entries, errs := d.decided()
	return errors.Join(append(errs, d.publish(entries))...)
}

// forgetGone drops functions whose cgroups were removed, as the kernel did.
func (d *daemon) forgetGone() error {
	known, err := d.kernel.Functions()
	if err != nil {
		return err
	}
	there := map[bpf.CgroupID]bool{}
	for _, f := range known {
		there[f.ID] = true
	}
	for id, f := range d.functions {
		if !there[id] {
			d.log.Info("function's cgroup was removed", "uid", f.UID, "name", f.Name, "cgroup", f.Cgroup)
			delete(d.functions, id)
		}
	}
	return d.tellFunctions()
}

// decide finds what is wanted of a function. One that nothing is known of,
// among others that are ranked, gets the median rank and the kernel's slice:
// without an entry its bias would be 0, and it would go before all others.
func (d *daemon) decide(uid string) (policy.Decision, bool) {
	for _, x := range d.decisions {
		if x.UID == uid {
			return x, true
		}
	}
	if len(d.decisions) == 0 || d.mode.wire.Policy == policyManual {
		return policy.Decision{}, false
	}
	return policy.Decision{UID: uid, Rank: d.decisions[len(d.decisions)/2].Rank}, true // sorted by rank
}
