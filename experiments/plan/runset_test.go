// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	alpsclient "github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/experiments/internal/exptest"
	"github.com/ds2-lab/alps/internal/yamlx"
	"github.com/ds2-lab/alps/vm"
)

func options() Options { return Options{Guest: guest.Options{Root: "../.."}, Profile: "smoke"} }

// runSetOf is the set of runs of experiments that lie in dir, "" for the repository's.
func runSetOf(t *testing.T, name, dir string, change func(*config.Profile)) *RunSet {
	o := options()
	o.Dir = dir
	selected, err := Select(name, o)
	require.NoError(t, err)
	if change != nil {
		change(&selected.Profile)
	}
	b, err := NewRunSet(selected.Measured, selected.Profile, 1)
	require.NoError(t, err)
	return b
}

// everything makes a profile run all that experiments have, in three rounds.
func everything(p *config.Profile) { p.Only, p.Rounds.V = nil, 3 }

func TestWhatCannotRunIsRefused(t *testing.T) {
	for want, o := range map[string]Options{
		"no part of it is for engine vm; there is: sim":        {Engine: "vm"},
		"allowed: smoke, brief, quick, paper, headline, cells": {Profile: "tiny"},
		`engine "kvm": allowed: vm, sim`:                       {Engine: "kvm"},
		"profiles: open nowhere/profiles.yaml":                 {Dir: "nowhere"},
	} {
		o.Guest.Root = "../.."
		_, err := Select("load", o)
		require.ErrorContains(t, err, want)
	}
}

// The daemon's mode under steady has steady's parameters, all written out, and none of
// ALPS's.
func TestSteadyInAGuest(t *testing.T) {
	x, err := config.Series{Name: yamlx.At[string]{V: "steady"}, Params: map[string]yamlx.At[any]{"guard_wait": {V: "1s"}}}.VM()
	require.NoError(t, err)
	m, agent := modeOf(x)
	require.False(t, agent)
	require.Equal(t, time.Second, m.Steady.GuardWait)
	require.Equal(t, 10*time.Millisecond, m.Steady.GroupSlice, "what a series leaves out is written out")
	require.Equal(t, alpsclient.Mode{Policy: "steady", Steady: m.Steady}, m)
}

func TestRoundsAreInterleavedAndShareTheirTrace(t *testing.T) {
	b := runSetOf(t, "fig06", "", nil)
	var order []string
	for _, r := range b.Runs {
		order = append(order, r.Label())
	}
	require.Equal(t, []string{"cfs on huawei at 90 %, round 1", "alps on huawei at 90 %, round 1", "alps on huawei at 90 %, round 2", "cfs on huawei at 90 %, round 2"}, order)
	require.Equal(t, b.Runs[0].Rows, b.Runs[1].Rows)
	require.NotEqual(t, b.Runs[0].Rows, b.Runs[2].Rows)
	g4 := 0
	for _, row := range b.Runs[0].Rows {
		if b.Runs[0].Classes[row.Class].Group == "G4" {
			g4++
		}
	}
	require.GreaterOrEqual(t, g4, 3, "every group is there in a short run")

	round := 1
	for _, r := range runSetOf(t, config.All, "", everything).Runs {
		require.GreaterOrEqual(t, r.Round, round, "whole rounds first")
		round = r.Round
	}
	require.Equal(t, 3, round)
}

// A run that several figures show takes place once, and each figure's plan names all
// the runs that it shows.
func TestFiguresShareRuns(t *testing.T) {
	dir := exptest.Dir(t, "a", fmt.Sprintf(exptest.TwoLoads, "a")+"      - {name: cfs}\n      - {name: alps}\n      - {name: srpt, on: cfs}\n")
	b := fmt.Sprintf(exptest.TwoLoads, "b") + "      - {name: two, scheduler: alps, order: bounded, step: 1s, params: {alpha: 2}}\n      - {name: five, scheduler: alps, params: {alpha: 5}}\n" +
		"      - {name: other, scheduler: alps, kernel: 6.1-stock}\n      - {name: oracle, scheduler: srpt, on: two}\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "b.yaml"), []byte(b), 0o644))
	all := runSetOf(t, config.All, dir, func(p *config.Profile) { p.Rounds.V = 1 })
	require.Len(t, all.Runs, 8, "at each load cfs, alps, alpha 5, and alps with another kernel")
	for _, r := range all.Runs {
		require.NoError(t, r.SetKey(guest.Artifacts{ToolsDigest: r.Guest.Kernel}))
	}
	plans, err := all.Plans()
	require.NoError(t, err)
	require.Len(t, plans["a"], 6)
	require.Len(t, plans["b"], 8)
	require.Equal(t, plans["a"][1].Key, plans["b"][0].Key, "the paper's alpha is 2")
	keys := map[string]bool{}
	for _, s := range append(plans["a"], plans["b"]...) {
		keys[s.Key] = true
		require.Equal(t, "huawei", s.Workload)
		require.Equal(t, 1, s.Round)
	}
	require.Len(t, keys, 8+4, "and SRPT on two of them")
	require.Equal(t, all.Runs[0].Unit, all.Runs[4].Unit, "what is compared is measured on one host")
	require.Equal(t, 2, all.Units)

	missing := strings.Replace(b, "6.1-stock", "7.0", 1)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "b.yaml"), []byte(missing), 0o644))
	o := options()
	o.Dir = dir
	_, err = Select("b", o)
	require.ErrorContains(t, err, `b.yaml:11:48: kernel "7.0": kernel/kernels.yaml has none of that name`)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "b.yaml"), []byte(strings.Replace(b, "[huawei]", "[huawei, flood]", 1)), 0o644))
	_, err = Select("b", o)
	require.ErrorContains(t, err, `b.yaml:5:25: workload "flood": classes[0]: no guest has a function l1 with uid 1 at port 5001: take functions of experiments/workloads/huawei.yaml`)
}

func TestKeysFollowEveryInput(t *testing.T) {
	seen := map[string]bool{}
	keys := func(change func(*guest.Artifacts, *Run), profile func(*config.Profile)) {
		p := guest.Artifacts{Accel: vm.TCG, CPUs: 2, ToolsDigest: "t"}
		p.Kernel.Key, p.Image.Digest = "k", "i"
		for _, r := range runSetOf(t, "fig06", "", profile).Runs {
			change(&p, r)
			require.NoError(t, r.SetKey(p))
			require.False(t, seen[r.Key], r.Key)
			seen[r.Key] = true
		}
	}
	none := func(*guest.Artifacts, *Run) {}
	keys(none, nil)
	keys(func(p *guest.Artifacts, _ *Run) { p.Kernel.Key = "k2" }, nil)
	keys(func(p *guest.Artifacts, _ *Run) { p.Image.Digest = "i2" }, nil)
	keys(func(p *guest.Artifacts, _ *Run) { p.ToolsDigest = "t2" }, nil)
	keys(func(p *guest.Artifacts, _ *Run) { p.Accel = vm.KVM }, nil)
	keys(func(p *guest.Artifacts, _ *Run) { p.CPUs = 4 }, nil)
	keys(func(p *guest.Artifacts, _ *Run) { p.PlatformModelled = 13 * time.Millisecond }, nil)
	keys(func(p *guest.Artifacts, _ *Run) { p.Kernel.Initrd = "initrd" }, nil) // QEMU's command line has another kernel's options
	keys(func(_ *guest.Artifacts, r *Run) { r.Mode.Order = "fifo" }, nil)
	keys(func(_ *guest.Artifacts, r *Run) { r.Mode.Step = "2s" }, nil)
	keys(none, func(p *config.Profile) { p.TimeFactor.V = 2 })
	keys(none, func(p *config.Profile) { p.AtLeast.V = 3 })
	for _, change := range []func(*Run){func(r *Run) { r.Load = 0.8 }, func(r *Run) { r.Round = 7 }, func(r *Run) { r.Workload = "w" },
		func(r *Run) { r.Classes = slices.Clone(r.Classes); r.Classes[0].CPU++ },
		func(r *Run) { r.Rows = slices.Clone(r.Rows); r.Rows[1].Gap++ },
		func(r *Run) { r.Guest.Deployment = config.AsPaper }, // the same rows, due as the paper's client sends them
	} {
		r := *runSetOf(t, "fig06", "", nil).Runs[0]
		before := r.Arrivals
		change(&r)
		after, err := r.digestArrivals(1)
		require.NoError(t, err)
		require.NotEqual(t, before, after)
	}
	r := runSetOf(t, "fig06", "", nil).Runs[0]
	same, err := r.digestArrivals(1)
	require.NoError(t, err)
	require.Equal(t, r.Arrivals, same)
	more, err := r.digestArrivals(2)
	require.NoError(t, err)
	require.NotEqual(t, r.Arrivals, more, "on more CPUs requests come faster")
}

// A program is one more scheduler: its command and file are part of the key, and
// its name stands in results and labels.
func TestProgramsAreSchedulers(t *testing.T) {
	dir := exptest.Dir(t, "a", fmt.Sprintf(exptest.TwoLoads, "a")+"      - {name: eevdf, scheduler: cfs, kernel: \"7.3\"}\n"+
		"      - {name: flat, scheduler: {command: scx_flatcg -s 20000, kernel: \"7.3\"}}\n      - {name: flat2, scheduler: {command: scx_flatcg, kernel: \"7.3\"}}\n")
	set := runSetOf(t, "a", dir, func(p *config.Profile) { p.Rounds.V = 1 })
	require.Len(t, set.Runs, 6)
	keys := map[string]bool{}
	for _, r := range set.Runs {
		require.Equal(t, guest.Variant{Kernel: "7.3"}, r.Guest, "all start from one guest")
		require.Equal(t, "cfs", r.Mode.Policy, "the daemon observes")
		if r.Command != "" {
			require.Equal(t, "scx_flatcg", r.Scheduler())
			for _, file := range []string{"one", "another"} {
				r.Program = &guest.Program{Digest: file}
				require.NoError(t, r.SetKey(guest.Artifacts{}))
				require.Regexp(t, "^scx_flatcg-huawei-[79]0-r1-", r.Key)
				keys[r.Key] = true
			}
		}
	}
	require.Len(t, keys, 8, "two loads, two commands, two files")
	require.Equal(t, "flat on huawei at 90 %, round 1", set.Runs[1].Label())

	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(fmt.Sprintf(exptest.TwoLoads, "a")+"      - {name: a, scheduler: {command: scx_nosuch, kernel: \"7.3\"}}\n"), 0o644))
	o := options()
	o.Dir = dir
	_, err := Select("a", o)
	require.ErrorContains(t, err, `a.yaml:9:40: command "scx_nosuch": allowed: the path of a program (./scx_nosuch), or one of scx_simple, scx_flatcg, scx_userland`)
}

// Guests of several kinds: each has every series, its size gives the number of
// invocations, and the plan says which is which.
func TestGuestsOfSeveralKinds(t *testing.T) {
	dir := exptest.Dir(t, "a", strings.Replace(fmt.Sprintf(exptest.TwoLoads, "a"), "    seed: 1\n", "    seed: 1\n    function_cpus: [1, 4]\n    deployments: [apart, paper]\n", 1)+"      - {name: cfs}\n      - {name: alps}\n")
	set := runSetOf(t, "a", dir, func(p *config.Profile) { p.Rounds.V = 1; p.CPUTime.V = 4 * time.Second })
	require.Len(t, set.Runs, 2*2*2*2)
	require.Equal(t, 2*2, set.Units, "deployments are compared, numbers of CPUs are not")
	size := map[int]int{}
	for _, r := range set.Runs {
		size[r.Guest.CPUs] = len(r.Rows)
		require.NoError(t, r.SetKey(guest.Artifacts{}))
		modelled := r.Guest.Deployment == config.AsPaper
		require.Equal(t, modelled, r.Guest.PlatformModelled() > 10*time.Millisecond)
		require.Contains(t, r.Kind(vm.VTime, 9), fmt.Sprintf(" vtime %d", r.Guest.CPUs))
	}
	require.Less(t, 2*size[2], size[5])
	plans, err := set.Plans()
	require.NoError(t, err)
	require.Equal(t, "alps on huawei, 4 CPUs, paper at 90 %, round 1", plans["a"][len(plans["a"])-3].String())
	require.Len(t, plans["a"], 16)

	// One size is part of the guest, and needs no name beside the workload's.
	dir = exptest.Dir(t, "a", strings.Replace(fmt.Sprintf(exptest.TwoLoads, "a"), "    seed: 1\n", "    seed: 1\n    function_cpus: [24]\n", 1)+"      - {name: cfs}\n")
	set = runSetOf(t, "a", dir, func(p *config.Profile) { p.Rounds.V = 1 })
	require.Equal(t, 25, set.Runs[0].Guest.CPUs)
	require.NoError(t, set.Runs[0].SetKey(guest.Artifacts{}))
	require.Equal(t, "cfs on huawei at 70 %, round 1", set.Runs[len(set.Runs)-1].Label())
}
