// SPDX-License-Identifier: Apache-2.0

package backend

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/host"
	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/bpf/scx"
)

// fakeScheduler notes what it is told.
type fakeScheduler struct {
	functions, pools []bpf.Function
	order            scx.Order
	rules            map[bpf.CgroupID]scx.Rule
	alive            time.Duration
	end              *scx.End
	closed           bool
}

func (f *fakeScheduler) SetFunctions(functions, pools []bpf.Function) error {
	f.functions, f.pools = functions, pools
	return nil
}
func (f *fakeScheduler) SetOrder(o scx.Order) error { f.order = o; return nil }
func (f *fakeScheduler) SetRules(r map[bpf.CgroupID]scx.Rule, _ scx.Rule) error {
	f.rules = r
	return nil
}
func (*fakeScheduler) SetLimits(map[bpf.CgroupID]scx.Limit) error { return nil }
func (*fakeScheduler) NeedsLimits() bool                          { return false }
func (f *fakeScheduler) KeepAlive(d time.Duration) error          { f.alive = d; return nil }
func (*fakeScheduler) Stats() (scx.Stats, error) {
	return scx.Stats{Functions: 3, Counts: map[string]uint64{"kept": 7}, Events: map[string]uint64{"SCX_EV": 1}}, nil
}
func (f *fakeScheduler) Ended() (scx.End, bool) {
	if f.end == nil {
		return scx.End{}, false
	}
	return *f.end, true
}
func (f *fakeScheduler) Close() error { f.closed = true; return nil }

// schedExtOn is the backend on a host without any cgroup; loaded are its schedulers.
func schedExtOn(t *testing.T) (b *schedExt, loaded *[]*fakeScheduler, now *time.Time, refuse *error) {
	loaded, now, refuse = &[]*fakeScheduler{}, new(time.Time), new(error)
	*now = time.Unix(1000, 0)
	b = newSchedExt(Options{Log: slog.New(slog.DiscardHandler)}, host.Host{Cgroups: t.TempDir(), SchedExt: t.TempDir()})
	b.now = func() time.Time { return *now }
	b.load = func(scx.Options) (extScheduler, error) {
		if *refuse != nil {
			return nil, *refuse
		}
		*loaded = append(*loaded, &fakeScheduler{})
		return (*loaded)[len(*loaded)-1], nil
	}
	return b, loaded, now, refuse
}

func onePolicy() model.Policy {
	return model.Policy{Entries: map[uint64]model.Entry{7: {Bias: time.Second, Slice: time.Millisecond}}, ValidFor: time.Minute}
}

// A scheduler that the kernel has ended is loaded again with what it knew, later
// each time; until then the status says why, and nothing fails.
func TestSchedExtIsLoadedAgain(t *testing.T) {
	b, loaded, now, refuse := schedExtOn(t)
	require.NoError(t, b.SetFunctions([]bpf.Function{{ID: 7, Cgroup: "/f"}}))
	require.Empty(t, *loaded)
	require.NoError(t, b.Publish(onePolicy()), "not enabled: nothing to tell")
	require.NoError(t, b.SetEnabled(true))
	require.NoError(t, b.SetEnabled(true))
	require.Len(t, *loaded, 1)
	first := (*loaded)[0]
	require.Equal(t, bpf.CgroupID(7), first.functions[0].ID)
	require.Equal(t, scx.Rule{Bias: time.Second, Slice: time.Millisecond}, first.rules[7])
	require.Equal(t, time.Minute, first.alive)
	require.True(t, b.State().Enabled)
	require.Empty(t, b.State().Problems)

	first.end = &scx.End{Reason: "runnable task stall", Message: "x[1] failed to run"}
	s := b.State()
	require.False(t, s.Enabled)
	require.Equal(t, client.BackendEnded, s.Problems[0].What)
	require.Contains(t, s.Problems[0].Why, "runnable task stall: x[1] failed to run")
	require.NoError(t, b.Publish(onePolicy()))
	require.True(t, first.closed)
	require.Len(t, *loaded, 1, "not at once")
	require.Contains(t, b.State().Problems[0].Why, "tried again in 1s")
	*now = now.Add(time.Second)
	*refuse = errors.New("the verifier refuses it")
	require.NoError(t, b.Publish(onePolicy()))
	require.Contains(t, b.State().Problems[0].Why, "the verifier refuses it; tried again in 2s")
	*refuse = nil
	*now = now.Add(time.Second)
	require.NoError(t, b.Publish(onePolicy()))
	require.Len(t, *loaded, 1)
	*now = now.Add(time.Second)
	require.NoError(t, b.Publish(onePolicy()))
	require.Len(t, *loaded, 2)
	require.NotEmpty(t, (*loaded)[1].rules)
	require.Empty(t, b.State().Problems)

	(*loaded)[1].end = &scx.End{Reason: "disabled by sysrq-S", ByUser: true}
	*now = now.Add(time.Hour)
	require.NoError(t, b.Publish(onePolicy()))
	*now = now.Add(time.Hour)
	require.NoError(t, b.Publish(onePolicy()))
	require.Len(t, *loaded, 2, "somebody wanted it to end")
	require.NoError(t, b.SetEnabled(true))
	require.Len(t, *loaded, 3)
	require.NoError(t, b.SetEnabled(false))
	require.True(t, (*loaded)[2].closed)
	require.False(t, b.State().Attached)
	require.NoError(t, b.Close())
}

func TestSchedExtStopsWhereItIsToldTo(t *testing.T) {
	b, loaded, now, _ := schedExtOn(t)
	b.reload = false
	require.NoError(t, b.SetEnabled(true))
	(*loaded)[0].end = &scx.End{Reason: "x"}
	for range 3 {
		require.NoError(t, b.Publish(onePolicy()))
		*now = now.Add(time.Hour)
	}
	require.Len(t, *loaded, 1)
	require.Contains(t, b.State().Problems[0].Why, "not by itself: alps mode begins it again")
}

// A policy in the scheduler's terms: ranks keep their order below the bound,
// steady's tables are steps, SFS is two biases.
func TestSchedExtRules(t *testing.T) {
	_, rules, _ := rulesOf(model.Policy{Entries: map[uint64]model.Entry{1: {Bias: 9 * time.Second}, 2: {Bias: 72 * time.Second}}})
	require.Equal(t, 2250*time.Millisecond, rules[1].Bias)
	require.Equal(t, scx.MaxBias, rules[2].Bias)
	_, rules, _ = rulesOf(model.Policy{Entries: map[uint64]model.Entry{1: {Bias: 1, Slice: time.Second, LateBias: model.StrictStep}}})
	require.Equal(t, scx.Rule{Bias: 1, Slice: time.Second, LateBias: scx.MaxBias}, rules[1])

	y, err := policy.NewSteady(policy.DefaultSteady())
	require.NoError(t, err)
	p := y.Params()
	_, rules, _ = rulesOf(model.Policy{Entries: map[uint64]model.Entry{1: {Steady: model.NewSteady(&p, y.Table("f"))}}})
	require.Len(t, rules[1].Steps, 1, "nothing is known at all")
	for range 30 {
		y.Record("f", 70*time.Millisecond)
	}
	y.Update()
	s := model.NewSteady(&p, y.Table("f"))
	order, rules, _ := rulesOf(model.Policy{Entries: map[uint64]model.Entry{1: {Steady: s}}})
	require.Equal(t, model.SchedExtOctave, order.Octave)
	require.Equal(t, s.Table.Seen, rules[1].Seen)
	require.Equal(t, s.Table.Steps[0].Index, rules[1].Steps[0].Index)
	require.Equal(t, scx.MaxBias, model.SchedExtMaxBias)
	require.Equal(t, scx.SlopeBits, model.SlopeBits)
	require.Equal(t, scx.MaxSteps, policy.MaxSteps)
	for used := time.Duration(0); used < 60*time.Millisecond; used += time.Millisecond {
		index := s.Table.Index(used)
		require.InDelta(t, s.SchedExtBias(used), order.Bias(index), float64(order.Octave)/2+1, "by half octaves, index %s", index)
	}
}

func TestSchedExtStats(t *testing.T) {
	b, _, _, _ := schedExtOn(t)
	st, err := b.Stats()
	require.NoError(t, err)
	require.Empty(t, st)
	require.NoError(t, b.SetEnabled(true))
	st, err = b.Stats()
	require.NoError(t, err)
	require.Contains(t, st, client.Stat{Name: "functions' tasks that run or wait", Value: 3})
	require.Contains(t, st, client.Stat{Name: "kept", Value: 7})
	require.Contains(t, st, client.Stat{Name: "SCX_EV", Value: 1})
}

// Only functions are taken where nobody else may use their CPUs.
func TestOwnCPUs(t *testing.T) {
	h := host.Host{Cgroups: t.TempDir()}
	set := func(dir, cpus string) {
		require.NoError(t, os.MkdirAll(filepath.Join(h.Cgroups, dir), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(h.Cgroups, dir, "cpuset.cpus.effective"), []byte(cpus+"\n"), 0o644))
	}
	set("alps.slice", "1-3")
	set("system.slice", "0")
	inPool := []bpf.Function{{ID: 1, Cgroup: "/alps.slice/docker-1.scope"}}
	require.True(t, ownCPUs(h, []int{1, 2, 3}, inPool))
	require.False(t, ownCPUs(h, nil, inPool), "nobody says which CPUs")
	require.False(t, ownCPUs(h, []int{1}, nil))
	require.False(t, ownCPUs(h, []int{1}, []bpf.Function{{ID: 1, Cgroup: "/system.slice/docker-1.scope"}}), "others are beside them")
	set("user.slice", "0-1")
	require.False(t, ownCPUs(h, []int{1, 2, 3}, inPool))
	require.True(t, ownCPUs(h, []int{2, 3}, inPool))
}
