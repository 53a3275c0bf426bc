// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/figures/format"
)

// notes is what the daemon's statuses said that a reader of the numbers must know.
type notes struct {
	began     map[string]bool   // functions that the daemon knew before the first period, by uid
	functions map[string]string // all that it knew at some time: their names
	there     []map[string]bool // which there were at the end of each period
	unsteered map[unsteered]int // in how many periods
	problems  map[string]bool   // texts
	under     map[string]int    // periods under a policy whose end was seen
}

// unsteered is a function that a policy did not steer, and why.
type unsteered struct{ policy, uid, why string }

// known takes the functions of a status, that of the begin.
func (n *notes) known(s client.Status) {
	n.began, n.functions = map[string]bool{}, map[string]string{}
	n.unsteered, n.problems, n.under = map[unsteered]int{}, map[string]bool{}, map[string]int{}
	for _, f := range s.Functions {
		n.began[f.UID] = true
		n.functions[f.UID] = f.Name
	}
}

// period takes the status of the end of a period under a policy that began to count at since.
func (n *notes) period(policy string, since uint64, end client.Status) {
	there := map[string]bool{}
	seen := map[unsteered]bool{} // of several cgroups with one uid, too
	for _, f := range end.Functions {
		there[f.UID] = true
		n.functions[f.UID] = f.Name
		if !f.Steered && policy != client.PolicyCFS {
			seen[unsteered{policy, f.UID, f.Why}] = true
		}
	}
	n.there = append(n.there, there)
	n.under[policy]++
	for u := range seen {
		n.unsteered[u]++
	}
	for _, p := range end.Problems {
		if p.EndedNS > 0 && p.EndedNS < since || p.What == client.NoController || p.What == client.EventsLost {
			continue // not in this period; told as not steered; told by numbers
		}
		who := "all functions"
		if len(p.Functions) > 0 {
			who = "functions " + some(p.Functions)
		}
		n.problems[fmt.Sprintf("%s (%s): %s", p.What, who, p.Why)] = true
	}
}

// names are all functions by uid: those that the daemon knew, and those of invocations.
func (n *notes) names(seen map[string]string) map[string]string {
	all := maps.Clone(n.functions)
	maps.Copy(all, seen)
	return all
}

// some names things of which there may be many.
func some(names []string) string {
	const most = 8
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// list are the notes on a report whose numbers are filled in.
func (n *notes) list(r *Report, t *tally, broke bool) []string {
	var out []string
	say := func(text string, args ...any) { out = append(out, fmt.Sprintf(text, args...)) }
	if r.Counted < 2 {
		say("%s counted: a verdict needs 2, each with a period of both modes that counts", format.Plural(r.Counted, "round"))
	}
	if r.Counted > 0 && r.All.A.Invocations+r.All.B.Invocations == 0 {
		say("no invocation was reported in the time that counts: alps status says which functions there are and what counts as their invocations")
	}
	n.steering(say)
	n.load(r, t, say)
	n.idle(r, say)
	for i, p := range r.Periods {
		if l := p.Lost; l.Invocations+l.Tasks+l.Stream > 0 {
			say("period %d (%s): the daemon lost %s, %s of threads and %s for readers that were too slow: they are missing in the numbers", i+1, p.Policy,
				format.Plural(int(l.Invocations), "invocation"), format.Plural(int(l.Tasks), "record"), format.Plural(int(l.Stream), "event"))
		}
	}
	if broke {
		say("the stream of invocations broke and was taken up again; what the daemon no longer had then is missing")
	}
	n.comings(say)
	n.unfinished(r, say)
	n.busy(r, say)
	for _, p := range slices.Sorted(maps.Keys(n.problems)) {
		say("the daemon had a problem: %s", p)
	}
	if verdicts := len(r.Functions); verdicts >= 5 {
		say("of %d verdicts on functions, about %.0f say better or worse by chance where nothing differs: an interval holds in 19 cases of 20", verdicts, max(1, float64(verdicts)/20))
	}
	return out
}

// steering tells which functions were not steered, and why.
func (n *notes) steering(say func(string, ...any)) {
	byWhy := map[unsteered][]string{} // by policy, why
	for u, periods := range n.unsteered {
		name := fmt.Sprintf("%s in %d of %d periods", label(u.uid, n.functions[u.uid]), periods, n.under[u.policy])
		if periods == n.under[u.policy] {
			name = label(u.uid, n.functions[u.uid])
		}
		k := unsteered{policy: u.policy, why: u.why}
		byWhy[k] = append(byWhy[k], name)
	}
	for _, k := range slices.SortedFunc(maps.Keys(byWhy), func(a, b unsteered) int { return strings.Compare(a.policy+a.why, b.policy+b.why) }) {
		slices.Sort(byWhy[k])
		say("not steered under %s: %s: %s", k.policy, some(byWhy[k]), k.why)
	}
}

// load tells where A and B did not have alike load.
func (n *notes) load(r *Report, t *tally, say func(string, ...any)) {
	invocations, cpu := t.load()
	for _, c := range []struct {
		what string
		Change
	}{{"invocations", invocations}, {"CPU time of invocations", cpu}} {
		if c.Verdict == Better || c.Verdict == Worse {
			say("the load differed: %s per second under %s against %s %s: where the clients did not send more because they were answered sooner, this explains other turnarounds by itself",
				c.what, r.Modes[1].Policy, r.Modes[0].Policy, c.interval())
		}
	}
}

// idleShare is up to which share of the turnaround a wait for a CPU is nothing that a
// scheduler could shorten.
const idleShare = 0.01

// idle tells where nobody waits for a CPU.
func (n *notes) idle(r *Report, say func(string, ...any)) {
	for _, m := range []Measured{r.All.A, r.All.B} {
		if m.Invocations == 0 || float64(m.MeanWaitNS) > idleShare*float64(m.MeanNS) {
			return
		}
	}
	say("under both policies invocations hardly wait for a CPU, so there is hardly anything that a policy could change: repeat this when the host is busy")
}

// comings tells which functions there were not all the time.
func (n *notes) comings(say func(string, ...any)) {
	var came, went []string
	before := n.began
	for i, there := range n.there {
		for _, uid := range slices.Sorted(maps.Keys(there)) {
			if !before[uid] {
				came = append(came, fmt.Sprintf("%s in period %d", label(uid, n.functions[uid]), i+1))
			}
		}
		for _, uid := range slices.Sorted(maps.Keys(before)) {
			if !there[uid] {
				went = append(went, fmt.Sprintf("%s in period %d", label(uid, n.functions[uid]), i+1))
			}
		}
		before = there
	}
	if len(came) > 0 {
		say("functions came during the trial: %s", some(came))
	}
	if len(went) > 0 {
		say("functions went during the trial: %s", some(went))
	}
}

// unfinishedShare is from which share of the counted invocations on those are told that
// ended after their period.
const unfinishedShare = 0.01

// unfinished tells of which functions the long invocations are left out.
func (n *notes) unfinished(r *Report, say func(string, ...any)) {
	for s := range r.Modes {
		var names []string
		for _, g := range append([]Group{r.All}, r.Functions...) {
			m := []Measured{g.A, g.B}[s]
			if float64(m.Unfinished) > unfinishedShare*float64(m.Invocations) {
				names = append(names, fmt.Sprintf("%s (%d, beside %d that count)", g.label(), m.Unfinished, m.Invocations))
			}
		}
		if len(names) > 0 {
			say("under %s the turnarounds are longer than shown, for invocations that ended after their period do not count: take a longer -each: %s", r.Modes[s].Policy, some(names))
		}
	}
}

// busy tells where invocations are busy periods.
func (n *notes) busy(r *Report, say func(string, ...any)) {
	if busy := r.All.A.Busy + r.All.B.Busy; busy > 0 {
		say("%d of the %d invocations are busy periods of servers: requests that overlap are one (docs/observer.md)", busy, r.All.A.Invocations+r.All.B.Invocations)
	}
	var mixed []string
	for _, g := range r.Functions {
		if busy := g.A.Busy + g.B.Busy; busy > 0 && busy < g.A.Invocations+g.B.Invocations {
			mixed = append(mixed, fmt.Sprintf("%s (%d of %d under %s, %d of %d under %s)", g.label(), g.A.Busy, g.A.Invocations, r.Modes[0].Policy, g.B.Busy, g.B.Invocations, r.Modes[1].Policy))
		}
	}
	if len(mixed) > 0 {
		say("only some invocations are busy periods, the others processes, so they do not compare: give these functions a source of their own: %s", some(mixed))
	}
}

// label names a function to people.
func label(uid, name string) string {
	if name == "" || name == uid {
		return uid
	}
	return uid + " " + name
}
