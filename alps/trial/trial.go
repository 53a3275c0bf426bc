// SPDX-License-Identifier: Apache-2.0

// Package trial finds out whether a policy helps the functions of this host: it switches
// the running daemon to and fro between two modes and compares the turnarounds of the
// invocations that the daemon reports meanwhile.
//
// Assigning invocations to periods (tally), the statistics (compare) and the text (Print)
// know neither daemon nor clock.
package trial

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/figures/format"
	"github.com/ds2-lab/alps/internal/clock"
	"github.com/ds2-lab/alps/internal/progress"
)

const (
	// tick is how often progress is told, and a daemon missed.
	tick = 500 * time.Millisecond
	// late is how long after its end an invocation may be reported: the daemon sends what it
	// has every 50 ms, and a busy period is known 50 ms after its end.
	late = time.Second
	// patience is how long a daemon may be away, as one that is started anew.
	patience = 30 * time.Second
	// retry is how soon a daemon that did not answer is asked again.
	retry = 100 * time.Millisecond
)

// Config is what a trial does.
type Config struct {
	A, B   string        // policies, by the names of client.Policies
	Rounds int           // a period of each mode
	Each   time.Duration // a period
	Settle time.Duration // at the begin of a period: who arrives then is not counted
}

// Default is what an operator means who says nothing.
func Default() Config {
	return Config{A: client.PolicyCFS, B: client.PolicySteady, Rounds: 6, Each: 2 * time.Minute, Settle: 20 * time.Second}
}

// Check says what is wrong with c, with the names of the command's flags.
func (c Config) Check() error {
	var errs []error
	for _, f := range []struct{ flag, name string }{{"-a", c.A}, {"-b", c.B}} {
		if !slices.Contains(client.Policies(), f.name) {
			errs = append(errs, fmt.Errorf("%s=%s: allowed: %s", f.flag, f.name, strings.Join(client.Policies(), ", ")))
		}
	}
	if c.A == c.B {
		errs = append(errs, fmt.Errorf("-a and -b are both %s: there is nothing to compare", c.A))
	}
	if c.Rounds < 2 || c.Rounds > maxRounds {
		errs = append(errs, fmt.Errorf("-rounds=%d: want 2 to %d: one round says nothing of how much rounds differ by chance", c.Rounds, maxRounds))
	}
	if c.Settle < 0 {
		errs = append(errs, fmt.Errorf("-settle=%s: it is below 0", c.Settle))
	}
	if c.Each < time.Second || c.Each < 2*c.Settle {
		errs = append(errs, fmt.Errorf("-each=%s: want 1s or more, and at least twice -settle=%s, so that half of a period counts", c.Each, c.Settle))
	}
	return errors.Join(errs...)
}

const maxRounds = 1000

// Takes is how long the trial takes.
func (c Config) Takes() time.Duration { return time.Duration(2*c.Rounds) * c.Each }

// Daemon is what a trial asks of a daemon: *client.Client has it.
type Daemon interface {
	Status(ctx context.Context) (client.Status, error)
	SetMode(ctx context.Context, m client.Mode) error
	SetPolicy(ctx context.Context, rules []client.Rule) error
	Events(ctx context.Context, ready func(), f func(client.Event)) error
	EventsSince(ctx context.Context, readNS uint64, f func(client.Event)) error
}

// Trial is what a Config asks for, with what carries it out.
type Trial struct {
	Config   Config
	Daemon   Daemon
	Default  func(policy string) (client.Mode, error) // the mode of a policy of which the daemon has no parameters
	Socket   string                                   // the daemon's, for messages; "": client.DefaultSocket
	Progress *progress.Reporter                       // nil: none

	// For tests; nil is the host's clock.
	Now   func() clock.KTime
	Sleep func(ctx context.Context, d time.Duration) error
}

// running is a trial under way.
type running struct {
	Trial
	before client.Status // the daemon's at the begin
	modes  [2]setting    // by side
	notes  notes

	mu     sync.Mutex
	tally  tally
	newest uint64 // read_ns of the last event, or when the stream was opened
	broke  bool   // the stream has ended since answered was called

	everBroke bool
}

// Run carries out t. Whatever happens, the daemon has its former mode when Run
// returns, or the error says how to give it that. The report is nil where there is nothing
// to report: the trial was refused or ended before its first period.
func (t Trial) Run(ctx context.Context) (report *Report, failed error) {
	if err := t.Config.Check(); err != nil {
		return nil, err
	}
	if t.Now == nil {
		t.Now, t.Sleep = clock.Now, sleep
	}
	r := &running{Trial: t, tally: tally{settle: t.Config.Settle, names: map[string]string{}}}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	following, stop := context.WithCancel(context.WithoutCancel(ctx)) // to the end, also of a trial that is interrupted
	defer stop()
	if err := r.follow(ctx, following); err != nil {
		return nil, err
	}
	err := r.rounds(ctx)
	if ctx.Err() != nil {
		err = errors.New("the trial was interrupted")
	}
	failed = r.restore(context.WithoutCancel(ctx))
	if len(r.tally.periods) > 0 {
		report = r.report(err)
	}
	return report, errors.Join(err, failed)
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// prepare asks the daemon what it does, and refuses where no trial can be.
func (r *running) prepare(ctx context.Context) (err error) {
	if r.before, err = r.Daemon.Status(ctx); err != nil {
		return err
	}
	if r.before.Backend == "observe" {
		return fmt.Errorf("the daemon steers nothing on this kernel, so there is nothing to compare: %s", r.before.BackendWhy)
	}
	for s, name := range []string{r.Config.A, r.Config.B} {
		r.modes[s] = settingOf(r.before)
		if r.before.Mode.Policy == name {
			if name == client.PolicyManual && len(r.modes[s].rules) == 0 {
				return errors.New("the policy manual has no ranks yet, so it steers nothing: give it some first by alps policy -set")
			}
			continue
		}
		if name == client.PolicyManual {
			return fmt.Errorf("the policy manual has the ranks that alps policy -set gave it, and the daemon's policy is %s: switch first by alps mode -policy manual, and set ranks", r.before.Mode.Policy)
		}
		m, err := r.Default(name)
		if err != nil {
			return err
		}
		m.FullSlices = r.before.Mode.FullSlices // the same work for the observer under both, and another reader may want them
		r.modes[s] = setting{mode: m}
	}
	if len(r.before.Functions) == 0 {
		r.Progress.Printf("the daemon knows no function yet: alps status lists them; the trial counts those that come")
	}
	r.notes.known(r.before)
	r.Progress.Printf("takes %s: the daemon goes to and fro between %s and %s, and back to %s at the end; Ctrl-C ends it before", progress.Round(r.Config.Takes()), r.Config.A, r.Config.B, r.before.Mode.Policy)
	return nil
}

// rounds goes through all periods.
func (r *running) rounds(ctx context.Context) error {
	// A mode that the backend cannot carry out is refused now, not after a period of the other.
	if err := r.set(ctx, r.modes[1]); err != nil {
		return fmt.Errorf("-b=%s: %w", r.Config.B, err)
	}
	expected := slices.Repeat([]time.Duration{r.Config.Each}, 2*r.Config.Rounds)
	job := r.Progress.Job(expected, 1)
	for round := range r.Config.Rounds {
		for i, s := range order(round + 1) {
			step := job.Step(2*round+i, fmt.Sprintf("round %d: %s", round+1, r.modes[s].mode.Policy))
			p, err := r.period(ctx, step, round+1, s)
			switch {
			case errors.Is(err, context.Canceled):
				step.Done("interrupted")
			case err != nil:
				step.Done("failed")
			case p.left != "":
				step.Done("not counted: " + p.left)
			default:
				step.Done(format.Plural(r.seen(p), "invocation"))
			}
			if err != nil {
				return fmt.Errorf("round %d of %d, %s: %w", round+1, r.Config.Rounds, r.modes[s].mode.Policy, err)
			}
		}
	}
	return r.Sleep(ctx, late)
}

func (r *running) seen(p *period) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return p.seen()
}

// period is one period: it switches to the mode, waits, and judges whether the period
// counts. One that fails or is interrupted is not counted.
func (r *running) period(ctx context.Context, step *progress.Step, round int, s side) (p *period, err error) {
	r.mu.Lock()
	p = r.tally.next(round, s, r.Now())
	p.left = "it did not come to its end"
	r.mu.Unlock()
	defer func() {
		r.mu.Lock() // so that no invocation was added that ended later
		if p.end == 0 {
			p.end = r.Now()
		}
		r.mu.Unlock()
	}()
	if err := r.set(ctx, r.modes[s]); err != nil {
		return p, err
	}
	begin, err := r.status(ctx)
	if err != nil {
		return p, err
	}
	r.mu.Lock()
	p.begun = r.Now()
	until := p.begun.Add(r.Config.Each)
	r.mu.Unlock()
	for now := p.begun; now < until; now = r.Now() {
		if now.Sub(p.begun) < r.Config.Settle {
			step.Detail("settling")
		} else {
			step.Detail("%s", format.Plural(r.seen(p), "invocation"))
		}
		step.Frac(float64(now.Sub(p.begun)) / float64(r.Config.Each))
		if err := r.Sleep(ctx, min(tick, until.Sub(now))); err != nil {
			return p, err
		}
		if err := r.answered(ctx); err != nil {
			return p, err
		}
	}
	r.mu.Lock()
	p.end = r.Now()
	r.mu.Unlock()
	end, err := r.status(ctx)
	if err != nil {
		return p, err
	}
	p.left = leftOut(r.modes[s], begin, end, uint64(p.begun.Add(r.Config.Settle)))
	p.lost = end.Lost.Since(begin.Lost)
	r.notes.period(r.modes[s].mode.Policy, uint64(p.begun.Add(r.Config.Settle)), end)
	return p, nil
}

// leftOut says why a period under a mode does not count, by the daemon's status at its begin and
// end; since is when it began to count (CLOCK_MONOTONIC, ns). "": it counts.
func leftOut(m setting, begin, end client.Status, since uint64) string {
	if a, b := begin.Conditions["daemon"], end.Conditions["daemon"]; a != b {
		return fmt.Sprintf("the daemon was started anew (%s, then %s)", a, b)
	}
	for _, s := range []client.Status{begin, end} {
		if !same(s.Mode, m.mode) {
			if s.Mode.Policy != m.mode.Policy {
				return "somebody else switched the daemon to " + s.Mode.Policy
			}
			return "somebody else changed the parameters of " + s.Mode.Policy
		}
	}
	if m.mode.Policy == client.PolicyCFS {
		return ""
	}
	for _, p := range end.Problems {
		switch p.What {
		case client.HooksOff, client.OtherInCharge, client.BackendEnded:
			if p.EndedNS == 0 || p.EndedNS >= since {
				return fmt.Sprintf("%s did not decide: %s: %s", m.mode.Policy, p.What, p.Why)
			}
		}
	}
	return ""
}

// report is what is known at the end; ended is why that came early, if it did.
func (r *running) report(ended error) *Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := &Report{Modes: [2]client.Mode{r.modes[0].mode, r.modes[1].mode}, Rounds: r.Config.Rounds, EachNS: r.Config.Each, SettleNS: r.Config.Settle}
	if ended != nil {
		out.Ended = ended.Error()
	}
	r.tally.compare(out, r.notes.names(r.tally.names))
	out.Notes = r.notes.list(out, &r.tally, r.everBroke)
	return out
}
