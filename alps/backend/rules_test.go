// SPDX-License-Identifier: Apache-2.0

package backend

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/host"
	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/bpf"
)

// fakeHooks is a kernel with hooks: it refuses what package bpf does.
type fakeHooks struct {
	on     bool
	policy map[bpf.CgroupID]bpf.Entry
	alive  time.Duration
}

func (*fakeHooks) AttachHooks() error              { return nil }
func (f *fakeHooks) SetHooksEnabled(on bool) error { f.on = on; return nil }
func (f *fakeHooks) HooksEnabled() (bool, error)   { return f.on, nil }
func (*fakeHooks) Rivals() (int, error)            { return 0, nil }
func (f *fakeHooks) SetPolicy(p map[bpf.CgroupID]bpf.Entry) error {
	for _, e := range p {
		if err := e.Check(); err != nil {
			return err
		}
	}
	f.policy = p
	return nil
}
func (f *fakeHooks) Policy() (map[bpf.CgroupID]bpf.Entry, error) { return f.policy, nil }
func (f *fakeHooks) KeepAlive(d time.Duration) error             { f.alive = d; return nil }

// An entry that cannot be carried out is left out alone, and said to be; the others count.
func TestARefusedEntryTakesNobodyElses(t *testing.T) {
	bad := model.Entry{Slice: 2 * model.MaxSlice}
	p := model.Policy{Entries: map[uint64]model.Entry{7: bad, 8: {Bias: time.Second}}, ValidFor: time.Minute}
	functions := append(oneFunction(), bpf.Function{ID: 8, Cgroup: "/g"})
	ext, loaded, _, _ := schedExtOn(t)
	k := &fakeHooks{}
	h := host.Host{Cgroups: t.TempDir(), SchedExt: t.TempDir()}
	for name, b := range map[string]Backend{"scx": ext, "hooks": NewHooks(k, h, false), "delegated": NewDelegated(k, h)} {
		require.NoError(t, b.SetFunctions(functions))
		require.NoError(t, b.SetEnabled(true))
		require.NoError(t, b.Publish(p), name)
		s := b.State()
		require.Len(t, s.Unsteered, 1, name)
		require.Contains(t, s.Unsteered[7], "its rule is refused: ", name)
		published, err := b.Published()
		require.NoError(t, err)
		require.Equal(t, map[bpf.CgroupID]model.Entry{8: {Bias: time.Second}}, published, name)
		p.Entries[7] = model.Entry{Bias: time.Millisecond}
		require.NoError(t, b.Publish(p))
		require.Empty(t, b.State().Unsteered, name)
		p.Entries[7] = bad
	}
	require.Equal(t, time.Minute, (*loaded)[0].alive)
	require.Equal(t, time.Minute, k.alive)
}
