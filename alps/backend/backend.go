// SPDX-License-Identifier: Apache-2.0

// Package backend has the ways in which a policy reaches the kernel: the hooks in
// CFS, a sched_ext scheduler, a scheduler in user space, or none at all. Choose takes
// the best that this kernel can have.
package backend

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/host"
	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/bpf/scx"
)

// Names of backends, as in client.Status.Backend.
const (
	NameAuto      = "auto"      // for Options: NameHooks where the kernel has them, else NameSchedExt where it takes that and nobody else's is in charge, else NameObserve
	NameHooks     = "hooks"     // the hooks in CFS, of package bpf
	NameSchedExt  = "scx"       // the sched_ext scheduler of package bpf/scx
	nameDelegated = "delegated" // package ghost, which asks the daemon for the policy
	NameObserve   = "observe"   // none: functions are observed only
)

// Names are what Options.Name may be.
func Names() []string { return []string{NameAuto, NameHooks, NameSchedExt} }

// Options say which backend is wanted. The zero value of each field works.
type Options struct {
	Name      string       // one of Names; "" is NameAuto
	CPUs      []int        // CPUs the functions run on; nil: all
	NoReload  bool         // a sched_ext scheduler that the kernel has ended stays away until SetEnabled
	Delegated bool         // a scheduler in user space decides, whatever Name says
	Log       *slog.Logger // nil discards
}

// Choose returns the best backend that this kernel can have of those that o allows,
// and why it is that one. Where it can have none, the backend observes only. It fails
// only if o.Name is none of Names.
func Choose(o Options, b *bpf.Backend) (chosen Backend, why string, err error) {
	if o.Delegated {
		return NewDelegated(b, host.This), "it is asked for", nil
	}
	name, why, err := choose(o.Name, kernelFacts{hooks: b.CheckHooks(), schedExt: scx.Supported(), inCharge: inCharge(scx.InCharge),
		load: func() error { return scx.Check(scx.Options{}) }})
	if err != nil {
		return nil, "", err
	}
	switch name {
	case NameHooks:
		return NewHooks(b, host.This, b.Attached()), why, nil
	case NameSchedExt:
		return newSchedExt(o, host.This), why, nil
	}
	return NewObserve(errors.New(why)), why, nil
}

// inCharge is the name of the sched_ext scheduler in charge; "" if there is none. For one
// named as ours it waits up to 5 s: the kernel may be about to take out a killed daemon's.
func inCharge(read func() string) string {
	name := read()
	for begun := time.Now(); name == scx.Name && time.Since(begun) < 5*time.Second; name = read() {
		time.Sleep(50 * time.Millisecond)
	}
	return name
}

// kernelFacts are what a kernel offers to backends. Each error says why not; nil: it does.
type kernelFacts struct {
	hooks    error
	schedExt error        // there is none, or none whose names are known
	inCharge string       // the sched_ext scheduler of somebody else
	load     func() error // loads ours as far as that changes nothing
}

// choose is the backend that a kernel can have of what is asked for, and why it is
// that one.
func choose(asked string, k kernelFacts) (name, why string, err error) {
	if asked != "" && !slices.Contains(Names(), asked) {
		return "", "", fmt.Errorf("backend %q: allowed: %s", asked, strings.Join(Names(), ", "))
	}
	if asked != NameSchedExt && k.hooks == nil {
		return NameHooks, "this kernel has the ALPS hooks", nil
	}
	if asked == NameHooks {
		return NameObserve, k.hooks.Error(), nil
	}
	noScx := k.schedExt
	if noScx == nil && k.inCharge != "" {
		noScx = fmt.Errorf("the sched_ext scheduler %s is in charge: end it, then start the daemon again", k.inCharge)
	} else if noScx == nil {
		noScx = k.load()
	}
	switch {
	case asked == NameSchedExt && noScx != nil:
		return NameObserve, noScx.Error(), nil
	case asked == NameSchedExt:
		return NameSchedExt, "it is asked for", nil
	case noScx != nil:
		return NameObserve, fmt.Sprintf("%v; %v", k.hooks, noScx), nil
	}
	return NameSchedExt, fmt.Sprintf("%v; but it has sched_ext", k.hooks), nil
}

// Backend is how a policy reaches the kernel. A daemon has one for its whole
// life; daemon.Run chooses it and closes it. The observer of invocations is not part of
// it: package bpf observes under every backend.
//
// Each method changes everything that it is asked to or nothing, and then
// returns an error that says why and what to do. The daemon calls the methods
// that change something one at a time (it holds daemon.ops), and State, Stats and
// Published at any moment, also at the same time as one of the others.
//
// A backend must be harmless without its daemon: when Policy.ValidFor has passed
// since the last Publish, for example because the daemon was killed or hangs, the
// kernel's own scheduler decides alone until the next Publish.
type Backend interface {
	// Name is one word that names the backend to people, such as hooks.
	Name() string

	// Supports says why the backend cannot carry out the policy of that name
	// (steady, alps, sfs or manual); nil if it can. A mode with another policy is
	// then refused, and nothing changes.
	Supports(policy string) error

	// Attach puts the backend's programs into the kernel without letting them
	// decide. A daemon that is told to expect switches of policy while something
	// is measured calls it at its begin, because attaching may disturb what runs.
	// A backend that disturbs nothing when it begins returns nil. Called again, it
	// does nothing. The error says why this kernel cannot have the backend.
	Attach() error

	// SetEnabled lets the backend decide, or lets the kernel's own scheduler
	// decide alone. It takes effect before it returns. The first
	// SetEnabled(true) includes Attach. If the kernel has ended the backend by
	// itself (State.Problems says so), SetEnabled(true) begins anew, with the
	// functions and the policy of before.
	SetEnabled(on bool) error

	// SetFunctions makes functions the cgroups that can be steered, in place of
	// those of before: a cgroup that is no longer among them is not steered from
	// then on, nor is any process that is left in it. The observer has accepted the
	// set. Processes that are in the cgroups already are steered, too.
	// At most bpf.MaxFunctions functions come.
	SetFunctions(functions []bpf.Function) error

	// Publish makes p the policy in place of the former: all functions change at
	// the same moment, and no decision of the kernel sees parts of two policies. A
	// function without an entry is treated as one with the zero Entry. Every cgroup
	// of p is a function. The backend keeps p valid for p.ValidFor from now on. Publish
	// also works while the backend is not enabled. An entry that the backend cannot carry
	// out is left out alone, and State.Unsteered says so: it takes nobody else's.
	Publish(p model.Policy) error

	// Published is the policy that counts at this moment, by cgroup; empty if none does:
	// nothing was published, it is no longer valid, or the kernel has ended the backend.
	// The hooks' is read back from the kernel; sched_ext's is what its scheduler was told last.
	Published() (map[bpf.CgroupID]model.Entry, error)

	// State says whether the backend decides at this moment. It takes less than a
	// few milliseconds: it is called at each update and each request for the status.
	State() State

	// Stats are the backend's counters since it was attached, for people.
	Stats() ([]client.Stat, error)

	// Close ends the backend, leaves the kernel as it was found, and waits until
	// the kernel's own scheduler decides alone.
	Close() error
}

// State is what a backend does at this moment.
type State struct {
	Attached bool // its programs are in the kernel
	Enabled  bool // the kernel asks them: sysctl, scheduler in charge

	// Problems keep the backend from deciding for any function though it was
	// enabled: somebody else is in charge, the kernel has ended the backend (with
	// the kernel's reason). The What of each is one of package client's constants.
	// While there is one, no function counts as steered.
	Problems []Problem

	// Unsteered are functions that the backend does not steer though the policy
	// has an entry for them, and why not.
	Unsteered map[bpf.CgroupID]string

	// Conditions are what must stay the same while something is measured, by name,
	// such as "hooks": "attached, asked true". See client.Status.Conditions.
	Conditions map[string]string
}

// Problem is why a backend does not decide.
type Problem struct {
	What string // one of package client's constants, such as client.HooksOff
	Why  string // for people: the cause, and what to do
}
