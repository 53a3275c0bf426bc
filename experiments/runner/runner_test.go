package runner

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/load"
	"github.com/ds2-lab/alps/experiments/spec"
	"github.com/ds2-lab/alps/vm"
)

func options() Options { return Options{Rig: RigOptions{Root: "../.."}, Profile: "smoke"} }

// batchOf is the batch of experiments that lie in dir, "" for the repository's.
func batchOf(t *testing.T, name, dir string, change func(*spec.Profile)) *batch {
	o := options()
	o.Dir = dir
	w, err := newWork(name, o)
	require.NoError(t, err)
	if change != nil {
		change(&w.profile)
	}
	b, err := newBatch(w.measured, w.profile, 1)
	require.NoError(t, err)
	return b
}

// everything of a profile of three rounds.
func everything(p *spec.Profile) { p.Only, p.Rounds.V = nil, 3 }

func TestWhatCannotRunIsRefused(t *testing.T) {
	for want, o := range map[string]Options{
		"no part of it is for engine vm; there is: sim": {Engine: "vm"},
		"allowed: smoke, brief, quick, paper, headline": {Profile: "tiny"},
		`engine "kvm": allowed: vm, sim`:                {Engine: "kvm"},
		"profiles: open nowhere/profiles.yaml":          {Dir: "nowhere"},
	} {
		o.Rig.Root = "../.."
		_, err := newWork("load", o)
		require.ErrorContains(t, err, want)
	}
}

func TestRoundsAreInterleavedAndShareTheirTrace(t *testing.T) {
	b := batchOf(t, "fig06", "", nil)
	var order []string
	for _, r := range b.runs {
		order = append(order, r.label())
	}
	require.Equal(t, []string{"cfs on huawei at 90 %, round 1", "alps on huawei at 90 %, round 1", "alps on huawei at 90 %, round 2", "cfs on huawei at 90 %, round 2"}, order)
	require.Equal(t, b.runs[0].rows, b.runs[1].rows)
	require.NotEqual(t, b.runs[0].rows, b.runs[2].rows)
	g4 := 0
	for _, row := range b.runs[0].rows {
		if b.runs[0].classes[row.Class].Group == "G4" {
			g4++
		}
	}
	require.GreaterOrEqual(t, g4, 3, "every group is there in a short run")

	round := 1
	for _, r := range batchOf(t, spec.All, "", everything).runs {
		require.GreaterOrEqual(t, r.round, round, "whole rounds first")
		round = r.round
	}
	require.Equal(t, 3, round)
}

const twoFigures = `figure: %s
title: t
parts:
  - engine: vm
    workloads: [huawei]
    loads: [0.9, 0.7]
    seed: 1
    series:
`

// What several figures show runs once, and each figure's plan names all it shows.
func TestFiguresShareRuns(t *testing.T) {
	dir := experimentsDir(t, "a", fmt.Sprintf(twoFigures, "a")+"      - {name: cfs}\n      - {name: alps}\n      - {name: srpt, on: cfs}\n")
	b := fmt.Sprintf(twoFigures, "b") + "      - {name: two, scheduler: alps, order: bounded, step: 1s, params: {alpha: 2}}\n      - {name: five, scheduler: alps, params: {alpha: 5}}\n" +
		"      - {name: other, scheduler: alps, kernel: 6.1-stock}\n      - {name: oracle, scheduler: srpt, on: two}\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "b.yaml"), []byte(b), 0o644))
	all := batchOf(t, spec.All, dir, func(p *spec.Profile) { p.Rounds.V = 1 })
	require.Len(t, all.runs, 8, "at each load cfs, alps, alpha 5, and alps with another kernel")
	for _, r := range all.runs {
		require.NoError(t, r.setKey(Parts{ToolsDigest: r.at.kernel}))
	}
	plans, err := all.plans()
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
	require.Equal(t, all.runs[0].unit, all.runs[4].unit, "what is compared is measured on one machine")
	require.Equal(t, 2, len(all.units))

	missing := strings.Replace(b, "6.1-stock", "7.0", 1)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "b.yaml"), []byte(missing), 0o644))
	o := options()
	o.Dir = dir
	_, err = newWork("b", o)
	require.ErrorContains(t, err, `b.yaml:11:48: kernel "7.0": kernel/kernels.yaml has none of that name`)
}

func TestKeysFollowEveryInput(t *testing.T) {
	seen := map[string]bool{}
	keys := func(change func(*Parts, *run), profile func(*spec.Profile)) {
		p := Parts{Accel: vm.TCG, CPUs: 2, ToolsDigest: "t"}
		p.Kernel.Key, p.Image.Digest = "k", "i"
		for _, r := range batchOf(t, "fig06", "", profile).runs {
			change(&p, r)
			require.NoError(t, r.setKey(p))
			require.False(t, seen[r.key], r.key)
			seen[r.key] = true
		}
	}
	none := func(*Parts, *run) {}
	keys(none, nil)
	keys(func(p *Parts, _ *run) { p.Kernel.Key = "k2" }, nil)
	keys(func(p *Parts, _ *run) { p.Image.Digest = "i2" }, nil)
	keys(func(p *Parts, _ *run) { p.ToolsDigest = "t2" }, nil)
	keys(func(p *Parts, _ *run) { p.Accel = vm.KVM }, nil)
	keys(func(p *Parts, _ *run) { p.CPUs = 4 }, nil)
	keys(func(_ *Parts, r *run) { r.mode.Order = "fifo" }, nil)
	keys(func(_ *Parts, r *run) { r.mode.Step = "2s" }, nil)
	keys(none, func(p *spec.Profile) { p.TimeFactor.V = 2 })
	keys(none, func(p *spec.Profile) { p.AtLeast.V = 3 })
	for _, change := range []func(*run){func(r *run) { r.load = 0.8 }, func(r *run) { r.round = 7 }, func(r *run) { r.workload = "w" },
		func(r *run) { r.classes = slices.Clone(r.classes); r.classes[0].CPU++ }} {
		r := *batchOf(t, "fig06", "", nil).runs[0]
		before := r.work
		change(&r)
		after, err := r.arrivals()
		require.NoError(t, err)
		require.NotEqual(t, before, after)
	}
}

// CPU demand over the functions' CPUs is the load asked for, with the costs of
// this machine.
func TestRequestsGiveTheLoad(t *testing.T) {
	first := batchOf(t, "fig06", "", nil).runs[0]
	costs := map[string]load.Cost{}
	for fn, size := range load.Unit {
		costs[fn] = load.Cost{Function: fn, Size: size, Base: 9 * time.Millisecond, PerRound: 400 * time.Microsecond}
	}
	reqs, err := first.requests(costs, 3)
	require.NoError(t, err)
	var work time.Duration
	for _, r := range reqs {
		work += costs[r.Function].CPU(r.Rounds)
		require.Equal(t, load.Unit[r.Function], r.Size)
	}
	last := reqs[len(reqs)-1].Due
	span := last + last/time.Duration(len(reqs)-1)
	require.InEpsilon(t, 0.9, float64(work)/float64(span)/3, 1e-3)

	// Who drifts asks the same function for more or less, from the middle on.
	runs := batchOf(t, "mispredict", "", everything).runs
	reqs, err = runs[slices.IndexFunc(runs, func(r *run) bool { return r.workload == "drift" })].requests(costs, 1)
	require.NoError(t, err)
	asked := map[string]map[int]bool{}
	for i, r := range reqs {
		at := fmt.Sprint(r.Function, r.UID, r.Port, i >= len(reqs)/2)
		if asked[at] == nil {
			asked[at] = map[int]bool{}
		}
		asked[at][r.Rounds] = true
	}
	rounds := func(ms int) map[int]bool {
		return map[int]bool{costs["fib"].Rounds(time.Duration(ms) * time.Millisecond): true}
	}
	require.Equal(t, []map[int]bool{rounds(329), rounds(79)}, []map[int]bool{asked["fib185018false"], asked["fib185018true"]})
	require.Len(t, asked["floatOperation205020true"], 1)
	require.NotEqual(t, asked["floatOperation205020false"], asked["floatOperation205020true"])
	delete(costs, "fib")
	_, err = first.requests(costs, 3)
	require.ErrorContains(t, err, "fib was not calibrated")
}

func TestFunctionCPUs(t *testing.T) {
	for cpus, want := range map[int]string{1: "0", 2: "1", 24: "1-23"} {
		require.Equal(t, want, Parts{CPUs: cpus}.functionCPUs())
	}
	require.Equal(t, "a b", strings.Join(uniquePorts([]string{"b", "a", "b"}), " "))
}

// What is measured is keyed by the guest's programs: no experiment, workload or
// trace may be in them, nor the simulator.
func TestGuestHasNoExperimentInIt(t *testing.T) {
	list := func(commands ...string) string {
		cmd := exec.Command("go", slices.Concat([]string{"list", "-deps", "-f", "{{.ImportPath}}{{range .EmbedFiles}} {{$.ImportPath}}/{{.}}{{end}}"}, commands)...)
		cmd.Dir = "../.."
		out, err := cmd.Output()
		require.NoError(t, err)
		return string(out)
	}
	left := []string{"experiments/workloads/huawei.yaml", "experiments/traces/huawei.csv", "/experiments/spec\n", "/experiments/simulate\n", "/alps/sim\n"}
	simulator, guest := list("./alps/cmd/alps-sim"), list(guestCommands...)
	for _, x := range left {
		require.Contains(t, simulator, x, "else the test looks for what is nowhere")
		require.NotContains(t, guest, x)
	}
	require.NotContains(t, guest, ".yaml")
}
