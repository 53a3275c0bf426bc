// SPDX-License-Identifier: Apache-2.0

package backend

import (
	"fmt"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/bpf"
)

// observe is the Backend of a kernel that cannot be steered; why says so.
type observe struct{ why error }

// NewObserve observes only; why says what keeps this kernel from being steered.
func NewObserve(why error) Backend { return &observe{why: why} }

func (*observe) Name() string { return NameObserve }

func (b *observe) Supports(string) error {
	return fmt.Errorf("%w; the policy cfs observes only", b.why)
}

func (b *observe) Attach() error { return b.why }

func (b *observe) SetEnabled(on bool) error {
	if on {
		return b.why
	}
	return nil
}

func (*observe) SetFunctions([]bpf.Function) error { return nil }

func (b *observe) Publish(p model.Policy) error {
	if len(p.Entries) > 0 {
		return b.why
	}
	return nil
}

func (*observe) Published() (map[bpf.CgroupID]model.Entry, error) { return nil, nil }

func (*observe) State() State {
	return State{Conditions: map[string]string{"hooks": "not attached"}}
}

func (*observe) Stats() ([]client.Stat, error) { return nil, nil }

func (*observe) Close() error { return nil }
