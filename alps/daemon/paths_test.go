// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/client"
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
