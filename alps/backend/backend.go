// SPDX-License-Identifier: Apache-2.0

// Package backend has the ways in which a policy reaches the kernel: the hooks in
// CFS, a sched_ext scheduler, a scheduler in user space, or none at all. Choose takes
// the best that this kernel can have.
package backend

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/host"
	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/bpf/scx"
)

// Names of backends, as in client.Status.Backend.
const (
	NameAuto      = "auto"      // for Options: NameHooks where the kernel has them, else NameObserve
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

// Choose returns the best backend that this kernel can have of those that o allows.
// Where it can have none, the backend observes only, and its Attach says why. It
// fails only if o.Name is none of Names.
func Choose(o Options, b *bpf.Backend) (Backend, error) {
	if o.Delegated {
		return NewDelegated(b, host.This), nil
	}
	noHooks, noScx := b.CheckHooks(), scx.Supported()
	switch o.Name {
	case "", NameAuto:
		if noHooks == nil {
			return NewHooks(b, host.This, b.Attached()), nil
		}
		if noScx == nil {
			// Not by itself before its guest tests have run on the kernels it is for.
			return NewObserve(fmt.Errorf("%w, or give -backend=scx: it has sched_ext", noHooks)), nil
		}
		return NewObserve(fmt.Errorf("%w; %w", noHooks, noScx)), nil
	case NameHooks:
		if noHooks == nil {
			return NewHooks(b, host.This, b.Attached()), nil
		}
		return NewObserve(noHooks), nil
	case NameSchedExt:
		if noScx == nil {
			return newSchedExt(o, host.This), nil
		}
		return NewObserve(noScx), nil
	}
	return nil, fmt.Errorf("backend %q: allowed: %s", o.Name, strings.Join(Names(), ", "))
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
	// those of before: who is not among them any more is the kernel's own
	// scheduler's at once, with what is left of its processes. The observer has
	// accepted the set. Processes that are in the cgroups already are steered, too.
	// At most bpf.MaxFunctions functions come.
	SetFunctions(functions []bpf.Function) error

	// Publish makes p the policy in place of the former: all functions change at
	// the same moment, and no decision of the kernel sees parts of two policies. A
	// function without an entry is the kernel's own scheduler's. Every cgroup of p
	// is a function. The backend keeps p valid for p.ValidFor from now on. Publish
	// also works while the backend is not enabled.
	Publish(p model.Policy) error

	// Published reads the valid policy back from the kernel, by cgroup. A backend
	// that cannot read something back leaves that field zero.
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
