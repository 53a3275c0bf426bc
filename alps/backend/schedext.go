// SPDX-License-Identifier: Apache-2.0

package backend

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/host"
	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/bpf/scx"
	"github.com/ds2-lab/alps/internal/cpulist"
)

// extScheduler is the part of scx.Scheduler that the backend needs.
type extScheduler interface {
	SetFunctions(functions, pools []bpf.Function) error
	SetOrder(scx.Order) error
	SetRules(map[bpf.CgroupID]scx.Rule, scx.Rule) error
	SetLimits(map[bpf.CgroupID]scx.Limit) error
	NeedsLimits() bool
	KeepAlive(time.Duration) error
	Stats() (scx.Stats, error)
	Ended() (scx.End, bool)
	Close() error
}

// How soon a scheduler that the kernel has ended is loaded again: after leastWait,
// and twice as long each time, up to mostWait. One that ran for settled begins anew.
const (
	leastWait = time.Second
	mostWait  = 5 * time.Minute
	settled   = 10 * time.Minute
)

// schedExt is the Backend of a kernel with sched_ext: package scx.
type schedExt struct {
	host   host.Host
	log    *slog.Logger
	load   func(scx.Options) (extScheduler, error)
	reload bool // after the kernel has ended it
	cpus   []int
	now    func() time.Time

	mu        sync.Mutex // State and Stats come at any moment
	scheduler extScheduler
	partial   bool
	wanted    bool
	functions []bpf.Function
	policy    model.Policy
	failed    error // why it is not in charge though it is wanted
	begun     time.Time
	wait      time.Duration
	again     time.Time // when to try again; zero: not by itself
}

// newSchedExt loads nothing yet: SetEnabled does.
func newSchedExt(o Options, h host.Host) *schedExt {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &schedExt{host: h, log: log, reload: !o.NoReload, cpus: o.CPUs, now: time.Now,
		load: func(o scx.Options) (extScheduler, error) { return scx.Load(o) }}
}

func (*schedExt) Name() string { return NameSchedExt }

// Supports says yes: every policy has its rules (rulesOf).
func (*schedExt) Supports(string) error { return nil }

// Attach does nothing: the scheduler takes over within milliseconds.
func (*schedExt) Attach() error { return nil }

func (b *schedExt) SetEnabled(on bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wanted, b.failed, b.wait = on, nil, 0
	if !on {
		return b.end()
	}
	if b.scheduler != nil {
		if _, ended := b.scheduler.Ended(); !ended {
			return nil
		}
		if err := b.end(); err != nil {
			return err
		}
	}
	return b.begin()
}

// begin loads the scheduler and tells it all there is to know. The caller holds mu.
func (b *schedExt) begin() error {
	b.partial = ownCPUs(b.host, b.cpus, b.functions)
	s, err := b.load(scx.Options{Partial: b.partial})
	if err != nil {
		return err
	}
	b.scheduler, b.begun, b.failed = s, b.now(), nil
	if err := errors.Join(s.SetFunctions(b.functions, b.pools()), b.publish()); err != nil {
		return errors.Join(err, b.end())
	}
	return nil
}

// end gives all tasks back. The caller holds mu.
func (b *schedExt) end() error {
	if b.scheduler == nil {
		return nil
	}
	s := b.scheduler
	b.scheduler = nil
	return s.Close()
}

func (b *schedExt) SetFunctions(functions []bpf.Function) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.scheduler != nil {
		before := b.functions
		b.functions = functions
		if err := b.scheduler.SetFunctions(functions, b.pools()); err != nil {
			b.functions = before
			return err
		}
	}
	b.functions = slices.Clone(functions)
	return nil
}

// poolName is a cgroup that holds functions and nothing else.
const poolName = "/alps.slice"

// pools are the cgroups that hold nothing but functions.
func (b *schedExt) pools() []bpf.Function {
	if !b.host.Exists(poolName) || !slices.ContainsFunc(b.functions, func(f bpf.Function) bool { return strings.HasPrefix(f.Cgroup, poolName+"/") }) {
		return nil
	}
	id, err := bpf.CgroupOf(filepath.Join(b.host.Cgroups, poolName))
	if err != nil {
		return nil
	}
	return []bpf.Function{{ID: id, Cgroup: poolName}}
}

func (b *schedExt) Publish(p model.Policy) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.policy
	b.policy = p
	b.look()
	if b.scheduler == nil {
		return nil
	}
	if err := b.publish(); err != nil {
		b.policy = before
		return err
	}
	return nil
}

// look finds out whether the kernel has ended the scheduler, and loads it again
// when that is due. The caller holds mu.
func (b *schedExt) look() {
	if b.scheduler != nil {
		end, ended := b.scheduler.Ended()
		if !ended {
			return
		}
		if b.now().Sub(b.begun) > settled {
			b.wait = 0
		}
		b.failed = end
		b.retry(!end.ByUser)
		b.log.Warn("the kernel's own scheduler decides alone", "why", end, "again", b.when())
		if err := b.end(); err != nil {
			b.log.Warn("close the scheduler that the kernel has ended", "err", err)
		}
	}
	if !b.wanted || b.again.IsZero() || b.now().Before(b.again) {
		return
	}
	if err := b.begin(); err != nil {
		b.failed = err
		b.retry(true)
		b.log.Warn("load the sched_ext scheduler again", "err", err, "again", b.when())
		return
	}
	b.again = time.Time{}
	b.log.Info("the sched_ext scheduler is in charge again")
}

// retry says when to try again, if at all.
func (b *schedExt) retry(should bool) {
	b.again = time.Time{}
	if !b.reload || !should {
		return
	}
	b.wait = min(max(2*b.wait, leastWait), mostWait)
	b.again = b.now().Add(b.wait)
}

func (b *schedExt) when() string {
	if b.again.IsZero() {
		return "not by itself: alps mode begins it again"
	}
	return "in " + b.wait.String()
}

// publish tells the scheduler the policy. The caller holds mu.
func (b *schedExt) publish() error {
	order, rules, unknown := rulesOf(b.policy)
	errs := []error{b.scheduler.SetOrder(order), b.scheduler.SetRules(rules, unknown), b.scheduler.KeepAlive(b.policy.ValidFor)}
	if b.scheduler.NeedsLimits() {
		limits, err := scx.ReadLimits(b.host.Cgroups)
		errs = append(errs, err, b.scheduler.SetLimits(limits))
	}
	if b.partial {
		errs = append(errs, b.take())
	}
	return errors.Join(errs...)
}

// take gives the scheduler those threads of functions that it does not have yet.
func (b *schedExt) take() error {
	var errs []error
	for _, f := range b.functions {
		_ = filepath.WalkDir(filepath.Join(b.host.Cgroups, f.Cgroup), func(path string, e os.DirEntry, err error) error {
			if err != nil || !e.IsDir() {
				return nil // it was removed meanwhile
			}
			for _, text := range strings.Fields(host.Read(path, "cgroup.threads")) {
				if tid, err := strconv.Atoi(text); err == nil {
					if err := scx.Take(tid); err != nil {
						errs = append(errs, err)
					}
				}
			}
			return nil
		})
	}
	return errors.Join(errs...)
}

// rulesOf are a policy in the scheduler's terms. Biases above scx.MaxBias are
// made smaller together, so that their order stays.
func rulesOf(p model.Policy) (order scx.Order, rules map[bpf.CgroupID]scx.Rule, unknown scx.Rule) {
	most := time.Duration(0)
	for _, e := range p.Entries {
		if e.LateBias == 0 {
			most = max(most, e.Bias)
		}
	}
	scale := min(1, float64(scx.MaxBias)/float64(max(most, 1)))
	order.Octave = model.SchedExtOctave
	rules = make(map[bpf.CgroupID]scx.Rule, len(p.Entries))
	for id, e := range p.Entries {
		r := scx.Rule{Bias: time.Duration(float64(e.Bias) * scale), Slice: e.Slice, LateBias: min(e.LateBias, scx.MaxBias)}
		if e.Steady != nil {
			order.Octave, order.Floor = min(e.Steady.Params.Octave, model.SchedExtOctave), e.Steady.Params.Floor
			r = steadyRule(&e.Steady.Table)
		}
		rules[bpf.CgroupID(id)] = r
		unknown.Bias = max(unknown.Bias, r.Bias/2)
	}
	return order, rules, unknown
}

// steadyRule is a table in the scheduler's terms.
func steadyRule(t *model.Table) scx.Rule {
	r := scx.Rule{Seen: t.Seen}
	for _, s := range t.Steps {
		if s.From == model.Never {
			break
		}
		r.Steps = append(r.Steps, scx.Step{From: s.From, Index: s.Index, Slope: s.Slope, End: s.End})
	}
	if len(r.Steps) == 0 { // nothing is known, of no function
		r.Steps = []scx.Step{{Index: t.Least, End: 2 * t.Least}}
		r.Seen = t.Least
	}
	return r
}

func (b *schedExt) Published() (map[bpf.CgroupID]model.Entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[bpf.CgroupID]model.Entry{}
	if b.scheduler == nil {
		return out, nil
	}
	for id, e := range b.policy.Entries {
		out[bpf.CgroupID(id)] = e
	}
	return out, nil
}

func (b *schedExt) State() State {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := State{Conditions: map[string]string{"hooks": "not attached", "sched_ext": "not in charge"}}
	if b.scheduler != nil {
		end, ended := b.scheduler.Ended()
		s.Attached, s.Enabled = true, !ended
		if ended {
			s.Problems = append(s.Problems, Problem{client.BackendEnded, end.Error()})
		} else {
			s.Conditions["sched_ext"] = fmt.Sprintf("in charge, partial %t", b.partial)
		}
	} else if b.wanted && b.failed != nil {
		s.Problems = append(s.Problems, Problem{client.BackendEnded, fmt.Sprintf("%v; tried again %s", b.failed, b.when())})
	}
	if name, _ := b.host.UserScheduler(); name != "" && !s.Enabled {
		s.Problems = append(s.Problems, Problem{client.OtherInCharge, fmt.Sprintf("the sched_ext scheduler %s is in charge: end it", name)})
	}
	return s
}

func (b *schedExt) Stats() ([]client.Stat, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.scheduler == nil {
		return nil, nil
	}
	st, err := b.scheduler.Stats()
	if err != nil {
		return nil, err
	}
	out := []client.Stat{{Name: "functions' tasks that run or wait", Value: uint64(st.Functions)},
		{Name: "other tasks that run or wait", Value: uint64(st.Others)},
		{Name: "tasks that wait for their cpu.max", Value: uint64(st.Throttled)},
		{Name: "invocations begun", Value: st.Invocations}}
	for _, name := range scx.CountNames() {
		out = append(out, client.Stat{Name: name, Value: st.Counts[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(st.Events)) {
		out = append(out, client.Stat{Name: name, Value: st.Events[name]})
	}
	return out, nil
}

func (b *schedExt) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wanted = false
	return b.end()
}

// ownCPUs says whether nobody but functions may use cpus: then only functions'
// tasks need another scheduler. Every cgroup at the top but those that hold
// functions must be kept from cpus.
func ownCPUs(h host.Host, cpus []int, functions []bpf.Function) bool {
	if len(cpus) == 0 || len(functions) == 0 {
		return false
	}
	entries, err := os.ReadDir(h.Cgroups)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if slices.ContainsFunc(functions, func(f bpf.Function) bool { return strings.HasPrefix(f.Cgroup, "/"+e.Name()+"/") }) {
			if "/"+e.Name() != poolName {
				return false // others may be beside them
			}
			continue
		}
		others, err := cpulist.Parse(host.Read(h.Cgroups, e.Name(), "cpuset.cpus.effective"))
		if err != nil || len(others) == 0 || slices.ContainsFunc(others, func(c int) bool { return slices.Contains(cpus, c) }) {
			return false
		}
	}
	return true
}
