// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProfilesAreChecked(t *testing.T) {
	dir := t.TempDir()
	load := func(text string) error {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "profiles.yaml"), []byte("profiles:\n  - {"+text+"}\n"), 0o644))
		_, err := LoadProfile(dir, "a")
		return err
	}
	require.NoError(t, load("name: a, invocations: 20, rounds: 1, time_factor: 1, minutes: {kvm: 1, vtime: 2}"))
	for text, want := range map[string]string{
		"name: a, invocations: 19, rounds: 1, time_factor: 1":                       "profiles.yaml:2:28: profiles[0].invocations: 19: allowed: 20 to 1000000",
		"name: a, invocations: 20, rounds: 1, time_factor: 1, cpu_time: 1ms":        "cpu_time: 1ms: allowed: 1s to 24h",
		"name: a, invocations: 20, rounds: 1, time_factor: 1, work: 8s":             "profiles.yaml:2:59: work: is called cpu_time now",
		"name: a, invocations: 20, rounds: 0, time_factor: 1":                       "rounds: 0: allowed: 1 to 100",
		"name: a, invocations: 20, rounds: 1, time_factor: 0":                       "time_factor: 0 is outside (0, 100]",
		"name: a, invocations: 20, rounds: 1, time_factor: 1, minutes: {kvm: 0}":    "minutes.kvm: 0: allowed: at least 1",
		"name: a, invocations: 20, rounds: 1, time_factor: 1, minutes: {vmware: 9}": "minutes.vmware: 9: allowed: at least 1 for kvm, tcg, vtime",
		"name: b, invocations: 20, rounds: 1, time_factor: 1":                       `profile "a": allowed: b`,
	} {
		require.ErrorContains(t, load(text), want)
	}
}

// A profile never leaves out all of an experiment that is asked for.
func TestSubset(t *testing.T) {
	dir := t.TempDir()
	text := "profiles: [{name: a, invocations: 20, rounds: 1, time_factor: 1, only: {experiments: [fig06], workloads: [huawei], series: [alps, srpt, cfs]}}]\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "profiles.yaml"), []byte(text), 0o644))
	p, err := LoadProfile(dir, "a")
	require.NoError(t, err)
	require.True(t, p.Includes("fig06"))
	require.False(t, p.Includes("fig05"))
	known := []Experiment{{Name: "fig06", VM: &VM{Mixes: []Workload{{Name: value("azure")}}, Series: []Series{{Name: value("cfs")}, {Name: value("alps")}}}}}
	require.EqualError(t, p.Check("D", known), `D/profiles.yaml:1:107: only.workloads: "huawei": what runs in a guest has: azure
D/profiles.yaml:1:131: only.series: "srpt": what runs in a guest has: alps, cfs`)
	known[0].VM.Mixes[0].Name, known[0].VM.Series[0].Name = value("huawei"), value("srpt")
	require.ErrorContains(t, p.Check("D", known), `"cfs"`)
	mix := func(name string) Workload { return Workload{Name: value(name)} }
	series := func(name, on string) Series {
		s := Series{Name: value(name)}
		if on != "" {
			s.On.V, s.On.Line = on, 1
		}
		return s
	}
	names := func(v VM) (out []string) {
		for _, m := range v.Mixes {
			out = append(out, m.Name.V)
		}
		for _, s := range v.Series {
			out = append(out, s.Name.V)
		}
		return out
	}
	v := VM{Mixes: []Workload{mix("azure"), mix("huawei")}, Series: []Series{series("cfs", ""), series("rr", ""), series("srpt", "rr")}}
	require.Equal(t, []string{"huawei", "cfs"}, names(p.Apply(v)), "SRPT on what is left out is left out")
	v = VM{Mixes: []Workload{mix("azure")}, Series: []Series{series("both", ""), series("none", "")}}
	require.Equal(t, []string{"azure", "both", "none"}, names(p.Apply(v)))
	require.Equal(t, []string{"azure", "both", "none"}, names(Profile{}.Apply(v)))
}

// A run whose CPU time is limited has fewer invocations, but some of every class.
func TestCPUTimeIsLimited(t *testing.T) {
	w, err := LoadWorkload(Disk{}, "../workloads/huawei.yaml")
	require.NoError(t, err)
	p := Profile{Invocations: value(400), TimeFactor: value(1.0), AtLeast: value(1), CPUTime: value(20 * time.Second)}
	size := func(p Profile, cpus int) (n int, total time.Duration) {
		rows := VM{}.Rows(p, w, 1, cpus)
		classes := map[int]bool{}
		for _, r := range rows {
			total += w.Classes[r.Class].CPU.V
			classes[r.Class] = true
		}
		require.Len(t, classes, len(w.Classes))
		return len(rows), total
	}
	n, total := size(p, 1)
	require.Less(t, n, 400)
	require.LessOrEqual(t, total, 20*time.Second)
	require.Greater(t, total, 18*time.Second)
	n, _ = size(p, 10)
	require.Equal(t, 400, n)
	p.CPUTime.V = 0
	n, _ = size(p, 1)
	require.Equal(t, 400, n)
}
