// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/backend"
	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/host"
	"github.com/ds2-lab/alps/bpf"
)

// fakeKernel keeps what the daemon tells it.
type fakeKernel struct {
	mu         sync.Mutex
	attached   int
	asks       bool
	policy     map[bpf.CgroupID]bpf.Entry
	functions  []bpf.Function
	keepAlive  time.Duration
	fullSlices bool
	events     chan bpf.Event
	lost       bpf.Lost
	rivals     int
	survey     bpf.Survey
	refuses    error // to set functions: more than before
	noSource   error // to set functions with busy periods
	noSwitch   error // to let the hooks decide, or not
	noSteady   error // to take a policy with tables
	forks      map[bpf.CgroupID]uint32
	published  func(map[bpf.CgroupID]bpf.Entry) // is told each policy
}

// locked runs f alone.
func locked[T any](k *fakeKernel, f func() T) T {
	k.mu.Lock()
	defer k.mu.Unlock()
	return f()
}

func (k *fakeKernel) AttachHooks() error {
	return locked(k, func() error { k.attached++; return nil })
}

func (k *fakeKernel) SetHooksEnabled(on bool) error {
	return locked(k, func() error {
		if k.noSwitch == nil {
			k.asks = on
		}
		return k.noSwitch
	})
}

func (k *fakeKernel) SetPolicy(p map[bpf.CgroupID]bpf.Entry) error {
	return locked(k, func() error {
		for _, e := range p {
			if e.Steady != nil && k.noSteady != nil {
				return k.noSteady
			}
		}
		k.policy = p
		if k.published != nil {
			k.published(p)
		}
		return nil
	})
}

func (k *fakeKernel) Policy() (map[bpf.CgroupID]bpf.Entry, error) {
	return locked(k, func() map[bpf.CgroupID]bpf.Entry { return k.policy }), nil
}

func (k *fakeKernel) KeepAlive(d time.Duration) error {
	return locked(k, func() error { k.keepAlive = d; return nil })
}

func (k *fakeKernel) SetFunctions(f []bpf.Function) error {
	return locked(k, func() error {
		if k.refuses != nil && len(f) > len(k.functions) {
			return k.refuses
		}
		for _, x := range f {
			if x.Source != bpf.SourceProcess && k.noSource != nil {
				return k.noSource
			}
		}
		k.functions = f
		return nil
	})
}

func (k *fakeKernel) Sweep() (bpf.Survey, error) {
	return locked(k, func() bpf.Survey { return k.survey }), nil
}

func (k *fakeKernel) Forks() (map[bpf.CgroupID]uint32, error) {
	return locked(k, func() map[bpf.CgroupID]uint32 { return k.forks }), nil
}

func (k *fakeKernel) HooksEnabled() (bool, error) {
	return locked(k, func() bool { return k.asks }), nil
}

func (k *fakeKernel) Rivals() (int, error) { return locked(k, func() int { return k.rivals }), nil }

func (k *fakeKernel) Functions() ([]bpf.Function, error) {
	return locked(k, func() []bpf.Function { return k.functions }), nil
}

func (k *fakeKernel) SetFullSlices(on bool) { locked(k, func() any { k.fullSlices = on; return nil }) }

func (k *fakeKernel) Lost() (bpf.Lost, error) {
	return locked(k, func() bpf.Lost { return k.lost }), nil
}

func (k *fakeKernel) Events(ctx context.Context, f func(bpf.Event)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-k.events:
			f(e)
		}
	}
}

// testHost is a host whose cgroups are directories.
func testHost(t *testing.T) host.Host {
	dir := t.TempDir()
	h := host.Host{Cgroups: dir + "/cgroup", SchedExt: dir + "/sched_ext", Proc: dir + "/kernel", CPUs: dir + "/online"}
	for path, text := range map[string]string{h.Cgroups + "/cgroup.subtree_control": "", h.Proc + "/osrelease": "6.1.0-test", h.CPUs: "0-1"} {
		write(t, path, text)
	}
	return h
}

func write(t *testing.T, path, text string) {
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

// add makes functions with a cgroup of their own, which has the CPU controller.
func add(t *testing.T, d *daemon, functions ...client.Function) {
	for _, f := range functions {
		f.Cgroup = "/alps.slice/" + f.UID
		write(t, d.host.Cgroups+f.Cgroup+"/cpu.weight", "100\n")
		require.NoError(t, d.add(f))
	}
}

// testKernel is a fakeKernel, or what is built around one.
type testKernel interface {
	observer
	backend.HooksKernel
}

// newTestDaemon steers by the hooks, or is delegated.
func newTestDaemon(t *testing.T, c Config, k testKernel) (*daemon, error) {
	h := testHost(t)
	var b backend.Backend = backend.NewHooks(k, h, false)
	if c.Delegated {
		b = backend.NewDelegated(k, h)
	}
	return newDaemon(c, k, b, h)
}
