// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/bpf"
)

func TestPatternsAreChecked(t *testing.T) {
	for text, why := range map[string]string{
		"openfaas-fn/*": "it has not one {uid}", "a/{uid}/{uid}": "it has not one {uid}", "{uid}/{name}/{name}": "more than one {name}",
		"a//{uid}": "a name in it is empty", "../{uid}": "is empty", "a/{uid}.{service": "braces", "kubernets": "kubernetes",
	} {
		require.ErrorContains(t, CheckCgroups([]string{text}), why, text)
	}
	require.NoError(t, CheckCgroups([]string{"kubernetes", "faasd", "firecracker", "/functions.slice/{uid}.service"}))
}

// Where platforms put their functions, the names are in the paths.
func TestFunctionsAreFoundByPath(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{
		"kubepods.slice/kubepods-pod11_22.slice/cri-containerd-abc.scope",
		"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod33_44.slice/crio-def.scope",
		"kubepods.slice/kubepods-besteffort.slice", "kubepods/burstable/pod55/0123",
		"openfaas-fn/figlet", "firecracker/vm7", "system.slice/ssh.service", "system.slice/fn-resize@blue.service",
	} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(root, "openfaas-fn/cgroup.procs"), nil, 0o644))
	for text, want := range map[string][]client.Function{
		"kubernetes": {{UID: "11_22", Name: "11_22", Cgroup: "/kubepods.slice/kubepods-pod11_22.slice"},
			{UID: "33_44", Name: "33_44", Cgroup: "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod33_44.slice"},
			{UID: "55", Name: "55", Cgroup: "/kubepods/burstable/pod55"}},
		"faasd":                                {{UID: "figlet", Name: "figlet", Cgroup: "/openfaas-fn/figlet"}},
		"firecracker":                          {{UID: "vm7", Name: "vm7", Cgroup: "/firecracker/vm7"}},
		"system.slice/fn-{name}@{uid}.service": {{UID: "blue", Name: "resize", Cgroup: "/system.slice/fn-resize@blue.service"}},
		"nowhere/{uid}":                        nil,
	} {
		patterns, err := parsePatterns([]string{text})
		require.NoError(t, err)
		var got []client.Function
		for _, p := range patterns {
			got = append(got, p.find(root)...)
		}
		require.ElementsMatch(t, want, got, text)
	}
}

// A cgroup that comes is registered, one that goes is forgotten, and one that is known
// by another uid keeps that.
func TestFoundByPathComeAndGo(t *testing.T) {
	d, k, log := quiet(t, Config{Mode: client.Mode{Policy: client.PolicyCFS}})
	dir := func(name string) string { return d.host.Cgroups + "/openfaas-fn/" + name }
	write(t, dir("a")+"/cpu.weight", "100")
	write(t, dir("b")+"/cpu.weight", "100")
	patterns, err := parsePatterns([]string{"faasd"})
	require.NoError(t, err)
	own := finder{yields: true}
	sync := func() client.Status {
		require.NoError(t, d.syncPaths(patterns, &own))
		return d.status()
	}
	s := sync()
	require.Len(t, k.functions, 2)
	require.NotEmpty(t, function(t, s, "a").ID)
	require.Equal(t, "/openfaas-fn/a", function(t, s, "a").Cgroup)

	renamed := function(t, s, "b").Function
	renamed.UID = "7"
	require.NoError(t, os.RemoveAll(dir("a")))
	require.NoError(t, d.add(renamed)) // by its label, say
	s = sync()
	require.Len(t, s.Functions, 1)
	require.Equal(t, "7", s.Functions[0].UID)
	require.Equal(t, "it is known as 7 already", s.Refused[0].Why)
	before := log.Len()
	sync()
	require.Equal(t, before, log.Len(), "nothing changed")
}

// Settings that are registered for a function that was found by its path stay, whatever
// comes or goes, until the function's cgroup is removed.
func TestRegisteredSettingsOfAFoundFunctionStay(t *testing.T) {
	d, k, _ := quiet(t, Config{Mode: client.Mode{Policy: client.PolicyCFS}})
	dir := func(name string) string { return d.host.Cgroups + "/openfaas-fn/" + name }
	patterns, err := parsePatterns([]string{"faasd"})
	require.NoError(t, err)
	own := finder{yields: true}
	write(t, dir("a")+"/cpu.weight", "100")
	require.NoError(t, d.syncPaths(patterns, &own))
	f := function(t, d.status(), "a").Function
	f.Source, f.Concurrency, f.Idle = client.SourceBusy, 4, "5ms"
	require.NoError(t, d.add(f))
	for _, change := range []func(){
		func() {},
		func() { write(t, dir("b")+"/cpu.weight", "100") },
		func() { require.NoError(t, os.RemoveAll(dir("b"))) },
	} {
		change()
		require.NoError(t, d.syncPaths(patterns, &own))
		require.Equal(t, f, function(t, d.status(), "a").Function)
	}
	require.True(t, own.same(own.seen, d.known()), "what is left alone is not registered at each look")
	require.Empty(t, d.status().Refused)
	require.Len(t, k.functions, 1)
	require.Equal(t, bpf.SourceThreads, k.functions[0].Source)

	// Whoever registered it has it no more: from then on it is the finder's.
	require.NoError(t, d.setFunctions(map[bpf.CgroupID]client.Function{}))
	require.NoError(t, d.syncPaths(patterns, &own))
	require.Empty(t, function(t, d.status(), "a").Source)
}

// What the kernel refuses is tried again until it takes it, and is said once.
func TestFoundByPathIsTriedAgain(t *testing.T) {
	d, k, log := quiet(t, Config{Mode: client.Mode{Policy: client.PolicyCFS}})
	write(t, d.host.Cgroups+"/openfaas-fn/a/cpu.weight", "100")
	patterns, err := parsePatterns([]string{"faasd"})
	require.NoError(t, err)
	k.refuses = errors.New("no memory")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- d.discoverPaths(ctx, patterns) }()
		time.Sleep(5 * pathsEvery / 2)
		require.Empty(t, d.status().Functions)
		locked(k, func() any { k.refuses = nil; return nil })
		time.Sleep(pathsEvery)
		require.Equal(t, "a", function(t, d.status(), "a").UID)
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
	})
	require.Equal(t, 1, strings.Count(log.String(), "level=WARN"), log.String())
	require.Contains(t, log.String(), "look for functions by their paths: over")
}

// A cgroup that is gone is still tried to be dropped after the kernel refused that.
func TestWhatIsGoneIsTriedAgain(t *testing.T) {
	d, k, _ := quiet(t, Config{Mode: client.Mode{Policy: client.PolicyCFS}})
	own := finder{}
	found := func(ids ...bpf.CgroupID) map[bpf.CgroupID]client.Function {
		now := map[bpf.CgroupID]client.Function{}
		for _, id := range ids {
			now[id] = client.Function{UID: fmt.Sprint(id), Cgroup: fmt.Sprintf("/f/%d", id), ID: uint64(id)}
		}
		return now
	}
	require.NoError(t, d.discovered(found(1), &own))
	k.refuses = errors.New("no memory")
	require.Error(t, d.discovered(found(2, 3), &own))
	require.Len(t, d.known(), 1)
	require.False(t, own.same(found(2, 3), d.known()))
	k.refuses = nil
	require.NoError(t, d.discovered(found(2, 3), &own))
	require.Equal(t, found(2, 3), d.known())
	require.True(t, own.same(found(2, 3), d.known()))
}
