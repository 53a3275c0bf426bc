// SPDX-License-Identifier: Apache-2.0

// Package daemon is the scheduler daemon: it watches the invocations of the
// functions on this host, lets package policy learn from them ranks and slices, or
// tables, and publishes these to the kernel (package backend).
//
// A function is a cgroup. Docker containers with the label alps.function.uid are
// found by themselves, and so are cgroups whose paths match Config.Cgroups; any
// other cgroup can be registered over the daemon's socket.
package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ds2-lab/alps/alps/backend"
	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/host"
	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/internal/clock"
)

// A daemon has two locks. Code that changes what the kernel is told holds ops, for
// as long as simulation and system calls take; mu, which events and status need,
// is held for moments only. Code that needs both takes ops first.
type daemon struct {
	config   Config
	observer observer
	backend  backend.Backend
	log      *slog.Logger
	now      func() clock.KTime
	begun    clock.KTime
	load     *loadMeter
	host     host.Host

	changed chan struct{} // the mode changed: begin its period anew

	resumed       bool   // from what a daemon before had pinned
	chosenBecause string // why the backend is that one

	ops    sync.Mutex
	policy *policy.Policy // of the mode alps
	ended  bool           // nothing is changed any more

	mu         sync.Mutex
	mode       mode
	window     policy.Window
	learnt     *steadyLearnt // nil: the mode is not steady
	functions  map[bpf.CgroupID]client.Function
	gone       map[bpf.CgroupID]gone // functions of before
	unknown    uint64                // invocations of cgroups of which nothing is known
	refused    map[bpf.CgroupID]client.Refusal
	decisions  []policy.Decision
	published  map[uint64]model.Entry
	generation uint64
	loadPct    float64
	tookNS     int64
	lastErr    string
	dropped    uint64
	readers    map[chan client.Event]bool
	recent     []client.Event // at least the last keptEvents
	read       clock.KTime    // when the newest of them was read
	accounts   map[bpf.CgroupID]*account

	watch watch
}

// gone is a function that is none any more.
type gone struct {
	function client.Function
	at       clock.KTime
}

// keepGone is for how long a function that has gone is remembered: its last invocations may
// still wait to be read.
const keepGone = time.Minute

// keptEvents is how many events a reader that was away can still get.
const keptEvents = 16384

func newDaemon(c Config, o observer, b backend.Backend, h host.Host) (*daemon, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Mode.Policy == "" {
		c.Mode.Policy = DefaultPolicy
	}
	d := &daemon{config: c, observer: o, backend: b, log: c.Log, now: clock.Now, begun: clock.Now(), load: &loadMeter{cpus: c.CPUs}, host: h,
		changed: make(chan struct{}, 1), functions: map[bpf.CgroupID]client.Function{}, readers: map[chan client.Event]bool{}, accounts: map[bpf.CgroupID]*account{},
		refused: map[bpf.CgroupID]client.Refusal{}, gone: map[bpf.CgroupID]gone{}}
	// What a daemon before had registered.
	known, err := o.Functions()
	if err != nil {
		return nil, err
	}
	for _, f := range known {
		r := resumedFunction(f)
		d.functions[f.ID] = r
		if f.Source != bpf.SourceProcess && d.source(r) == client.SourceAuto {
			d.accounts[f.ID] = &account{busy: true}
		}
	}
	d.askControllers(d.functions)
	if err := b.SetFunctions(known); err != nil {
		return nil, err
	}
	if c.Hooks {
		if err := b.Attach(); err != nil {
			return nil, err
		}
	}
	return d, d.setMode(c.Mode)
}

func (d *daemon) run(ctx context.Context, l net.Listener) error {
	patterns, err := parsePatterns(d.config.Cgroups)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.serve(ctx, l) })
	g.Go(func() error { return d.observer.Events(ctx, d.event) })
	g.Go(func() error { return d.updates(ctx) })
	g.Go(func() error { return d.sweeps(ctx) })
	g.Go(func() error { return d.chooseSources(ctx) })
	if len(patterns) > 0 {
		g.Go(func() error { return d.discoverPaths(ctx, patterns) })
	}
	if d.config.Docker != "none" {
		g.Go(func() error { return d.discover(ctx) })
	}
	err = g.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	d.ops.Lock() // a change that is under way comes first
	defer d.ops.Unlock()
	d.ended = true
	return errors.Join(err, d.backend.Close())
}

// event takes one finished invocation from the kernel.
func (d *daemon) event(e bpf.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, ok := d.functions[e.Cgroup]
	if ok {
		d.watch.saw(e.Cgroup)
		d.accountOf(e.Cgroup).saw(e)
	} else if g, was := d.gone[e.Cgroup]; was {
		f = g.function
	} else { // it went while no daemon ran
		d.unknown++
		return
	}
	if d.learnt != nil {
		d.learnt.record(f.UID, e.CPU)
	}
	d.window.Add(policy.Record{UID: f.UID, Arrive: clock.KTime(e.Arrive), End: clock.KTime(e.End), CPU: e.CPU})
	out := client.Event{UID: f.UID, Function: f.Name, Cgroup: uint64(e.Cgroup), PID: e.PID, NSPID: e.NSPID,
		ArriveNS: uint64(e.Arrive), StartNS: uint64(e.Start), EndNS: uint64(e.End), CPUNS: uint64(e.CPU), WaitNS: uint64(e.Wait),
		SwitchesVol: e.SwitchesVol, SwitchesInvol: e.SwitchesInvol, Tasks: e.Tasks, Busy: e.Busy}
	out.Slices, out.Exact = lengths(e)
	d.read = max(d.read+1, d.now())
	out.ReadNS = uint64(d.read)
	d.recent = append(d.recent, out)
	if n := len(d.recent) - keptEvents; n >= keptEvents {
		d.recent = slices.Delete(d.recent, 0, n) // now and then, not at every event
	}
	for r := range d.readers {
		select {
		case r <- out:
		default: // a reader that sleeps does not hold up the others
			d.dropped++
		}
	}
}

// updates publishes a policy every period of the mode, counted from when the
// mode was set. What an update takes does not shift the later ones.
func (d *daemon) updates(ctx context.Context) error {
	d.load.sample()
	begun, n := time.Now(), time.Duration(0)
	for {
		d.mu.Lock()
		every := d.mode.every()
		d.mu.Unlock()
		n = max(n, time.Since(begun)/every) + 1 // those missed are not made up for
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-d.changed:
			d.load.sample()
			begun, n = time.Now(), 0
			continue
		case <-time.After(time.Until(begun.Add(n * every))):
		}
		err := d.update()
		d.mu.Lock()
		d.lastErr = ""
		if err != nil {
			d.lastErr = err.Error()
		}
		d.mu.Unlock()
		d.check()
	}
}

// lengths are an invocation's on-CPU segments: exact if each was reported, else as
// far as the histogram tells.
func lengths(e bpf.Event) (out []client.Slices, exact bool) {
	n := map[uint64]uint64{}
	for _, us := range e.FullSlices {
		n[uint64(us)]++
	}
	for i, count := range e.Slices {
		if len(e.FullSlices) == 0 && count > 0 {
			from, to := bpf.SliceRange(i)
			n[uint64(max(from, (from+to)/2)/time.Microsecond)] += uint64(count)
		}
	}
	for _, us := range slices.Sorted(maps.Keys(n)) {
		out = append(out, client.Slices{LengthUS: us, Count: n[us]})
	}
	return out, len(e.FullSlices) > 0
}

// known is a copy of the functions there are.
func (d *daemon) known() map[bpf.CgroupID]client.Function {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.functions)
}

// setFunctions makes next the functions, once the kernel has taken them. If it
// refuses, all is as before. The caller holds ops.
func (d *daemon) setFunctions(next map[bpf.CgroupID]client.Function) error {
	set := func(functions []bpf.Function) error {
		if err := d.observer.SetFunctions(functions); err != nil {
			return err
		}
		return d.backend.SetFunctions(functions)
	}
	if err := set(d.kernelFunctions(next)); err != nil {
		return errors.Join(err, set(d.kernelFunctions(d.known())))
	}
	d.mu.Lock()
	d.remember(next)
	d.functions = next
	d.mu.Unlock()
	d.askControllers(next)
	if err := d.publishSteady(); err != nil {
		d.log.Error("publish the tables of a new function", "err", err) // the next period tries again
	}
	return nil
}

// remember keeps for a while those functions that are not among next. The caller holds mu.
func (d *daemon) remember(next map[bpf.CgroupID]client.Function) {
	now := d.now()
	maps.DeleteFunc(d.gone, func(_ bpf.CgroupID, g gone) bool { return now.Sub(g.at) > keepGone })
	for id, f := range d.functions {
		if _, stays := next[id]; !stays {
			d.gone[id] = gone{f, now}
		}
	}
}

func (d *daemon) kernelFunctions(functions map[bpf.CgroupID]client.Function) []bpf.Function {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []bpf.Function
	for id, f := range functions {
		a := d.accounts[id]
		all = append(all, d.kernelFunction(f, a != nil && a.busy))
	}
	return all
}

func (d *daemon) status() client.Status {
	d.check()
	n, err := d.observer.Lost()
	state := d.backend.State()
	stats, statsErr := d.backend.Stats()
	d.mu.Lock()
	defer d.mu.Unlock()
	s := client.Status{Mode: d.mode.wire, Backend: d.backend.Name(), BackendWhy: d.chosenBecause, Stats: stats, Generation: d.generation, Attached: state.Attached, Resumed: d.resumed, LoadPct: d.loadPct,
		Decisions: d.decisions, UpdateNS: d.tookNS, LastError: d.lastErr,
		Records: len(d.window.Records(d.now()))}
	if d.learnt != nil {
		s.Tables = d.learnt.tables(d.functions)
	}
	if err := errors.Join(err, statsErr); err != nil {
		s.LastError = err.Error()
	}
	s.RTRuntimeUS, s.RTPeriodUS = realTimeLimit()
	s.Lost = client.Lost{Invocations: n.Invocations + d.unknown, Tasks: n.Tasks, Slices: n.Slices, Orphans: n.Orphans, Stream: d.dropped}
	d.watch.status(&s)
	for _, r := range d.refused {
		s.Refused = append(s.Refused, r)
	}
	slices.SortFunc(s.Refused, func(a, b client.Refusal) int { return cmp.Compare(a.ID, b.ID) })
	return s
}

// realTimeLimit is the kernel's setting; zeros if it has none.
func realTimeLimit() (runtimeUS, periodUS int64) {
	for name, to := range map[string]*int64{"runtime": &runtimeUS, "period": &periodUS} {
		if data, err := os.ReadFile("/proc/sys/kernel/sched_rt_" + name + "_us"); err == nil {
			fmt.Sscan(string(data), to)
		}
	}
	return runtimeUS, periodUS
}

func (d *daemon) entries() ([]client.Entry, error) {
	entries, err := d.backend.Published()
	if err != nil {
		return nil, fmt.Errorf("read the policy from the kernel: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	out := []client.Entry{}
	for id, e := range entries {
		f := d.functions[id]
		f.ID = uint64(id)
		out = append(out, wireEntry(f, e))
	}
	slices.SortFunc(out, func(a, b client.Entry) int { return cmp.Compare(a.BiasUS, b.BiasUS) })
	return out, nil
}
