// Package alps is the scheduler daemon: it watches the invocations of the
// functions on this host, lets package policy learn ranks and slices from the
// last seconds, and keeps them in the kernel's policy map.
//
// A function is a cgroup. Docker containers with the labels alps.function.uid
// and alps.function.name are found by themselves; any other cgroup can be
// registered over the daemon's socket.
package alps

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/bpf"
)

// Config is a daemon. The zero value of each field works.
type Config struct {
	Mode   client.Mode  // zero: ALPS as in the paper, order bounded
	Socket string       // "": client.DefaultSocket
	Docker string       // Docker's address; "": from the environment; "none": do not look for containers
	CPUs   []int        // CPUs the functions run on; nil: all
	Log    *slog.Logger // nil discards
}

// kernel is what the daemon needs of bpf.Backend.
type kernel interface {
	SetPolicy(map[bpf.CgroupID]bpf.Entry) error
	Policy() (map[bpf.CgroupID]bpf.Entry, error)
	KeepAlive(time.Duration) error
	SetFunctions([]bpf.CgroupID) error
	Events(context.Context, func(bpf.Event)) error
	Lost() (uint64, error)
}

// Run loads and attaches the BPF programs and serves until ctx ends; then CFS
// decides alone again.
func Run(ctx context.Context, c Config) error {
	b, err := bpf.Load()
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.AttachObserver(); err != nil {
		return err
	}
	// Attached once, for good: in the mode cfs the map is empty.
	if err := b.AttachHooks(); err != nil {
		return err
	}
	d, err := newDaemon(c, b)
	if err != nil {
		return err
	}
	return d.run(ctx)
}

type daemon struct {
	config Config
	kernel kernel
	log    *slog.Logger
	now    func() policy.KTime
	load   *loadMeter

	changed chan struct{} // the mode changed: begin its period anew

	mu         sync.Mutex
	mode       mode
	policy     *policy.Policy
	window     policy.Window
	functions  map[bpf.CgroupID]client.Function
	decisions  []policy.Decision
	generation uint64
	loadPct    float64
	tookNS     int64
	lastErr    string
	dropped    uint64
	readers    map[chan client.Event]bool
}

func newDaemon(c Config, k kernel) (*daemon, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Mode.Policy == "" {
		c.Mode.Policy = "alps"
	}
	if c.Socket == "" {
		c.Socket = client.DefaultSocket
	}
	d := &daemon{config: c, kernel: k, log: c.Log, now: monotonic, load: &loadMeter{cpus: c.CPUs},
		changed: make(chan struct{}, 1), functions: map[bpf.CgroupID]client.Function{}, readers: map[chan client.Event]bool{}}
	return d, d.setMode(c.Mode)
}

// monotonic is the clock of the kernel's events.
func monotonic() policy.KTime {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail for this clock
	return policy.KTime(ts.Nano())
}

func (d *daemon) run(ctx context.Context) error {
	l, err := listen(d.config.Socket)
	if err != nil {
		return err
	}
	defer l.Close()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.serve(ctx, l) })
	g.Go(func() error { return d.kernel.Events(ctx, d.event) })
	g.Go(func() error { return d.updates(ctx) })
	if d.config.Docker != "none" {
		g.Go(func() error { return d.discover(ctx) })
	}
	err = g.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, d.kernel.SetPolicy(nil))
}

// setMode switches what decides and forgets what was learnt under the former.
func (d *daemon) setMode(m client.Mode) error {
	next, err := parseMode(m)
	if err != nil {
		return err
	}
	p, err := policy.New(next.params)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.kernel.SetPolicy(nil); err != nil {
		return err
	}
	d.mode, d.policy, d.decisions = next, p, nil
	d.window = next.params.NewWindow(d.load.count())
	select {
	case d.changed <- struct{}{}:
	default:
	}
	d.log.Info("mode", "policy", m.Policy, "order", next.order, "step", next.step)
	return nil
}

// event takes one finished invocation from the kernel.
func (d *daemon) event(e bpf.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, ok := d.functions[e.Cgroup]
	if !ok {
		return // unregistered since
	}
	d.window.Add(policy.Record{UID: f.UID, Arrive: policy.KTime(e.Arrive), End: policy.KTime(e.End), CPU: e.CPU})
	out := client.Event{UID: f.UID, Function: f.Name, Cgroup: uint64(e.Cgroup), PID: e.PID, NSPID: e.NSPID,
		ArriveNS: uint64(e.Arrive), StartNS: uint64(e.Start), EndNS: uint64(e.End), CPUNS: uint64(e.CPU),
		SwitchesVol: e.SwitchesVol, SwitchesInvol: e.SwitchesInvol}
	for r := range d.readers {
		select {
		case r <- out:
		default: // a reader that sleeps does not hold up the others
			d.dropped++
		}
	}
}

// updates publishes a policy every period of the mode.
func (d *daemon) updates(ctx context.Context) error {
	d.load.sample()
	for {
		d.mu.Lock()
		every := d.mode.params.Every()
		d.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-d.changed:
			d.load.sample()
			continue
		case <-time.After(every):
		}
		err := d.update()
		d.mu.Lock()
		d.lastErr = ""
		if err != nil {
			d.lastErr = err.Error()
			d.log.Error("update", "err", err)
		}
		d.mu.Unlock()
	}
}

func (d *daemon) update() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	load, err := d.load.sample()
	if err != nil {
		return err
	}
	d.loadPct = load
	if !d.mode.alps {
		return nil
	}
	begun := time.Now()
	d.decisions = d.policy.Update(d.window.Records(d.now()), load, d.load.count())
	entries := map[bpf.CgroupID]bpf.Entry{}
	var errs []error
	for id, f := range d.functions {
		decision, ok := d.decide(f.UID)
		if !ok {
			continue // plain CFS until something is known
		}
		e, err := d.mode.entry(decision)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		entries[id] = e
	}
	d.tookNS = time.Since(begun).Nanoseconds()
	d.generation++
	if err := d.kernel.SetPolicy(entries); err != nil {
		return err
	}
	// Silent for two periods, this daemon is as good as dead.
	return errors.Join(append(errs, d.kernel.KeepAlive(2*d.mode.params.Every()))...)
}

// decide finds what is wanted of a function. One that nothing is known of,
// among others that are ranked, gets the median rank and the kernel's slice:
// without an entry its bias would be 0, and it would go before all others.
func (d *daemon) decide(uid string) (policy.Decision, bool) {
	if len(d.decisions) == 0 {
		return policy.Decision{}, false
	}
	for _, x := range d.decisions {
		if x.UID == uid {
			return x, true
		}
	}
	return policy.Decision{UID: uid, Rank: d.decisions[len(d.decisions)/2].Rank}, true // sorted by rank
}

// setFunctions changes the set of functions and tells the kernel.
func (d *daemon) setFunctions(change func(map[bpf.CgroupID]client.Function)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d.functions)
	if err := d.kernel.SetFunctions(slices.Collect(maps.Keys(d.functions))); err != nil {
		return err
	}
	return nil
}

func (d *daemon) status() client.Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := client.Status{Mode: d.mode.wire, Generation: d.generation, LoadPct: d.loadPct, Lost: d.dropped,
		Decisions: d.decisions, UpdateNS: d.tookNS, LastError: d.lastErr,
		Records: len(d.window.Records(d.now()))}
	for _, f := range d.functions {
		s.Functions = append(s.Functions, f)
	}
	slices.SortFunc(s.Functions, func(a, b client.Function) int { return int(a.ID) - int(b.ID) })
	if n, err := d.kernel.Lost(); err == nil {
		s.Lost += n
	} else {
		s.LastError = err.Error()
	}
	return s
}

func (d *daemon) entries() ([]client.Entry, error) {
	entries, err := d.kernel.Policy()
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	out := []client.Entry{}
	for id, e := range entries {
		f := d.functions[id]
		f.ID = uint64(id)
		out = append(out, client.Entry{Function: f, BiasUS: e.BiasUS, SliceUS: e.SliceUS})
	}
	slices.SortFunc(out, func(a, b client.Entry) int { return int(a.BiasUS) - int(b.BiasUS) })
	return out, nil
}
