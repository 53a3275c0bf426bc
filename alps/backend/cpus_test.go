// SPDX-License-Identifier: Apache-2.0

package backend

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/host"
	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/bpf/scx"
)

// A scheduler that is loaded anew because a function has gone is told no rule of that one.
func TestAFunctionThatHasGoneHasNoRule(t *testing.T) {
	b, loaded, _, _ := schedExtOn(t)
	b.takeThread = func(int) error { return nil }
	b.cpus = []int{1}
	for dir, cpus := range map[string]string{"alps.slice": "1", "system.slice": "0"} {
		require.NoError(t, os.MkdirAll(filepath.Join(b.host.Cgroups, dir), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(b.host.Cgroups, dir, "cpuset.cpus.effective"), []byte(cpus+"\n"), 0o644))
	}
	inPool, outside := bpf.Function{ID: 1, Cgroup: "/alps.slice/f"}, bpf.Function{ID: 2, Cgroup: "/system.slice/f"}
	require.NoError(t, b.SetEnabled(true))
	require.NoError(t, b.SetFunctions([]bpf.Function{inPool, outside}))
	require.NoError(t, b.Publish(model.Policy{Entries: map[uint64]model.Entry{1: {Bias: time.Second}, 2: {Bias: 2 * time.Second}}, ValidFor: time.Minute}))
	require.NoError(t, b.SetFunctions([]bpf.Function{inPool}))
	require.Len(t, *loaded, 2, "functions' tasks only, from now on")
	require.True(t, b.partial)
	require.Empty(t, b.State().Problems)
	require.True(t, b.State().Enabled)
	require.Equal(t, map[bpf.CgroupID]scx.Rule{1: {Bias: time.Second}}, (*loaded)[1].rules)
	published, err := b.Published()
	require.NoError(t, err)
	require.Equal(t, map[bpf.CgroupID]model.Entry{1: {Bias: time.Second}}, published)
}

// A function of which a partial scheduler does not get all threads is not steered, and
// the others are.
func TestThreadsThatCannotBeTakenAreTold(t *testing.T) {
	b, _, _, _ := schedExtOn(t)
	b.cpus = []int{1}
	b.takeThread = func(tid int) error {
		if tid == 42 {
			return errors.New("thread 42: not permitted")
		}
		return nil
	}
	var functions []bpf.Function
	for i, name := range []string{"f", "g"} {
		functions = append(functions, bpf.Function{ID: bpf.CgroupID(i + 1), Cgroup: "/alps.slice/" + name})
		dir := filepath.Join(b.host.Cgroups, "alps.slice", name)
		require.NoError(t, os.MkdirAll(dir, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "cgroup.threads"), []byte(strconv.Itoa(41+i)+"\n"), 0o644))
	}
	require.NoError(t, b.SetFunctions(functions))
	require.NoError(t, b.SetEnabled(true))
	want := map[bpf.CgroupID]string{2: "thread 42: not permitted"}
	require.Equal(t, want, b.State().Unsteered)
	require.NoError(t, b.Publish(model.Policy{}))
	require.Equal(t, want, b.State().Unsteered)
	require.True(t, b.State().Enabled)
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
