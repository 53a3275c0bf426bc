// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/backend"
	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/internal/clock"
)

// ended has n invocations of the function with that cgroup end.
func ended(d *daemon, id bpf.CgroupID, cpu time.Duration, n int) {
	for range n {
		d.event(bpf.Event{Cgroup: id, CPU: cpu, End: d.now()})
	}
}

// steadyBias is the bias of a new invocation, by the kernel's map.
func (k *fakeKernel) steadyBias(t *testing.T, id bpf.CgroupID) time.Duration {
	e := locked(k, func() bpf.Entry { return k.policy[id] })
	require.NotNil(t, e.Steady, "cgroup %d has no table", id)
	return e.Steady.Bias(e.Steady.Table.Index(0), model.NoOne)
}

func TestSteadyIsTheDefaultAndLearns(t *testing.T) {
	d, k, _ := quiet(t, Config{})
	require.Equal(t, client.Mode{Policy: "steady"}, d.status().Mode)
	require.True(t, k.asks)
	add(t, d, client.Function{UID: "short", ID: 1}, client.Function{UID: "long", ID: 2})
	p := policy.DefaultSteady()
	unknown := p.Bias(50 * time.Millisecond)
	for id := range bpf.CgroupID(2) {
		require.Equal(t, unknown, k.steadyBias(t, id+1), "a function has an entry from its begin on")
	}
	require.True(t, function(t, d.status(), "short").Steered)
	ended(d, 1, 10*time.Millisecond, 20)
	ended(d, 2, time.Second, 20)
	require.Equal(t, unknown, k.steadyBias(t, 1), "tables are made once a period")
	require.NoError(t, d.update())
	require.InDelta(t, float64(p.Bias(10*time.Millisecond)), float64(k.steadyBias(t, 1)), float64(p.Octave))
	require.InDelta(t, float64(p.Bias(time.Second)), float64(k.steadyBias(t, 2)), float64(p.Octave))
	require.Equal(t, 2*time.Second, k.keepAlive)

	// Histograms are kept: no new record changes nothing.
	short, long := k.steadyBias(t, 1), k.steadyBias(t, 2)
	require.NoError(t, d.update())
	require.Equal(t, []time.Duration{short, long}, []time.Duration{k.steadyBias(t, 1), k.steadyBias(t, 2)})

	// One that begins later is what functions are like, at once.
	add(t, d, client.Function{UID: "new", ID: 3})
	fresh := k.steadyBias(t, 3)
	require.Greater(t, fresh, short)
	require.Less(t, fresh, long)

	s := d.status()
	require.Equal(t, []string{"short", "new", "long"}, []string{s.Tables[0].UID, s.Tables[1].UID, s.Tables[2].UID})
	require.EqualValues(t, 20, s.Tables[0].Records)
	require.Zero(t, s.Tables[1].Records)
	require.Equal(t, short, s.Tables[0].BiasNS)
	entries, err := d.entries()
	require.NoError(t, err)
	require.Len(t, entries, 3)
	require.Equal(t, "short", entries[0].UID)
	require.EqualValues(t, short.Microseconds(), entries[0].BiasUS)
	require.NotEmpty(t, entries[0].Steps)
	require.Zero(t, entries[0].Steps[0].UsedNS)

	// Another mode forgets, and steady begins anew.
	require.NoError(t, d.setMode(client.Mode{Policy: "alps"}))
	require.Nil(t, d.status().Tables)
	require.Empty(t, k.policy)
	require.NoError(t, d.setMode(client.Mode{Policy: "steady"}))
	require.Equal(t, unknown, k.steadyBias(t, 1))
}

// A function whose container comes back within the hour is known, one that was
// away for longer is not.
func TestSteadyRemembersFunctionsThatComeBack(t *testing.T) {
	for away, known := range map[time.Duration]bool{59 * time.Minute: true, 61 * time.Minute: false} {
		d, k, _ := quiet(t, Config{})
		now := d.now()
		d.now = func() clock.KTime { return now }
		add(t, d, client.Function{UID: "f", ID: 1}, client.Function{UID: "g", ID: 2})
		ended(d, 1, time.Second, 20)
		require.NoError(t, d.update())
		learnt := k.steadyBias(t, 1)
		locked(k, func() any { k.functions = k.functions[:0]; return nil }) // the kernel forgot both
		require.NoError(t, d.update())
		require.Empty(t, k.policy)
		now = now.Add(away)
		require.NoError(t, d.update())
		add(t, d, client.Function{UID: "f", ID: 3})
		if known {
			require.Equal(t, learnt, k.steadyBias(t, 3))
		}
		require.Equal(t, known, d.status().Tables[0].Records > 0)
	}
}

func TestSteadyIsPublishedEveryPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &slowKernel{}
		p := policy.DefaultSteady()
		p.Period = 700 * time.Millisecond
		d, err := newTestDaemon(t, Config{Mode: client.Mode{Policy: "steady", Steady: &p}, CPUs: []int{0}}, k)
		require.NoError(t, err)
		begun := time.Now() // SetPolicy takes its time: the mode's own is over
		require.Len(t, k.at, 1)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- d.updates(ctx) }()
		time.Sleep(1500 * time.Millisecond)
		cancel()
		<-done
		require.Len(t, k.at, 3)
		for i, at := range k.at[1:] {
			require.Equal(t, time.Duration(i+1)*p.Period, at.Sub(begun))
		}
	})
}

// What a backend cannot carry out is refused, and nothing changes.
func TestBackendsRefusePolicies(t *testing.T) {
	d, _, _ := quiet(t, Config{Delegated: true, Mode: client.Mode{Policy: "alps"}})
	require.ErrorContains(t, d.setMode(client.Mode{Policy: "steady"}), "policy steady: the scheduler in user space knows no tables")
	require.ErrorContains(t, d.setMode(client.Mode{Policy: "sfs"}), "policy sfs: the scheduler in user space does not count what an invocation has used: its policies are alps and manual")
	require.Equal(t, "alps", d.status().Mode.Policy)

	k := &fakeKernel{}
	none := backend.NewObserve(errors.New("this kernel has no hooks"))
	_, err := newDaemon(Config{}, k, none, testHost(t))
	require.EqualError(t, err, "policy steady: this kernel has no hooks; the policy cfs observes only")
	d, err = newDaemon(Config{Mode: client.Mode{Policy: "cfs"}}, k, none, testHost(t))
	require.NoError(t, err)
	require.Equal(t, "observe", d.status().Backend)
	require.ErrorContains(t, d.setMode(client.Mode{Policy: "alps"}), "this kernel has no hooks")
	require.Equal(t, "cfs", d.status().Mode.Policy)
	require.Error(t, none.Publish(model.Policy{Entries: map[uint64]model.Entry{1: {}}}))
}

// Parameters of the default policy are taken though it is not named.
func TestParametersOfTheDefault(t *testing.T) {
	params := policy.DefaultSteady()
	params.Octave = 5 * time.Second
	d, _, _ := quiet(t, Config{Mode: client.Mode{Steady: &params}})
	require.Equal(t, client.Mode{Policy: "steady", Steady: &params}, d.status().Mode)
}

func TestModesHaveTheirOwnParameters(t *testing.T) {
	steady, bad, alps := policy.DefaultSteady(), policy.DefaultSteady(), policy.Paper()
	bad.Memory = 1
	for why, m := range map[string]client.Mode{
		"has no order": {Policy: "steady", Order: "fifo"}, "it has parameters of its own": {Policy: "steady", Params: &alps},
		`policy "alps" has no parameters of steady`: {Policy: "alps", Steady: &steady}, "memory": {Policy: "steady", Steady: &bad},
	} {
		_, err := parseMode(m)
		require.ErrorContains(t, err, why)
	}
}
