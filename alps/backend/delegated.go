// SPDX-License-Identifier: Apache-2.0

package backend

import (
	"errors"
	"sync/atomic"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/host"
	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/bpf"
)

// delegated is the Backend of a scheduler in user space (package ghost), which
// asks the daemon for the policy. The daemon keeps it in the kernel's map.
type delegated struct {
	kernel  HooksKernel
	host    host.Host
	wanted  atomic.Bool
	refused refusals
}

// NewDelegated keeps the policy in k's map, for the scheduler in user space on h.
func NewDelegated(k HooksKernel, h host.Host) Backend { return &delegated{kernel: k, host: h} }

func (*delegated) Name() string { return nameDelegated }

func (*delegated) Supports(policy string) error {
	switch policy {
	case client.PolicySteady:
		return errors.New("the scheduler in user space knows no tables: its policies are alps and manual")
	case client.PolicySFS:
		return errors.New("the scheduler in user space does not count what an invocation has used: its policies are alps and manual")
	}
	return nil
}

func (*delegated) Attach() error { return nil }

func (b *delegated) SetEnabled(on bool) error { b.wanted.Store(on); return nil }

func (*delegated) SetFunctions([]bpf.Function) error { return nil }

func (b *delegated) Publish(p model.Policy) error { return publishEntries(b.kernel, p, &b.refused) }

func (b *delegated) Published() (map[bpf.CgroupID]model.Entry, error) {
	return publishedEntries(b.kernel)
}

func (b *delegated) State() State {
	name, _ := b.host.UserScheduler()
	s := State{Enabled: name != "", Unsteered: b.refused.get(), Conditions: map[string]string{"hooks": "not attached"}}
	if name == "" && b.wanted.Load() {
		s.Problems = []Problem{{client.OtherInCharge, "no scheduler in user space takes decisions: start alps-ghost"}}
	}
	return s
}

func (*delegated) Stats() ([]client.Stat, error) { return nil, nil }

func (b *delegated) Close() error { return b.kernel.SetPolicy(nil) }
