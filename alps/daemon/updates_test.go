// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/bpf"
)

// slowKernel notes when it is given a policy, and takes its time.
type slowKernel struct {
	fakeKernel
	at []time.Time
}

func (k *slowKernel) SetPolicy(p map[bpf.CgroupID]bpf.Entry) error {
	if p != nil {
		k.at = append(k.at, time.Now())
		time.Sleep(300 * time.Millisecond)
	}
	return nil
}

// The periods begin when the mode is set, and what an update takes does not add up.
func TestUpdatesCountFromTheMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &slowKernel{}
		d, err := newTestDaemon(t, Config{Mode: client.Mode{Policy: "cfs"}, CPUs: []int{0}}, k)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- d.updates(ctx) }()
		time.Sleep(1700 * time.Millisecond)
		params := policy.Paper()
		params.Period = time.Second
		require.NoError(t, d.setMode(client.Mode{Policy: "alps", Params: &params}))
		begun := time.Now()
		time.Sleep(3500 * time.Millisecond)
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
		require.Len(t, k.at, 3)
		for i, at := range k.at {
			require.Equal(t, time.Duration(i+1)*time.Second, at.Sub(begun))
		}
	})
}

// A function whose entry cannot be carried out is named, and takes nobody else's policy.
func TestOneRefusedEntryIsSaid(t *testing.T) {
	d, k, log := quiet(t, Config{Mode: client.Mode{Policy: client.PolicyManual}})
	add(t, d, client.Function{UID: "a", ID: 1}, client.Function{UID: "b", ID: 2})
	require.NoError(t, d.publish(d.mode, map[uint64]model.Entry{1: {Slice: 2 * model.MaxSlice}, 2: {Bias: time.Second}}))
	s := d.status()
	require.Contains(t, function(t, s, "a").Why, "its rule is refused: slice of 20s: at most 10s")
	require.True(t, function(t, s, "b").Steered)
	require.Equal(t, map[bpf.CgroupID]bpf.Entry{2: {BiasUS: 1_000_000}}, k.policy)
	require.Contains(t, log.String(), client.NotSteered)
	require.NoError(t, d.publish(d.mode, map[uint64]model.Entry{1: {}, 2: {Bias: time.Second}}))
	require.True(t, function(t, d.status(), "a").Steered)
	require.Contains(t, log.String(), client.NotSteered+": over")
}
