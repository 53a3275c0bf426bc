// SPDX-License-Identifier: Apache-2.0

// Package policyflags are the parameters of the policies as flags, for the commands
// alps and alps-sim.
package policyflags

import (
	"encoding"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ds2-lab/alps/alps/policy"
)

// ALPS are the policy's parameters as flags: a preset chosen by -like,
// changed by the flags that were given.
type ALPS struct {
	fs    *flag.FlagSet
	like  like
	given policy.Params // values of the flags that were given, the paper's for the others
	apply map[string]func(to *policy.Params, from policy.Params)
}

// like is a preset. steady says that the policy steady may be named instead of one.
type like struct {
	name   string
	steady bool
}

func (l *like) String() string { return l.name }

func (l *like) Set(s string) error {
	l.name = s
	if s == LikeSteady {
		if !l.steady {
			return errors.New("steady is a scheduler of its own here: -scheduler steady")
		}
		return nil
	}
	_, err := policy.Like(s)
	return err
}

// NewALPS adds the flags to fs. Those about windows, periods and what is remembered
// make sense only for a policy that runs on; running says whether this one does.
// orSteady says that -like may name the policy steady, too. After fs.Parse, ask
// Params, and before that Steady if orSteady.
func NewALPS(fs *flag.FlagSet, running, orSteady bool) *ALPS {
	f := &ALPS{fs: fs, like: like{"paper", orSteady}, given: policy.Paper(), apply: map[string]func(*policy.Params, policy.Params){}}
	presets := "`preset`: paper, or artifact, the paper's public code"
	if orSteady {
		presets += "; or steady, the other policy"
	}
	fs.Var(&f.like, "like", presets)
	type params = policy.Params
	number := func(name string, field func(*params) *float64, usage string) {
		p := field(&f.given)
		fs.Float64Var(p, name, *p, usage)
		f.apply[name] = func(to *params, from params) { *field(to) = *field(&from) }
	}
	length := func(name string, field func(*params) *time.Duration, usage string) {
		p := field(&f.given)
		fs.DurationVar(p, name, *p, usage)
		f.apply[name] = func(to *params, from params) { *field(to) = *field(&from) }
	}
	truth := func(name string, field func(*params) *bool, usage string) {
		p := field(&f.given)
		fs.BoolVar(p, name, *p, usage)
		f.apply[name] = func(to *params, from params) { *field(to) = *field(&from) }
	}
	choice := func(name string, value encoding.TextUnmarshaler, byDefault encoding.TextMarshaler, apply func(*params, params), usage string) {
		fs.TextVar(value, name, byDefault, usage)
		f.apply[name] = apply
	}
	number("alpha", func(p *params) *float64 { return &p.Alpha }, "slice = alpha × learnt − beta × stdev, at least 0")
	number("beta", func(p *params) *float64 { return &p.Beta }, "see alpha")
	number("gamma", func(p *params) *float64 { return &p.Gamma }, "from a load of theta % on, slices shrink by (100 + theta − load) / (100 × gamma)")
	number("theta", func(p *params) *float64 { return &p.Theta }, "see gamma; in `percent`")
	truth("unpred", func(p *params) *bool { return &p.Unpredictability }, "tune slices for unpredictability: alpha, beta")
	truth("overload", func(p *params) *bool { return &p.Overload }, "tune slices for overload: gamma, theta")
	choice("learner", &f.given.Learner, f.given.Learner, func(to *params, from params) { to.Learner = from.Learner },
		"how the next slice is learnt, by `name`: "+strings.Join(policy.Learners(), ", "))
	number("ewma-weight", func(p *params) *float64 { return &p.EWMAWeight }, "weight of the newest slice, for ewma")
	fs.IntVar(&f.given.Records, "records", f.given.Records, "learn from at most the newest `n` records; 0 is no limit")
	f.apply["records"] = func(to *params, from params) { to.Records = from.Records }
	choice("share", &f.given.Share, f.given.Share, func(to *params, from params) { to.Share = from.Share },
		"what the simulated cores serve, by `name`: deal a share each, sample one share, or global one queue")
	fs.Uint64Var(&f.given.Seed, "seed", f.given.Seed, "of the shares and of rf")
	f.apply["seed"] = func(to *params, from params) { to.Seed = from.Seed }
	length("granularity", func(p *params) *time.Duration { return &p.Granularity }, "a simulated on-CPU segment is not preempted before")
	choice("rank-by", &f.given.RankBy, f.given.RankBy, func(to *params, from params) { to.RankBy = from.RankBy },
		"ranks follow, by `name`: wait, the mean under SRPT, or slice, the learnt one")
	truth("mean-burst", func(p *params) *bool { return &p.MeanBurst }, "simulate every record with its function's mean CPU time")
	number("burst-factor", func(p *params) *float64 { return &p.BurstFactor }, "simulate so much of the CPU time")
	length("slice-cap", func(p *params) *time.Duration { return &p.SliceCap }, "alpha × learnt is at most this; 0 is no cap")
	truth("monotone", func(p *params) *bool { return &p.Monotone }, "no slice is above that of the rank before")
	if running {
		number("smoothing", func(p *params) *float64 { return &p.Smoothing }, "weight of the former slice")
		length("window", func(p *params) *time.Duration { return &p.Window }, "learn from what ended within this; 0 is no bound")
		length("period", func(p *params) *time.Duration { return &p.Period }, "update so often; 0 is the window")
		truth("remember", func(p *params) *bool { return &p.Remember }, "keep the rank of a function that is not in the window")
	}
	return f
}

// Params are the preset's, changed by the flags, and checked.
func (f *ALPS) Params() (policy.Params, error) {
	p, err := policy.Like(f.like.name)
	if err != nil {
		return p, err
	}
	f.fs.Visit(func(g *flag.Flag) {
		if apply := f.apply[g.Name]; apply != nil {
			apply(&p, f.given)
		}
	})
	return p, p.Validate()
}

// Steady says whether -like names the policy steady. The error names the flags that
// were given and are for the other policy.
func (f *ALPS) Steady() (bool, error) {
	steady := f.like.name == LikeSteady
	return steady, f.foreign(steady, "-like=steady")
}

// foreign is an error that names the flags that were given and are for the policy that
// is not wanted: steady or another. what is how steady is asked for.
func (f *ALPS) foreign(steady bool, what string) error {
	var errs []error
	its := steadyFlags()
	f.fs.Visit(func(g *flag.Flag) {
		switch {
		case steady && f.apply[g.Name] != nil:
			errs = append(errs, fmt.Errorf("-%s: not with %s", g.Name, what))
		case !steady && its[g.Name]:
			errs = append(errs, fmt.Errorf("-%s: only with %s", g.Name, what))
		}
	})
	return errors.Join(errs...)
}

// Unused is an error that names the flags given that no scheduler of a simulation goes by:
// alps and steady say for which of the two policies there are some. -seed is for all.
func (f *ALPS) Unused(alps, steady bool) error {
	var errs []error
	its := steadyFlags()
	f.fs.Visit(func(g *flag.Flag) {
		switch {
		case !alps && f.apply[g.Name] != nil && g.Name != "seed", !alps && g.Name == "like":
			errs = append(errs, fmt.Errorf("-%s: no scheduler of -scheduler follows the policy alps: alps and ghost-alps do", g.Name))
		case !steady && its[g.Name]:
			errs = append(errs, fmt.Errorf("-%s: no scheduler of -scheduler follows the policy steady: steady and scx do", g.Name))
		}
	})
	return errors.Join(errs...)
}

// Percent is a flag for a load, in percent: 0 to 100.
type Percent float64

func (l *Percent) String() string { return strconv.FormatFloat(float64(*l), 'g', -1, 64) }

func (l *Percent) Set(s string) error {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 0 && v <= 100) {
		return fmt.Errorf("%q is outside [0, 100]", s)
	}
	*l = Percent(v)
	return nil
}
