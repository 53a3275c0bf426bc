// SPDX-License-Identifier: Apache-2.0

package backend

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/host"
	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/bpf"
)

// HooksKernel is the part of bpf.Backend that steers by the hooks in CFS; its
// methods are described there.
type HooksKernel interface {
	AttachHooks() error
	SetHooksEnabled(bool) error
	HooksEnabled() (bool, error)
	Rivals() (int, error)
	SetPolicy(map[bpf.CgroupID]bpf.Entry) error
	Policy() (map[bpf.CgroupID]bpf.Entry, error)
	KeepAlive(time.Duration) error
}

// hooks is the Backend of a kernel with the hooks in CFS. The functions are the
// observer's: both read one map.
type hooks struct {
	kernel   HooksKernel
	host     host.Host
	attached atomic.Bool
	wanted   atomic.Bool // whether the daemon has enabled it
	refused  refusals
}

// NewHooks steers by the hooks of k; attached says whether they are attached already.
func NewHooks(k HooksKernel, h host.Host, attached bool) Backend {
	b := &hooks{kernel: k, host: h}
	b.attached.Store(attached)
	return b
}

func (*hooks) Name() string { return NameHooks }

func (*hooks) Supports(string) error { return nil }

func (b *hooks) Attach() error {
	if b.attached.Load() {
		return nil
	}
	if err := b.kernel.AttachHooks(); err != nil {
		return err
	}
	b.attached.Store(true)
	return b.kernel.SetHooksEnabled(false)
}

// SetEnabled attaches the hooks once, for good: while they are not enabled the
// kernel does not ask them.
func (b *hooks) SetEnabled(on bool) error {
	if on {
		if err := b.Attach(); err != nil {
			return err
		}
	}
	if !b.attached.Load() {
		return nil
	}
	if err := b.kernel.SetHooksEnabled(on); err != nil {
		return err
	}
	b.wanted.Store(on)
	return nil
}

func (*hooks) SetFunctions([]bpf.Function) error { return nil }

func (b *hooks) Publish(p model.Policy) error { return publishEntries(b.kernel, p, &b.refused) }

func (b *hooks) Published() (map[bpf.CgroupID]model.Entry, error) { return publishedEntries(b.kernel) }

func (b *hooks) State() State {
	s := State{Attached: b.attached.Load(), Unsteered: b.refused.get(), Conditions: map[string]string{"hooks": "not attached"}}
	problem := func(what, format string, args ...any) {
		s.Problems = append(s.Problems, Problem{what, fmt.Sprintf(format, args...)})
	}
	if name, _ := b.host.UserScheduler(); name != "" {
		problem(client.OtherInCharge, "the sched_ext scheduler %s is in charge", name)
	}
	if !s.Attached {
		return s
	}
	if n, err := b.kernel.Rivals(); err != nil {
		problem(client.OtherInCharge, "cannot tell what else is attached to the hooks: %v", err)
	} else if n > 0 {
		problem(client.OtherInCharge, "%d other programs are attached to the hooks: another daemon", n)
	}
	on, err := b.kernel.HooksEnabled()
	s.Enabled, s.Conditions["hooks"] = on, fmt.Sprintf("attached, asked %t", on)
	if err != nil {
		s.Conditions["hooks"] = err.Error()
		problem(client.HooksOff, "cannot tell whether the kernel asks the hooks: %v", err)
	} else if !on && b.wanted.Load() {
		problem(client.HooksOff, "the kernel does not ask the hooks: kernel.sched_alps is 0 (alps mode turns it on again)")
	}
	return s
}

// Stats are none: the kernel counts the calls of the programs only while it is
// measured (alps bench backend), because counting costs more than they do.
func (*hooks) Stats() ([]client.Stat, error) { return nil, nil }

func (b *hooks) Close() error { return b.kernel.SetPolicy(nil) }

// publishEntries puts p into the kernel's policy map, but for the entries that go to refused.
func publishEntries(k HooksKernel, p model.Policy, to *refusals) error {
	refused := map[bpf.CgroupID]string{}
	var entries map[bpf.CgroupID]bpf.Entry
	if p.Entries != nil {
		entries = make(map[bpf.CgroupID]bpf.Entry, len(p.Entries))
	}
	for id, e := range p.Entries {
		x := bpf.Entry{BiasUS: micros(e.Bias), SliceUS: micros(e.Slice), LateBiasUS: micros(e.LateBias), Steady: e.Steady}
		if err := x.Check(); err != nil {
			refused[bpf.CgroupID(id)] = refusal(err)
			continue
		}
		entries[bpf.CgroupID(id)] = x
	}
	if err := k.SetPolicy(entries); err != nil {
		return err
	}
	to.Store(&refused)
	return k.KeepAlive(p.ValidFor)
}

// publishedEntries reads the kernel's policy map.
func publishedEntries(k HooksKernel) (map[bpf.CgroupID]model.Entry, error) {
	entries, err := k.Policy()
	if err != nil {
		return nil, err
	}
	out := make(map[bpf.CgroupID]model.Entry, len(entries))
	for id, e := range entries {
		out[id] = model.Entry{Bias: duration(e.BiasUS), Slice: duration(e.SliceUS), LateBias: duration(e.LateBiasUS), Steady: e.Steady}
	}
	return out, nil
}

func micros(d time.Duration) uint32 { return uint32(d / time.Microsecond) }

func duration(us uint32) time.Duration { return time.Duration(us) * time.Microsecond }
