// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/experiments/internal/exptest"
	"github.com/ds2-lab/alps/vm"
)

// planned is a plan with estimates only: without what this host measured before.
func planned(t *testing.T, name string, o Options) Plan {
	t.Setenv("ALPS_CACHE", t.TempDir())
	o.Guest.Root = "../.."
	p, err := New(t.Context(), name, o)
	require.NoError(t, err)
	return p
}

func TestPlanShowsEveryStep(t *testing.T) {
	p := planned(t, "fig06", Options{Profile: "smoke"})
	var b bytes.Buffer
	require.NoError(t, p.Write(&b))
	for _, want := range []string{"1/4", "4/4", "cfs on huawei at 90 %, round 1", "alps on huawei at 90 %, round 2", "240 invocations", "of workloads huawei and series cfs, alps no others run", "about ", "MiB of results", "minutes under tcg", "-accel tcg,thread=multi"} {
		require.Contains(t, b.String(), want)
	}
	b.Reset()
	require.NoError(t, planned(t, "fig06", Options{Profile: "brief"}).Write(&b))
	require.NotContains(t, b.String(), "no others run")
	b.Reset()
	require.NoError(t, planned(t, "table2", Options{}).Write(&b))
	require.Contains(t, b.String(), "1/1  table2  host  cost  computed")
	require.NotContains(t, b.String(), "qemu")
}

// In virtual time every kind of guest has a snapshot, which the plan and a job's manifest
// count; elsewhere none has.
func TestPlanCountsSnapshots(t *testing.T) {
	yaml := strings.Replace(fmt.Sprintf(exptest.TwoLoads, "a"), "    seed: 1\n", "    seed: 1\n    function_cpus: [1, 2, 4, 8]\n    deployments: [apart, paper]\n", 1)
	dir := exptest.Dir(t, "a", yaml+"      - {name: cfs}\n")
	for accel, want := range map[vm.Accel]int{vm.VTime: 6, vm.TCG: 0} { // 4 × 2 of 750 MiB
		p := planned(t, "a", Options{Dir: dir, Profile: "tiny", Engine: "vm", Guest: guest.Options{Accel: accel}})
		require.Equal(t, want, p.snapshotsGiB())
		var b bytes.Buffer
		require.NoError(t, p.Write(&b))
		require.Equal(t, want > 0, strings.Contains(b.String(), "Snapshots of the guests take up to 6 GiB."), b.String())
	}
}

// What a step took before is what it is expected to take.
func TestPlanUsesMeasuredTimes(t *testing.T) {
	guess := planned(t, "fig06", Options{Engine: "vm"})
	require.False(t, guess.Steps[0].Measured)
	OpenHistory().Put(runSetOf(t, "fig06", "", nil).Runs[0].Kind(vm.TCG, 2), 123*time.Second)
	p, err := New(t.Context(), "fig06", Options{Engine: "vm", Guest: guest.Options{Root: "../.."}})
	require.NoError(t, err)
	require.Equal(t, 123*time.Second, p.Steps[0].Expected, "cfs, first round")
	require.True(t, p.Steps[0].Measured)
	require.Equal(t, guess.Steps[1].Expected, p.Steps[1].Expected, "alps was not measured")
	require.Equal(t, 123*time.Second, p.Steps[3].Expected, "cfs, second round")
}

// The minutes in profiles.yaml are those of the plan, brief takes at most
// 75, and README says the same.
func TestProfilesSayHowLongTheyTake(t *testing.T) {
	minutes := map[string]int{}
	for _, name := range []string{"smoke", "brief", "quick", "paper"} {
		for _, accel := range []vm.Accel{vm.TCG, vm.KVM, vm.VTime} {
			o := Options{Profile: name, Engine: "vm", Guest: guest.Options{Accel: accel, CPUs: 2}}
			if accel == vm.VTime {
				o.Guest.CPUs, o.Jobs = 0, 2
			}
			p := planned(t, "all", o)
			said := time.Duration(p.Profile.Minutes[string(accel)].V) * time.Minute
			t.Logf("%s %s: %d runs, %s", name, accel, len(p.Steps), p.Expected(1))
			require.InDelta(t, 1, p.Expected(1).Seconds()/said.Seconds(), 0.15, "%s %s: the plan says %s, profiles.yaml %s", name, accel, p.Expected(1), said)
			minutes[name] = p.Profile.Minutes[string(accel)].V
			if name == "brief" && accel == vm.VTime {
				require.LessOrEqual(t, p.Expected(1), 75*time.Minute)
			}
		}
	}
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	for _, name := range []string{"smoke", "brief", "quick"} {
		require.Contains(t, string(readme), fmt.Sprintf("%d minutes for `%s`", minutes[name], name))
	}
	for row, want := range map[string]string{ // of the table of how long commands take
		"| `reproduce`, which is `brief` here | ": fmt.Sprintf("%d minutes ¹", 6+minutes["brief"]), // simulations and figures
		"| `reproduce -profile=quick` | ":         fmt.Sprintf("%.0f hours ¹", float64(minutes["quick"])/60),
		"| `reproduce -profile=paper` | ":         fmt.Sprintf("%.0f days here ¹", float64(minutes["paper"])/60/24),
	} {
		require.Contains(t, string(readme), row+want)
	}
}

// README says of the headline how long it takes and how many invocations it has.
func TestTheHeadlineIsAsReadmeSays(t *testing.T) {
	p := planned(t, "headline", Options{Profile: "headline", Engine: "vm", Jobs: 2, Guest: guest.Options{Accel: vm.VTime}})
	said := p.Profile.Minutes[string(vm.VTime)].V
	require.InDelta(t, 1, p.Expected(1).Minutes()/float64(said), 0.15, "the plan says %s, profiles.yaml %d minutes", p.Expected(1), said)
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	require.Contains(t, string(readme), fmt.Sprintf("with %d,%03d invocations", p.Profile.Invocations.V/1000, p.Profile.Invocations.V%1000))
	require.Contains(t, string(readme), fmt.Sprintf("about %d minutes on 2 CPUs", said))
	require.Contains(t, string(readme), fmt.Sprintf("| `experiments:run headline …` | %d minutes ¹", said))
}

// A run of a kind that was never measured takes as long as estimated, times what
// other runs took on this host; one that was disturbed does not count.
func TestEstimatesLearn(t *testing.T) {
	guess := planned(t, "fig06", Options{Engine: "vm", Guest: guest.Options{Accel: vm.VTime}})
	runs := runSetOf(t, "fig06", "", nil).Runs
	past := OpenHistory()
	require.Equal(t, "cfs", runs[0].Scheduler())
	for _, factor := range []float64{1.2, 1.2, 5} {
		past.PutRun(runs[0], vm.VTime, guess.CPUs, time.Duration(factor*float64(runs[0].estimate(vm.VTime, guess.CPUs))))
	}
	p, err := New(t.Context(), "fig06", Options{Engine: "vm", Guest: guest.Options{Root: "../..", Accel: vm.VTime}})
	require.NoError(t, err)
	for i, s := range p.Steps {
		require.InDelta(t, 1.2, s.Expected.Seconds()/guess.Steps[i].Expected.Seconds(), 0.01, s.Label)
	}
	for range samplesKept {
		past.Put("kind", time.Second)
	}
	past.Put("kind", time.Hour)
	took, ok := OpenHistory().Get("kind")
	require.True(t, ok)
	require.Equal(t, time.Second, took)
	require.Len(t, past.samples["kind"], samplesKept)
}

// The page gives the cost that plans count with.
func TestCostOfVirtualTimeIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/virtual-time.md")
	require.NoError(t, err)
	require.Contains(t, string(page), fmt.Sprintf("takes about %.1f s of the host's CPU time on 4 CPUs", vtimeSlowdown(4)))
	require.Contains(t, string(page), fmt.Sprintf("and %.1f s on 24", vtimeSlowdown(24)))
}

// Every kind of guest is set up once. Where the usual guest is set up already, a plan
// counts one set-up less.
func TestSetUpsAreCounted(t *testing.T) {
	p := Plan{Jobs: 2, SetUp: time.Minute}
	for _, v := range []guest.Variant{{}, {}, {Kernel: "6.12"}} {
		p.Steps = append(p.Steps, Step{Engine: "vm", Expected: 10 * time.Minute, Guest: v})
	}
	require.Equal(t, 15*time.Minute+time.Minute+30*time.Second, p.Expected(1))
	p.ready = true
	require.Equal(t, 15*time.Minute+time.Minute, p.Expected(1))
}

// Every step is in one shard, and runs that are compared are in the same.
func TestShardsPartitionThePlan(t *testing.T) {
	p := planned(t, "all", Options{})
	for _, n := range []int{1, 2, 3, 7, p.Units} {
		seen := map[int]int{}
		for i := range n {
			for k, s := range p.Steps {
				if (Shard{i + 1, n}).Has(s.Unit) {
					seen[k]++
				}
			}
		}
		require.Len(t, seen, len(p.Steps))
		for k, times := range seen {
			require.Equal(t, 1, times, "%+v", p.Steps[k])
		}
	}
	require.True(t, Shard{2, 3}.HasOne(1, 2))
	require.False(t, Shard{2, 3}.HasOne(2, 4))
	require.True(t, Shard{}.HasOne(7, 8))
	require.False(t, Shard{}.HasOne(7, 7))
	rounds := map[string]int{}
	for _, s := range p.Steps {
		if s.Engine == "vm" {
			_, work, _ := strings.Cut(s.Label, " on ")
			if unit, ok := rounds[work]; ok {
				require.Equal(t, unit, s.Unit, "the schedulers on %s", work)
			}
			rounds[work] = s.Unit
		}
	}
	require.NotEmpty(t, rounds)
	require.Less(t, p.Expected(4), p.Expected(1))
	require.Greater(t, 5*p.Expected(4), p.Expected(1))
}

func TestParseShard(t *testing.T) {
	env := func(pairs ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == name {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	for _, c := range []struct {
		s    string
		env  func(string) string
		want Shard
		err  string
	}{
		{s: "", env: env(), want: Shard{}},
		{s: "2/3", env: env("JOB_COMPLETION_INDEX", "0"), want: Shard{2, 3}},
		{s: "/3", env: env("JOB_COMPLETION_INDEX", "0"), want: Shard{1, 3}},
		{s: "/3", env: env("JOB_COMPLETION_INDEX", "2"), want: Shard{3, 3}},
		{s: "/4", env: env("SLURM_ARRAY_TASK_ID", "1", "SLURM_ARRAY_TASK_MIN", "1"), want: Shard{1, 4}},
		{s: "/4", env: env("SLURM_ARRAY_TASK_ID", "3", "SLURM_ARRAY_TASK_MIN", "0"), want: Shard{4, 4}},
		{s: "/3", env: env(), err: "none of JOB_COMPLETION_INDEX, SLURM_ARRAY_TASK_ID is set"},
		{s: "/3", env: env("JOB_COMPLETION_INDEX", "3"), err: "shard 4 of 3"},
		{s: "/3", env: env("SLURM_ARRAY_TASK_ID", "x"), err: "SLURM_ARRAY_TASK_ID=x is not a number"},
		{s: "/3", env: env("SLURM_ARRAY_TASK_ID", "1"), err: "SLURM_ARRAY_TASK_MIN= is not a number"},
		{s: "0/3", env: env(), err: "allowed: 1 to 3"},
		{s: "3", env: env(), err: "want i/n"},
		{s: "a/3", env: env(), err: `shard "a/3"`},
	} {
		got, err := ParseShard(c.s, c.env)
		if c.err != "" {
			require.ErrorContains(t, err, c.err, c.s)
			continue
		}
		require.NoError(t, err, c.s)
		require.Equal(t, c.want, got, c.s)
	}
}

// The experiment in docs/compare.md is one, and takes as long as the page says.
func TestTheHowToIsTrue(t *testing.T) {
	page, err := os.ReadFile("../../docs/compare.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(page), "```yaml\n")
	require.True(t, ok)
	yaml, _, _ := strings.Cut(rest, "```")
	program, err := os.Executable()
	require.NoError(t, err)
	dir := exptest.Dir(t, "mine", strings.Replace(yaml, "../../mine/scx_mine", program, 1))
	profiles, err := os.ReadFile("../profiles.yaml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "profiles.yaml"), profiles, 0o644))
	p := planned(t, "mine", Options{Dir: dir, Profile: "cells", Jobs: 2, Guest: guest.Options{Accel: vm.VTime}})
	require.Len(t, p.Steps, 2*2*7*3)
	require.InDelta(t, 60, p.Expected(1).Minutes(), 6)
	require.Contains(t, string(page), "On 2 CPUs it takes about 60 minutes.")
	require.Contains(t, string(page), "beside six others")
}
