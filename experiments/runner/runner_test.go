package runner

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/load"
	"github.com/ds2-lab/alps/vm"
)

func options() Options { return Options{Rig: RigOptions{Root: "../.."}, Profile: "smoke"} }

// measuredJob is the part of an experiment that runs in a guest.
func measuredJob(t *testing.T, name string) *job {
	w, err := newWork(name, options())
	require.NoError(t, err)
	require.Len(t, w.measured, 1)
	return w.measured[0]
}

func TestWhatCannotRunIsRefused(t *testing.T) {
	for want, o := range map[string]Options{
		"no part of it is for engine vm; there is: sim": {Engine: "vm"},
		"allowed: smoke, quick, paper":                  {Profile: "tiny"},
		`engine "kvm": allowed: vm, sim`:                {Engine: "kvm"},
		"profiles: open nowhere/profiles.yaml":          {Dir: "nowhere"},
	} {
		o.Rig.Root = "../.."
		_, err := newWork("fig01", o)
		require.ErrorContains(t, err, want)
	}
}

func TestRoundsAreInterleavedAndShareTheirTrace(t *testing.T) {
	j := measuredJob(t, "fig06")
	var order []string
	for _, r := range j.runs {
		order = append(order, r.scheduler.Name.V)
	}
	require.Equal(t, []string{"cfs", "alps", "alps", "cfs"}, order)
	require.Equal(t, j.runs[0].rows, j.runs[1].rows)
	require.NotEqual(t, j.runs[0].rows, j.runs[2].rows)
	g4 := 0
	for _, row := range j.runs[0].rows {
		if j.classes[row.Class].Group == "G4" {
			g4++
		}
	}
	require.GreaterOrEqual(t, g4, 3, "every group is there in a short run")
}

func TestKeysFollowEveryInput(t *testing.T) {
	j := measuredJob(t, "fig06")
	seen := map[string]bool{}
	keys := func(change func(*Parts, *job)) {
		p := Parts{Accel: vm.TCG, CPUs: 2, ToolsDigest: "t"}
		p.Kernel.Key, p.Image.Digest = "k", "i"
		change(&p, j)
		require.NoError(t, j.setKeys(p))
		for _, r := range j.runs {
			require.False(t, seen[r.key], r.key)
			seen[r.key] = true
		}
	}
	keys(func(*Parts, *job) {})
	keys(func(p *Parts, _ *job) { p.Kernel.Key = "k2" })
	keys(func(p *Parts, _ *job) { p.Image.Digest = "i2" })
	keys(func(p *Parts, _ *job) { p.ToolsDigest = "t2" })
	keys(func(p *Parts, _ *job) { p.Accel = vm.KVM })
	keys(func(p *Parts, _ *job) { p.CPUs = 4 })
	keys(func(_ *Parts, j *job) { j.part.Load.V = 0.8 })
	keys(func(_ *Parts, j *job) { j.classes[0].CPU++ })
	keys(func(_ *Parts, j *job) {
		j.runs[0].mode.Order = "fifo"
		j.runs[3].mode.Order = "fifo"
		j.runs[1].mode.Step = "2s"
		j.runs[2].mode.Step = "2s"
	})
}

// CPU demand over the functions' CPUs is the load asked for, with the costs of
// this machine.
func TestRequestsGiveTheLoad(t *testing.T) {
	j := measuredJob(t, "fig06")
	costs := map[string]load.Cost{}
	for fn, size := range load.Unit {
		costs[fn] = load.Cost{Function: fn, Size: size, Base: 9 * time.Millisecond, PerRound: 400 * time.Microsecond}
	}
	reqs, err := j.requests(j.runs[0], costs, 3)
	require.NoError(t, err)
	var work time.Duration
	for _, r := range reqs {
		work += costs[r.Function].CPU(r.Rounds)
		require.Equal(t, load.Unit[r.Function], r.Size)
	}
	last := reqs[len(reqs)-1].Due
	span := last + last/time.Duration(len(reqs)-1)
	require.InEpsilon(t, 0.9, float64(work)/float64(span)/3, 1e-3)
	delete(costs, "fib")
	_, err = j.requests(j.runs[0], costs, 3)
	require.ErrorContains(t, err, "fib was not calibrated")
}

func TestFunctionCPUs(t *testing.T) {
	for cpus, want := range map[int]string{1: "0", 2: "1", 24: "1-23"} {
		require.Equal(t, want, Parts{CPUs: cpus}.functionCPUs())
	}
	require.Equal(t, "a b", strings.Join(uniquePorts([]string{"b", "a", "b"}), " "))
}
