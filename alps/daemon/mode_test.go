// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/bpf"
)

// A mode that the kernel refuses, wherever it does, leaves all as it was: the policy in
// the kernel, whether the hooks decide, and what was learnt.
func TestARefusedModeChangesNothing(t *testing.T) {
	refused := errors.New("no memory")
	noSwitch := func(k *fakeKernel, err error) { k.noSwitch = err }
	noSteady := func(k *fakeKernel, err error) { k.noSteady = err }
	for what, c := range map[string]struct {
		before, after client.Mode
		fails         func(*fakeKernel, error)
	}{
		"alps to cfs":                   {client.Mode{Policy: "alps"}, client.Mode{Policy: "cfs", FullSlices: true}, noSwitch},
		"alps to manual":                {client.Mode{Policy: "alps"}, client.Mode{Policy: "manual"}, noSwitch},
		"alps to steady, hooks off":     {client.Mode{Policy: "alps"}, client.Mode{Policy: "steady"}, noSwitch},
		"alps to steady, no tables":     {client.Mode{Policy: "alps"}, client.Mode{Policy: "steady", FullSlices: true}, noSteady},
		"steady to alps":                {client.Mode{Policy: "steady"}, client.Mode{Policy: "alps"}, noSwitch},
		"steady begun anew":             {client.Mode{Policy: "steady"}, client.Mode{Policy: "steady"}, noSteady},
		"from the mode that only looks": {client.Mode{Policy: "cfs"}, client.Mode{Policy: "steady"}, noSteady},
	} {
		t.Run(what, func(t *testing.T) {
			d, k, _ := quiet(t, Config{Mode: c.before})
			add(t, d, client.Function{UID: "short", ID: 1}, client.Function{UID: "long", ID: 2})
			ended(d, 1, 10*time.Millisecond, 4)
			ended(d, 2, time.Second, 4)
			require.NoError(t, d.update())
			policy, asks, alive, before := maps.Clone(k.policy), k.asks, k.keepAlive, d.status()
			require.Equal(t, c.before.Policy != "cfs", len(policy) > 0)

			c.fails(k, refused)
			require.ErrorIs(t, d.setMode(c.after), refused)
			c.fails(k, nil)
			require.Equal(t, policy, k.policy)
			require.Equal(t, alive, k.keepAlive)
			require.Equal(t, asks, k.asks)
			require.False(t, k.fullSlices)
			after := d.status()
			require.Equal(t, before.Mode, after.Mode)
			require.Equal(t, before.Generation, after.Generation)
			require.Equal(t, before.Decisions, after.Decisions)
			require.Equal(t, before.Tables, after.Tables)
			require.Equal(t, before.Records, after.Records)
			require.Equal(t, before.Functions, after.Functions)

			require.NoError(t, d.setMode(c.after))
			require.Equal(t, c.after.Policy, d.status().Mode.Policy)
		})
	}
}

// Under steady no function is without a table at any moment of the switch.
func TestSteadyBeginsWithTables(t *testing.T) {
	d, k, _ := quiet(t, Config{Mode: client.Mode{Policy: "alps"}})
	add(t, d, client.Function{UID: "a", ID: 1})
	before := d.status().Generation
	var seen []map[bpf.CgroupID]bpf.Entry
	k.published = func(p map[bpf.CgroupID]bpf.Entry) { seen = append(seen, p) }
	require.NoError(t, d.setMode(client.Mode{Policy: "steady"}))
	require.Len(t, seen, 1)
	require.NotNil(t, seen[0][1].Steady)
	require.Equal(t, before+1, d.status().Generation)
	require.True(t, d.status().Functions[0].Steered)
}
