// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/ds2-lab/alps/alps/backend"
	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/host"
	"github.com/ds2-lab/alps/bpf"
)

// Config is a daemon. The zero value of each field works.
type Config struct {
	Mode   client.Mode  // without a policy: steady, and where backend auto finds none cfs, which only observes
	Socket string       // "": client.DefaultSocket
	Docker string       // Docker's address; "": from the environment; "none": do not look for containers
	Pin    string       // directory on a BPF file system by which a killed daemon is resumed; "": DefaultPin
	Hooks  bool         // attach the backend at once, even if the mode does not need it (Backend.Attach)
	CPUs   []int        // CPUs the functions run on; nil: all
	Source string       // of invocations, where a function does not say: client.SourceAuto and the like; "": auto
	Log    *slog.Logger // nil discards

	// Cgroups are patterns of paths of functions' cgroups, or names of platforms;
	// see docs/observer.md.
	Cgroups []string

	// Backend is how policies reach the kernel: one of backend.Names; "" is auto.
	Backend string
	// NoReload leaves a sched_ext scheduler that the kernel has ended where it is,
	// until the mode is set. Without it the scheduler is loaded again, later each time.
	NoReload bool

	// Delegated is for kernels without hooks: policies are learnt and
	// published, and a scheduler in user space (package ghost) acts on them.
	Delegated bool
}

// DefaultPin is where maps and attachments are kept for a daemon that is killed.
const DefaultPin = "/sys/fs/bpf/alps"

// observer is what the daemon needs of bpf.Backend to see invocations.
type observer interface {
	SetFunctions([]bpf.Function) error
	Functions() ([]bpf.Function, error)
	SetFullSlices(bool)
	Events(context.Context, func(bpf.Event)) error
	Lost() (bpf.Lost, error)
	Sweep() (bpf.Survey, error)
	Forks() (map[bpf.CgroupID]uint32, error)
}

// Run loads and attaches the BPF programs and serves until ctx ends; then the kernel's
// own scheduler decides alone again. If the process is killed instead, it does so at once
// (sched_ext) or validPeriods periods after the last update (hooks); the observer goes on
// in the kernel, and the next Run resumes.
func Run(ctx context.Context, c Config) error {
	if c.Socket == "" {
		c.Socket = client.DefaultSocket
	}
	if c.Pin == "" {
		c.Pin = DefaultPin
	}
	if err := host.This.CheckCPUs(c.CPUs); err != nil {
		return fmt.Errorf("functions' CPUs: %w", err)
	}
	// First, because it is what tells that another daemon lives.
	l, err := listen(c.Socket)
	if err != nil {
		return err
	}
	defer l.Close()
	b, err := bpf.Load(bpf.Options{Pin: c.Pin})
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.AttachObserver(); err != nil {
		return err
	}
	chosen, why, err := backend.Choose(backend.Options{Name: c.Backend, CPUs: c.CPUs, NoReload: c.NoReload, Delegated: c.Delegated, Log: c.Log}, b)
	if err != nil {
		return err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Mode = modeUnder(c, chosen.Name())
	if chosen.Name() == backend.NameObserve && c.Mode.Policy == client.PolicyCFS {
		c.Hooks = false
		c.Log.Warn("invocations are observed only: nothing is steered", "why", why)
	} else {
		c.Log.Info("the backend is chosen", "backend", chosen.Name(), "why", why)
	}
	d, err := newDaemon(c, b, chosen, host.This)
	if err != nil {
		return err
	}
	d.chosenBecause = why
	d.resumed = b.Resumed
	return d.run(ctx, l)
}

// modeUnder is the mode of a daemon: c's, and where nobody has chosen one the
// default, or cfs if auto has found no backend to steer by.
func modeUnder(c Config, name string) client.Mode {
	if c.Mode.Policy != "" || name != backend.NameObserve || (c.Backend != "" && c.Backend != backend.NameAuto) {
		return c.Mode
	}
	return client.Mode{Policy: client.PolicyCFS, FullSlices: c.Mode.FullSlices}
}
