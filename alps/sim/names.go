// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"slices"
	"strings"
)

// schedulers are all there are, in the order they are shown.
var schedulers = []struct {
	name, what string
	build      func(*machine, Spec) (scheduler, error)
}{
	{"cfs", "Linux 5.18's CFS, a cgroup per function", func(m *machine, _ Spec) (scheduler, error) { return newCFS(m, false), nil }},
	{"cfs-flat", "CFS without groups", func(m *machine, _ Spec) (scheduler, error) { return newCFS(m, true), nil }},
	{"eevdf", "Linux 6.12's EEVDF, a cgroup per function", func(m *machine, _ Spec) (scheduler, error) { return newEEVDF(m), nil }},
	{"fifo", "SCHED_FIFO, one priority, throttled to 95 % as by default", func(m *machine, _ Spec) (scheduler, error) { return fifo{newRT(m, rtQuota)}, nil }},
	{"rr", "SCHED_RR, likewise", func(m *machine, _ Spec) (scheduler, error) { return rr{newRT(m, rtQuota)}, nil }},
	{"sfs", "SFS by the hooks: first come, first served, for a slice of the mean gap at one CPU; then CFS", func(m *machine, s Spec) (scheduler, error) { return newSFS(m, s), nil }},
	{"srpt", "what the paper calls SRPT: by an oracle, each core on its random share; above one core no bound", func(m *machine, _ Spec) (scheduler, error) { return newSRPT(m, false, oracle), nil }},
	{"srpt-global", "the oracle that others are held against: SRPT, one queue for all cores", func(m *machine, _ Spec) (scheduler, error) { return newSRPT(m, true, oracle), nil }},
	{"srpt-eb", "srpt with estimates off by up to 50 %", func(m *machine, _ Spec) (scheduler, error) { return newSRPT(m, false, noisy(m)), nil }},
	{"random", "srpt with random estimates", func(m *machine, _ Spec) (scheduler, error) { return newSRPT(m, false, random(m, 1)), nil }},
	{"random40", "srpt with 40 % of the estimates random", func(m *machine, _ Spec) (scheduler, error) { return newSRPT(m, false, random(m, 0.4)), nil }},
	{"alps", "ALPS: CFS with both hooks", func(m *machine, s Spec) (scheduler, error) { return newALPS(m, s) }},
	{"steady", "steady: CFS with both hooks, by Gittins index; docs/policy.md", func(m *machine, s Spec) (scheduler, error) { return newSteady(m, s) }},
	{"scx", "steady by sched_ext: one queue, every invocation by itself; docs/sched_ext.md", func(m *machine, s Spec) (scheduler, error) { return newSCX(m, s) }},
	{"ghost-cfs", "CFS delegated to a ghOSt agent", func(m *machine, _ Spec) (scheduler, error) { return newGhost(m, newCFS(m, false)), nil }},
	{"ghost-alps", "ALPS delegated to a ghOSt agent", func(m *machine, s Spec) (scheduler, error) {
		a, err := newALPS(m, s)
		return newGhost(m, a), err
	}},
}

// Names lists the schedulers, in the order they are shown.
func Names() []string {
	var out []string
	for _, s := range schedulers {
		out = append(out, s.name)
	}
	return out
}

// Describe says in a line what a scheduler is.
func Describe(name string) string {
	if i := slices.Index(Names(), name); i >= 0 {
		return schedulers[i].what
	}
	return ""
}

func scheduling(name string) (func(*machine, Spec) (scheduler, error), error) {
	if i := slices.Index(Names(), name); i >= 0 {
		return schedulers[i].build, nil
	}
	return nil, fmt.Errorf("scheduler %q is none of %s", name, strings.Join(Names(), ", "))
}
