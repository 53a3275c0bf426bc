// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/ds2-lab/alps/alps/backend"
	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/host"
	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/bpf"
)

const (
	// sweepEvery is how often entries of processes that are gone are looked for:
	// reading the maps takes milliseconds.
	sweepEvery = 30 * time.Second
	// silentShare is the part of a CPU above which a function counts as using the CPU.
	silentShare = 0.03
	// keptProblems is how many problems that ended are remembered.
	keptProblems = 64
)

// watch is what the daemon knows of how well it steers and sees.
type watch struct {
	checking sync.Mutex   // one check at a time
	lost     *client.Lost // at the last check
	lostAt   uint64       // when more was lost than before, CLOCK_MONOTONIC

	mu         sync.Mutex
	functions  []client.FunctionStatus
	conditions map[string]string
	ongoing    map[string]client.Problem // by what and why
	ended      []client.Problem
	survey     bpf.Survey
	seen       map[bpf.CgroupID]bool          // an invocation ended since the last survey
	used       map[bpf.CgroupID]time.Duration // CPU time at the last survey
	silent     map[bpf.CgroupID]string        // uses the CPU, but no invocation is seen
	denied     map[bpf.CgroupID]string        // why it got no CPU controller
}

// saw notes that an invocation has ended.
func (w *watch) saw(id bpf.CgroupID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen == nil {
		w.seen = map[bpf.CgroupID]bool{}
	}
	w.seen[id] = true
	delete(w.silent, id)
}

func (w *watch) status(s *client.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.Functions, s.Conditions = slices.Clone(w.functions), maps.Clone(w.conditions)
	for _, u := range w.survey.Usage {
		s.Usage = append(s.Usage, client.Usage(u))
	}
	s.Problems = slices.Concat(slices.SortedFunc(maps.Values(w.ongoing), byBegin), w.ended)
}

func byBegin(a, b client.Problem) int {
	return cmp.Or(cmp.Compare(a.BeganNS, b.BeganNS), cmp.Compare(a.What, b.What), cmp.Compare(a.Why, b.Why))
}

// sweeps removes what ended processes have left in the kernel's maps, now and then.
func (d *daemon) sweeps(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		d.sweep()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (d *daemon) sweep() {
	s, err := d.observer.Sweep()
	if err != nil {
		d.log.Error("sweep the kernel's maps", "err", err)
		return
	}
	if s.Swept > 0 {
		d.log.Warn("removed what processes that are gone had left in the kernel's maps", "entries", s.Swept)
	}
	d.survey(s)
	d.check()
}

// survey notes which functions use the CPU though no invocation of theirs is seen.
func (d *daemon) survey(s bpf.Survey) {
	used := map[bpf.CgroupID]time.Duration{}
	for id, f := range d.known() {
		if n, err := d.host.Usage(f.Cgroup); err == nil {
			used[id] = n
		}
	}
	w := &d.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	silent := map[bpf.CgroupID]string{}
	for id, now := range used {
		before, known := w.used[id]
		if known && !w.seen[id] && s.Running[id]+w.survey.Running[id] == 0 && now-before > time.Duration(silentShare*float64(sweepEvery)) {
			silent[id] = fmt.Sprintf("its processes use the CPU, but no invocation was seen for %s or more: if a process that lives on serves its requests, give it the source busy (docs/observer.md)", sweepEvery)
		}
	}
	w.survey, w.used, w.silent, w.seen = s, used, silent, nil
}

// finding is a problem as a check sees it.
type finding struct{ what, why, function string }

// inputs are what a check takes from the daemon.
type inputs struct {
	mode      mode
	state     backend.State // the backend's
	functions map[bpf.CgroupID]client.Function
	refused   map[bpf.CgroupID]client.Refusal
	published map[uint64]model.Entry
	lastErr   string
	dropped   uint64
	unknown   uint64
}

// check finds out which functions ALPS steers, and what keeps it from steering the others.
// A problem is logged once when it begins, and once when it is over.
func (d *daemon) check() {
	w := &d.watch
	w.checking.Lock()
	defer w.checking.Unlock()
	state := d.backend.State()
	d.mu.Lock()
	counted := map[bpf.CgroupID]string{}
	for id, f := range d.functions {
		a := d.accounts[id]
		counted[id] = d.kernelFunction(f, a != nil && a.busy).Source.String()
	}
	in := inputs{d.mode, state, maps.Clone(d.functions), maps.Clone(d.refused), d.published, d.lastErr, d.dropped, d.unknown}
	d.mu.Unlock()
	found := append(inCharge(in), d.losses(in)...)
	why := "" // nobody is steered
	switch {
	case in.mode.wire.Policy == client.PolicyCFS:
		why = "policy cfs: functions are observed only"
	case len(found) > 0 && found[0].function == "" && found[0].what != client.EventsLost && found[0].what != client.MapFull:
		why = found[0].why
	case in.published == nil:
		why = "no policy yet: the first is made after a period"
	}
	w.mu.Lock()
	silent, denied := maps.Clone(w.silent), maps.Clone(w.denied)
	w.mu.Unlock()
	functions := []client.FunctionStatus{}
	for _, id := range slices.Sorted(maps.Keys(in.functions)) {
		f := client.FunctionStatus{Function: in.functions[id], Counted: counted[id], Why: why}
		note := func(what, why string) {
			found = append(found, finding{what, why, f.UID})
			f.Why = cmp.Or(f.Why, why)
		}
		if !d.host.Exists(f.Cgroup) {
			f.Why = "its cgroup was removed"
		} else if !d.host.HasController(f.Cgroup) {
			why := "its cgroup has no CPU controller: the kernel schedules its processes as its parent's"
			if x := denied[id]; x != "" {
				why += " (" + x + ")"
			}
			note(client.NoController, why)
		}
		if s := silent[id]; s != "" {
			note(client.NoInvocation, s)
		}
		if _, ok := in.published[uint64(id)]; !ok && f.Why == "" {
			f.Why = "nothing is known of it"
			if in.mode.wire.Policy == client.PolicyManual {
				f.Why = "alps policy -set gave it no rank"
			}
		}
		if why := in.state.Unsteered[id]; why != "" {
			note(client.NotSteered, why)
		}
		f.Steered = f.Why == ""
		functions = append(functions, f)
	}
	for _, r := range in.refused {
		found = append(found, finding{client.Refused, r.Why, cmp.Or(r.UID, r.Cgroup)})
	}
	d.note(functions, d.conditions(in, functions), found)
}

// inCharge finds what else decides, or why nobody does.
func inCharge(in inputs) (found []finding) {
	for _, p := range in.state.Problems {
		found = append(found, finding{p.What, p.Why, ""})
	}
	if in.lastErr != "" {
		found = append(found, finding{client.OutOfDate, "the policy is out of date: " + in.lastErr, ""})
	}
	return found
}

// losses finds what the observer misses.
func (d *daemon) losses(in inputs) (found []finding) {
	w := &d.watch
	n, err := d.observer.Lost()
	if err != nil {
		return []finding{{client.EventsLost, err.Error(), ""}}
	}
	lost := client.Lost{Invocations: n.Invocations + in.unknown, Tasks: n.Tasks, Slices: n.Slices, Stream: in.dropped} // an orphan is none
	if w.lost != nil && lost != *w.lost {
		w.lostAt = uint64(d.now())
		found = append(found, finding{client.EventsLost, "invocations, threads, slices or events are not accounted: see lost", ""})
	}
	w.lost = &lost
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, u := range w.survey.Usage {
		if u.Full() {
			found = append(found, finding{client.MapFull, fmt.Sprintf("the kernel's map %s is full: %d of %d", u.Map, u.Used, u.Size), ""})
		}
	}
	return found
}

// conditions are what must not change while something is measured.
func (d *daemon) conditions(in inputs, functions []client.FunctionStatus) map[string]string {
	name, seq := d.host.UserScheduler()
	mode, err := json.Marshal(in.mode.wire)
	if err != nil {
		mode = []byte(err.Error())
	}
	var cgroups []string
	for _, f := range functions {
		cgroups = append(cgroups, f.Cgroup)
	}
	conditions := map[string]string{
		"daemon": fmt.Sprintf("process %d, begun at %d", os.Getpid(), d.begun), "policy": string(mode), "backend": d.backend.Name(),
		"scheduler in user space": fmt.Sprintf("%s %s", name, seq),
		"kernel":                  host.Read(d.host.Proc, "osrelease"), "boot": host.Read(d.host.Proc, "random", "boot_id"),
		"CPUs": host.Read(d.host.CPUs), "functions' CPUs": d.host.CPUSets(cgroups),
	}
	maps.Copy(conditions, in.state.Conditions)
	return conditions
}

// note keeps what a check found, and logs what began and what is over.
func (d *daemon) note(functions []client.FunctionStatus, conditions map[string]string, found []finding) {
	w := &d.watch
	now := uint64(d.now())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.functions, w.conditions = functions, conditions
	ongoing := map[string]client.Problem{}
	for _, f := range found {
		key := f.what + ": " + f.why
		p, ok := ongoing[key]
		if !ok {
			p = client.Problem{What: f.what, Why: f.why, BeganNS: now}
			if before, ok := w.ongoing[key]; ok {
				p.BeganNS = before.BeganNS
			}
		}
		if f.function != "" {
			p.Functions = append(p.Functions, f.function)
		}
		ongoing[key] = p
	}
	for key, p := range ongoing {
		if _, ok := w.ongoing[key]; !ok {
			d.log.Warn(p.What, "why", p.Why, "functions", namesOf(p))
		}
	}
	for key, p := range w.ongoing {
		if _, ok := ongoing[key]; !ok {
			p.EndedNS = now
			if p.What == client.EventsLost {
				p.EndedNS = max(p.BeganNS, w.lostAt) // nothing since
			}
			d.log.Info(p.What+": over", "why", p.Why, "functions", namesOf(p), "lasted", time.Duration(now-p.BeganNS))
			w.ended = append(w.ended, p)
		}
	}
	w.ongoing = ongoing
	w.ended = w.ended[max(0, len(w.ended)-keptProblems):]
}

func namesOf(p client.Problem) any {
	if len(p.Functions) == 0 {
		return "all"
	}
	return p.Functions
}

// askControllers turns the CPU controller on for functions that have none. check
// says where that failed.
func (d *daemon) askControllers(functions map[bpf.CgroupID]client.Function) {
	denied := map[bpf.CgroupID]string{}
	for id, f := range functions {
		if err := d.host.EnsureController(f.Cgroup); err != nil {
			denied[id] = err.Error()
		}
	}
	d.watch.mu.Lock()
	defer d.watch.mu.Unlock()
	d.watch.denied = denied
}
