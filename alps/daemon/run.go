// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/bpf/scx"
)

// Config is a daemon. The zero value of each field works.
type Config struct {
	Mode   client.Mode  // zero: steady
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

	// Backend is how policies reach the kernel: one of Backends; "" is auto.
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

// Run loads and attaches the BPF programs and serves until ctx ends; then CFS
// decides alone again. If the process is killed instead, CFS decides alone once
// the heartbeat is missed, the observer goes on in the kernel, and the next Run
// resumes.
func Run(ctx context.Context, c Config) error {
	if c.Socket == "" {
		c.Socket = client.DefaultSocket
	}
	if c.Pin == "" {
		c.Pin = DefaultPin
	}
	if err := CheckCPUs(c.CPUs); err != nil {
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
	backend, err := chooseBackend(c, b)
	if err != nil {
		return err
	}
	if o, ok := backend.(*observe); ok && c.Mode.Policy == policyCFS {
		c.Hooks = false
		if c.Log != nil {
			c.Log.Warn("invocations are observed only", "why", o.why)
		}
	}
	d, err := newDaemon(c, b, backend, thisHost)
	if err != nil {
		return err
	}
	d.resumed = b.Resumed
	return d.run(ctx, l)
}

// BackendAuto is the hooks where the kernel has them, else none; the reason names sched_ext where that is there.
const BackendAuto = "auto"

// Backends are what Config.Backend may be.
func Backends() []string { return []string{BackendAuto, backendHooks, backendSchedExt} }

// chooseBackend is the best that this kernel can have of what c allows.
func chooseBackend(c Config, b *bpf.Backend) (Backend, error) {
	if c.Delegated {
		return &delegated{kernel: b, host: thisHost}, nil
	}
	noHooks, noScx := b.CheckHooks(), scx.Supported()
	switch c.Backend {
	case "", BackendAuto:
		if noHooks == nil {
			return newHooks(b, thisHost, b.Attached()), nil
		}
		if noScx == nil {
			// Not by itself before its guest tests have run on the kernels it is for.
			return &observe{why: fmt.Errorf("%w, or give -backend=scx: it has sched_ext", noHooks)}, nil
		}
		return &observe{why: fmt.Errorf("%w; %w", noHooks, noScx)}, nil
	case backendHooks:
		if noHooks == nil {
			return newHooks(b, thisHost, b.Attached()), nil
		}
		return &observe{why: noHooks}, nil
	case backendSchedExt:
		if noScx == nil {
			return newSchedExt(c, thisHost), nil
		}
		return &observe{why: noScx}, nil
	}
	return nil, fmt.Errorf("backend %q: allowed: %s", c.Backend, strings.Join(Backends(), ", "))
}
