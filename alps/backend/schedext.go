// SPDX-License-Identifier: Apache-2.0

package backend

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/host"
	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/bpf/scx"
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

// How soon a scheduler that the kernel has ended is loaded again: after leastWait, then
// twice as long each time, up to mostWait; after one that ran for settled, leastWait again.
const (
	leastWait = time.Second
	mostWait  = 5 * time.Minute
	settled   = 10 * time.Minute
)

// schedExt is the Backend of a kernel with sched_ext: package scx. Its scheduler is
// loaded once there is a function, because it takes over the whole host, and
// stays until the mode is cfs or the daemon ends.
type schedExt struct {
	host   host.Host
	log    *slog.Logger
	load   func(scx.Options) (extScheduler, error)
	reload bool // after the kernel has ended it
	cpus   []int
	now    func() time.Time

	takeThread func(tid int) error

	mu        sync.Mutex // State and Stats come at any moment
	scheduler extScheduler
	partial   bool
	wanted    bool
	functions []bpf.Function
	policy    model.Policy
	failed    error // why it is not in charge though it is wanted
	begun     time.Time
	wait      time.Duration
	again     time.Time               // when to try again; zero: not by itself
	limits    error                   // why the limits of cgroups are not up to date
	refused   map[bpf.CgroupID]string // functions whose rules were left out, and why
	untaken   map[bpf.CgroupID]string // functions some of whose threads the scheduler could not get, and why
}

// newSchedExt loads nothing yet: SetEnabled does.
func newSchedExt(o Options, h host.Host) *schedExt {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &schedExt{host: h, log: log, reload: !o.NoReload, cpus: o.CPUs, now: time.Now, takeThread: scx.Take,
		load: func(o scx.Options) (extScheduler, error) { return scx.Load(o) }}
}

func (*schedExt) Name() string { return NameSchedExt }

// Supports says yes: every policy has its rules (scx.RulesOf).
func (*schedExt) Supports(string) error { return nil }

// Attach does nothing: the scheduler takes over within milliseconds.
func (*schedExt) Attach() error { return nil }

func (b *schedExt) SetEnabled(on bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	wanted, failed, wait, again := b.wanted, b.failed, b.wait, b.again
	b.wanted, b.failed, b.wait, b.again = on, nil, 0, time.Time{}
	err := b.enable(on)
	if err == nil {
		return nil
	}
	b.wanted, b.failed, b.wait, b.again = wanted, failed, wait, again
	if b.wanted && b.scheduler == nil && b.failed == nil { // what the kernel had ended is closed by now
		b.failed = err
		b.retry(true)
	}
	return err
}

// enable begins or ends. The caller holds mu.
func (b *schedExt) enable(on bool) error {
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
	if len(b.functions) == 0 {
		b.log.Info("the sched_ext scheduler is loaded once there is a function")
		return nil
	}
	return b.begin()
}

// begin loads the scheduler, tells it functions and policy, and logs whose tasks it
// takes. The caller holds mu.
func (b *schedExt) begin() error {
	b.partial = ownCPUs(b.host, b.cpus, b.functions)
	s, err := b.load(scx.Options{Partial: b.partial})
	if err != nil {
		return err
	}
	b.scheduler, b.begun, b.failed, b.limits = s, b.now(), nil, nil
	if err := errors.Join(s.SetFunctions(b.functions, b.pools()), b.setLimits(), b.publish(b.policy)); err != nil {
		return errors.Join(err, b.end())
	}
	b.take()
	b.log.Info("the sched_ext scheduler alps is in charge", "takes", b.takes(), "to give them back", "alps mode -policy cfs, or end the daemon; SysRq-S if nothing else helps")
	return nil
}

// takes says whose tasks the scheduler schedules.
func (b *schedExt) takes() string {
	if b.partial {
		return fmt.Sprintf("functions' tasks only, on CPUs %v", b.cpus)
	}
	return "all tasks of this host but real-time ones"
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

// SetFunctions also loads the scheduler for the first functions, and loads it anew
// when it must take all tasks, or need not any more. If loading fails there is no
// error: it is tried again, as if the kernel had ended the scheduler.
func (b *schedExt) SetFunctions(functions []bpf.Function) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.functions
	b.functions = slices.Clone(functions)
	if b.scheduler != nil {
		if _, ended := b.scheduler.Ended(); ended {
			return nil // look begins it anew
		}
		if len(functions) == 0 || ownCPUs(b.host, b.cpus, b.functions) == b.partial {
			err := b.scheduler.SetFunctions(b.functions, b.pools())
			if err != nil {
				b.functions = before
			}
			return err
		}
	}
	if !b.wanted || b.failed != nil || len(functions) == 0 {
		return nil
	}
	if err := errors.Join(b.end(), b.begin()); err != nil {
		b.failed = err
		b.retry(true)
		b.log.Warn("load the sched_ext scheduler", "err", err, "again", b.when())
	}
	return nil
}

// Publish also keeps up what the policy does not say: the limits of cgroups, and which
// threads are the scheduler's. Where that fails the policy counts all the same: of the
// limits the log tells, of the threads State.Unsteered.
func (b *schedExt) Publish(p model.Policy) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.policy
	b.policy = p
	b.look()
	if b.scheduler == nil {
		return nil
	}
	if err := b.publish(p); err != nil {
		b.policy = before
		return errors.Join(err, b.tell(before))
	}
	err := b.setLimits()
	if err != nil && (b.limits == nil || b.limits.Error() != err.Error()) { // not at every update
		b.log.Warn("keep cpu.max: the limits of before hold", "err", err)
	}
	b.limits = err
	b.take()
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

// publish tells the scheduler a policy, and that it is valid from now on. The caller holds mu.
func (b *schedExt) publish(p model.Policy) error {
	if err := b.tell(p); err != nil {
		return err
	}
	return b.scheduler.KeepAlive(p.ValidFor)
}

// setLimits tells the scheduler which cgroups have a cpu.max, where the kernel does not.
// If that cannot be read, the limits stay as they are. The caller holds mu.
func (b *schedExt) setLimits() error {
	if !b.scheduler.NeedsLimits() {
		return nil
	}
	limits, err := scx.ReadLimits(b.host.Cgroups)
	if err != nil {
		return err
	}
	return b.scheduler.SetLimits(limits)
}

func (b *schedExt) State() State {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := State{Conditions: map[string]string{"hooks": "not attached", "sched_ext": "not in charge"}}
	if b.scheduler != nil {
		s.Unsteered = maps.Clone(b.refused)
		maps.Copy(s.Unsteered, b.untaken)
		end, ended := b.scheduler.Ended()
		s.Attached, s.Enabled = true, !ended
		if ended {
			s.Problems = append(s.Problems, Problem{client.BackendEnded, end.Error()})
		} else {
			s.Conditions["sched_ext"] = "in charge of " + b.takes()
		}
	} else if b.wanted && b.failed != nil {
		s.Problems = append(s.Problems, Problem{client.BackendEnded, fmt.Sprintf("%v; tried again %s", b.failed, b.when())})
	}
	if name, _ := b.host.UserScheduler(); name != "" && !s.Enabled && b.wanted {
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
