// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/internal/clock"
)

// heldKernel takes a policy with entries only once it may.
type heldKernel struct {
	fakeKernel
	asked, may chan struct{}
}

func (k *heldKernel) SetPolicy(p map[bpf.CgroupID]bpf.Entry) error {
	if len(p) > 0 {
		k.asked <- struct{}{}
		<-k.may
	}
	return k.fakeKernel.SetPolicy(p)
}

// The daemon ends after a change that is under way, so that nothing is left of that one; a
// reader of events does not hold up the end, and nothing is changed after it.
func TestTheEndWaitsForAChangeUnderWay(t *testing.T) {
	k := &heldKernel{asked: make(chan struct{}), may: make(chan struct{})}
	socket := filepath.Join(t.TempDir(), "s")
	d, err := newTestDaemon(t, Config{Mode: client.Mode{Policy: client.PolicyCFS}, Socket: socket, Docker: "none", CPUs: []int{0}}, k)
	require.NoError(t, err)
	add(t, d, client.Function{UID: "a", ID: 1})
	l, err := listen(socket)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done, open, reads, mode := make(chan error, 1), make(chan struct{}), make(chan error, 1), make(chan error, 1)
	go func() { done <- d.run(ctx, l) }()
	c := client.New(socket)
	go func() {
		reads <- c.Events(t.Context(), func() { close(open) }, func(client.Event) {})
	}()
	<-open
	go func() { mode <- c.SetMode(t.Context(), client.Mode{Policy: client.PolicySteady}) }()
	<-k.asked
	cancel()
	<-reads // it is told of the end
	select {
	case err := <-done:
		require.Fail(t, "the daemon has ended before the change", "%v", err)
	case <-time.After(50 * time.Millisecond): // less would find the fault, too, but not always
	}
	close(k.may)
	require.NoError(t, <-done)
	require.NoError(t, <-mode, "the client is answered")
	require.Empty(t, k.policy)
	for _, change := range []func() error{
		func() error { return d.setMode(client.Mode{Policy: client.PolicySteady}) },
		func() error { return d.setRules(nil) },
		func() error { return d.add(client.Function{UID: "b", Cgroup: "/b", ID: 2}) },
	} {
		require.ErrorIs(t, change(), errEnded)
	}
}

// The last invocations of a function that has gone are its own still; those of a cgroup of
// which nothing is known are lost, and said to be.
func TestInvocationsOfFunctionsThatWent(t *testing.T) {
	d, k, log := quiet(t, Config{Mode: client.Mode{Policy: client.PolicyCFS}})
	add(t, d, client.Function{UID: "a", Name: "f", ID: 1}, client.Function{UID: "b", ID: 2})
	k.functions = k.functions[:0] // both cgroups were removed
	require.NoError(t, d.update())
	require.Empty(t, d.status().Functions)
	ended := d.now()
	d.event(bpf.Event{Cgroup: 1, Arrive: ended - 2, End: ended, CPU: 1})
	s := d.status()
	require.Equal(t, 1, s.Records)
	require.Zero(t, s.Lost)
	require.Equal(t, "a", d.recent[0].UID)
	require.Equal(t, "f", d.recent[0].Function)

	d.event(bpf.Event{Cgroup: 9, Arrive: ended - 2, End: ended, CPU: 1})
	s = d.status()
	require.Equal(t, 1, s.Records)
	require.EqualValues(t, 1, s.Lost.Invocations)
	require.Contains(t, log.String(), client.EventsLost)

	now := d.now
	d.now = func() clock.KTime { return now().Add(2 * keepGone) }
	require.NoError(t, d.update())
	require.Empty(t, d.gone, "not for good")
}
