// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"time"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/alps/sim/setup"
)

// alpsClass is CFS with both hooks answered by package policy, as the daemon does.
type alpsClass struct {
	*fair
	policy *policy.Policy
	window policy.Window
	biases []int64
	slices []int64
	byUID  map[string]int32
	order  string
	step   time.Duration
}

func newALPS(m *machine, s Spec) (*alpsClass, error) {
	p, err := policy.New(s.Params)
	if err != nil {
		return nil, err
	}
	groups := len(m.Functions) + 2 // the others have no entry
	a := &alpsClass{fair: newCFS(m, false), policy: p, window: s.Params.NewWindow(len(m.cores)), order: s.Order, step: s.Step,
		biases: make([]int64, groups), slices: make([]int64, groups), byUID: map[string]int32{}}
	for i, f := range m.Functions {
		a.byUID[f.UID] = int32(i)
	}
	a.hooks = &hooks{
		now:  func() int64 { return m.now },
		bias: func(e *entity) int64 { return a.biases[e.my.group] },
		keep: func(e *entity) int64 {
			if g := e.function(); g >= 0 {
				return a.slices[g]
			}
			return 0
		},
	}
	return a, nil
}

func (a *alpsClass) exit(core int, t *task) {
	a.fair.exit(core, t)
	if t.platform {
		return
	}
	a.window.Add(a.m.record(t))
}

func (a *alpsClass) period() time.Duration { return a.policy.Params().Every() }

func (a *alpsClass) update(loadPct float64) {
	decisions := a.policy.Update(a.window.Records(a.m.ktime()), loadPct, len(a.m.cores))
	clear(a.slices)
	clear(a.biases)
	unknown, ok := model.UnknownRank(decisions)
	if !ok {
		return
	}
	for i := range a.m.Functions {
		a.biases[i] = a.biasOf(unknown)
	}
	if a.order == model.OrderFIFO && a.m.Platform.Cgroup == setup.PlatformBeside {
		a.biases[a.m.platform()] = a.biasOf(1) // as the artifact, which compares whatever is queued
	}
	for _, d := range decisions {
		i := a.byUID[d.UID]
		a.biases[i], a.slices[i] = a.biasOf(d.Rank), int64(min(d.Slice, model.MaxSlice))
	}
}

// biasOf is the hook's answer for a rank.
func (a *alpsClass) biasOf(rank int) int64 { return int64(model.Bias(a.order, rank, a.step)) }
