// SPDX-License-Identifier: Apache-2.0

package backend

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	unknown          scx.Rule // of functions without one
	alive            time.Duration
	limits           map[bpf.CgroupID]scx.Limit
	end              *scx.End
	closed           bool
	refuses          error // to set rules
	noLimits         bool  // the kernel does not tell of cpu.max itself
}

func (f *fakeScheduler) SetFunctions(functions, pools []bpf.Function) error {
	f.functions, f.pools = functions, pools
	return nil
}
func (f *fakeScheduler) SetOrder(o scx.Order) error { f.order = o; return nil }
func (f *fakeScheduler) SetRules(r map[bpf.CgroupID]scx.Rule, unknown scx.Rule) error {
	if f.refuses != nil {
		return f.refuses
	}
	for id := range r {
		if !slices.ContainsFunc(f.functions, func(x bpf.Function) bool { return x.ID == id }) {
			return fmt.Errorf("rule of cgroup %d: it is no function", id)
		}
	}
	f.rules, f.unknown = r, unknown
	return nil
}
func (f *fakeScheduler) SetLimits(l map[bpf.CgroupID]scx.Limit) error { f.limits = l; return nil }
func (f *fakeScheduler) NeedsLimits() bool                            { return f.noLimits }
func (f *fakeScheduler) KeepAlive(d time.Duration) error              { f.alive = d; return nil }
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

func oneFunction() []bpf.Function { return []bpf.Function{{ID: 7, Cgroup: "/f"}} }

// No task is taken before there is a function; then the log says whose tasks are
// taken and how to get them back. If only functions' need to be, or all
// must be, the scheduler is loaded anew.
func TestSchedExtTakesWhatItMust(t *testing.T) {
	b, loaded, _, refuse := schedExtOn(t)
	var log strings.Builder
	b.log = slog.New(slog.NewTextHandler(&log, nil))
	b.cpus = []int{1, 2}
	for dir, cpus := range map[string]string{"alps.slice": "1-2", "system.slice": "0"} {
		require.NoError(t, os.MkdirAll(filepath.Join(b.host.Cgroups, dir), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(b.host.Cgroups, dir, "cpuset.cpus.effective"), []byte(cpus+"\n"), 0o644))
	}
	require.NoError(t, b.SetEnabled(true))
	require.NoError(t, b.Publish(onePolicy()))
	require.Empty(t, *loaded)
	require.Empty(t, b.State().Problems)
	require.Contains(t, log.String(), "loaded once there is a function")

	inPool, outside := bpf.Function{ID: 7, Cgroup: "/alps.slice/f"}, bpf.Function{ID: 2, Cgroup: "/system.slice/f"}
	require.NoError(t, b.SetFunctions([]bpf.Function{inPool}))
	require.Len(t, *loaded, 1)
	require.Contains(t, log.String(), "functions' tasks only, on CPUs [1 2]")
	require.Contains(t, log.String(), "alps mode -policy cfs")
	require.NotEmpty(t, (*loaded)[0].rules, "what was published before")

	require.NoError(t, b.SetFunctions([]bpf.Function{inPool, outside}))
	require.Len(t, *loaded, 2)
	require.True(t, (*loaded)[0].closed)
	require.Contains(t, log.String(), "all tasks of this host but real-time ones")
	require.NoError(t, b.SetFunctions([]bpf.Function{outside}))
	require.NoError(t, b.SetFunctions(nil))
	require.Len(t, *loaded, 2, "nothing changes whose tasks are taken")

	*refuse = errors.New("scx_theirs is in charge")
	require.NoError(t, b.SetFunctions([]bpf.Function{inPool}), "the functions are observed all the same")
	require.Contains(t, b.State().Problems[0].Why, "scx_theirs is in charge; tried again in 1s")
}

// Somebody else's scheduler is a problem for one who wants to steer only.
func TestAnotherSchedulerIsAProblemWhereItIsInTheWay(t *testing.T) {
	b, _, _, refuse := schedExtOn(t)
	require.NoError(t, os.MkdirAll(filepath.Join(b.host.SchedExt, "root"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(b.host.SchedExt, "state"), []byte("enabled\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(b.host.SchedExt, "root", "ops"), []byte("scx_theirs\n"), 0o644))
	require.Empty(t, b.State().Problems)
	*refuse = errors.New("busy")
	require.NoError(t, b.SetEnabled(true))
	require.NoError(t, b.SetFunctions(oneFunction()))
	require.Equal(t, client.OtherInCharge, b.State().Problems[1].What)
}

// A scheduler that the kernel has ended is loaded again with what it knew, later
// each time; until then the status says why, and nothing fails.
func TestSchedExtIsLoadedAgain(t *testing.T) {
	b, loaded, now, refuse := schedExtOn(t)
	require.NoError(t, b.SetFunctions(oneFunction()))
	require.Empty(t, *loaded)
	require.NoError(t, b.Publish(onePolicy()), "not enabled: nothing to tell")
	require.NoError(t, b.SetEnabled(true))
	require.NoError(t, b.SetEnabled(true))
	require.Len(t, *loaded, 1)
	first := (*loaded)[0]
	require.Equal(t, bpf.CgroupID(7), first.functions[0].ID)
	require.Equal(t, scx.Rule{Bias: time.Second, Slice: time.Millisecond}, first.rules[7])
	require.Zero(t, first.unknown, "a function without an entry has no bias")
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
	require.NoError(t, b.SetFunctions(oneFunction()))
	require.NoError(t, b.SetEnabled(true))
	(*loaded)[0].end = &scx.End{Reason: "x"}
	for range 3 {
		require.NoError(t, b.Publish(onePolicy()))
		*now = now.Add(time.Hour)
	}
	require.Len(t, *loaded, 1)
	require.Contains(t, b.State().Problems[0].Why, "not by itself: alps mode begins it again")
}

// A mode that is refused leaves the backend as it was: nothing is loaded later by
// itself, and what the kernel had ended is still tried again.
func TestARefusedSchedulerIsNotWanted(t *testing.T) {
	b, loaded, now, refuse := schedExtOn(t)
	require.NoError(t, b.SetFunctions(oneFunction()))
	*refuse = errors.New("scx_theirs is in charge")
	require.ErrorIs(t, b.SetEnabled(true), *refuse)
	require.Empty(t, b.State().Problems)
	*refuse = nil
	require.NoError(t, b.SetFunctions(append(oneFunction(), bpf.Function{ID: 8, Cgroup: "/g"})))
	require.NoError(t, b.Publish(onePolicy()))
	require.Empty(t, *loaded, "the mode was refused")

	require.NoError(t, b.SetEnabled(true))
	(*loaded)[0].end = &scx.End{Reason: "x"}
	*refuse = errors.New("the verifier refuses it")
	require.ErrorIs(t, b.SetEnabled(true), *refuse)
	require.Contains(t, b.State().Problems[0].Why, "the verifier refuses it; tried again in 1s")
	*refuse = nil
	*now = now.Add(time.Second)
	require.NoError(t, b.Publish(onePolicy()))
	require.Len(t, *loaded, 2)
	require.True(t, b.State().Enabled)
}

// A policy that is refused changes nothing: not the order either, and not for how long
// the former is valid.
func TestARefusedPolicyChangesNothing(t *testing.T) {
	b, loaded, _, _ := schedExtOn(t)
	require.NoError(t, b.SetFunctions(oneFunction()))
	require.NoError(t, b.SetEnabled(true))
	require.NoError(t, b.Publish(onePolicy()))
	s := (*loaded)[0]
	rules, order := s.rules, s.order
	params := policy.DefaultSteady()
	params.Octave, params.Floor = 500*time.Millisecond, 2*time.Millisecond
	steady := model.Policy{Entries: map[uint64]model.Entry{7: {Steady: &model.Steady{Params: &params}}}, ValidFor: time.Hour}
	s.refuses = errors.New("no memory")
	require.ErrorIs(t, b.Publish(steady), s.refuses)
	require.Equal(t, rules, s.rules)
	require.Equal(t, order, s.order)
	require.Equal(t, time.Minute, s.alive)
	published, err := b.Published()
	require.NoError(t, err)
	require.Equal(t, map[bpf.CgroupID]model.Entry{7: onePolicy().Entries[7]}, published)
}

// Published is what the scheduler goes by, while it is in charge.
func TestPublishedIsWhatCounts(t *testing.T) {
	b, loaded, _, _ := schedExtOn(t)
	published := func() map[bpf.CgroupID]model.Entry {
		p, err := b.Published()
		require.NoError(t, err)
		return p
	}
	require.NoError(t, b.SetFunctions(append(oneFunction(), bpf.Function{ID: 8, Cgroup: "/g"})))
	params := policy.DefaultSteady()
	steady := &model.Steady{Params: &params, Table: model.Table{Seen: time.Hour, Steps: [policy.MaxSteps]model.Step{{Index: 64 * time.Millisecond, End: time.Second}, {From: model.Never}}}}
	long := model.Policy{Entries: map[uint64]model.Entry{7: {Bias: 2 * scx.MaxBias}, 8: {Bias: scx.MaxBias}}}
	require.NoError(t, b.Publish(long))
	require.Empty(t, published(), "no scheduler is loaded")
	require.NoError(t, b.SetEnabled(true))
	require.Equal(t, map[bpf.CgroupID]model.Entry{7: {Bias: scx.MaxBias}, 8: {Bias: scx.MaxBias / 2}}, published())
	require.NoError(t, b.Publish(model.Policy{Entries: map[uint64]model.Entry{7: {Steady: steady}}}))
	require.Equal(t, steady.SchedExtBias(0), published()[7].Steady.Bias(steady.Table.Index(0), model.NoOne))
	require.Equal(t, policy.DefaultSteady(), params, "the daemon's own stay as they are")
	(*loaded)[0].end = &scx.End{Reason: "the daemon was silent for too long"}
	require.Empty(t, published(), "the kernel has ended it")
}

// The limits of cgroups hold while they cannot be read; a scheduler is not put in charge
// without them.
func TestLimitsThatCannotBeReadStay(t *testing.T) {
	b, loaded, _, _ := schedExtOn(t)
	var log strings.Builder
	b.log = slog.New(slog.NewTextHandler(&log, nil))
	load := b.load
	b.load = func(o scx.Options) (extScheduler, error) {
		s, err := load(o)
		s.(*fakeScheduler).noLimits = true
		return s, err
	}
	max := filepath.Join(b.host.Cgroups, "f", "cpu.max")
	require.NoError(t, os.MkdirAll(filepath.Dir(max), 0o755))
	set := func(text string) { require.NoError(t, os.WriteFile(max, []byte(text), 0o644)) }
	set("20000 100000\n")
	require.NoError(t, b.SetFunctions(oneFunction()))
	require.NoError(t, b.SetEnabled(true))
	s := (*loaded)[0]
	require.Len(t, s.limits, 1)
	set("?")
	for range 2 {
		require.NoError(t, b.Publish(onePolicy()))
	}
	require.Len(t, s.limits, 1)
	require.NotEmpty(t, s.rules, "the policy is another matter")
	require.Equal(t, 1, strings.Count(log.String(), "the limits of before hold"), log.String())
	set("max 100000\n")
	require.NoError(t, b.Publish(onePolicy()))
	require.Empty(t, s.limits)

	set("?")
	s.end = &scx.End{Reason: "x"}
	require.ErrorContains(t, b.SetEnabled(true), "f/cpu.max")
	require.True(t, (*loaded)[1].closed)
}

func TestSchedExtStats(t *testing.T) {
	b, _, _, _ := schedExtOn(t)
	st, err := b.Stats()
	require.NoError(t, err)
	require.Empty(t, st)
	require.NoError(t, b.SetFunctions(oneFunction()))
	require.NoError(t, b.SetEnabled(true))
	st, err = b.Stats()
	require.NoError(t, err)
	require.Contains(t, st, client.Stat{Name: "functions' tasks that run or wait", Value: 3})
	require.Contains(t, st, client.Stat{Name: "kept", Value: 7})
	require.Contains(t, st, client.Stat{Name: "SCX_EV", Value: 1})
}
