// SPDX-License-Identifier: Apache-2.0

package execute

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/experiments/internal/exptest"
	"github.com/ds2-lab/alps/experiments/plan"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/vm"
)

// runSetOf is the set of runs of experiments that lie in dir, "" for the
// repository's, in guests with one CPU for the functions.
func runSetOf(t *testing.T, name, dir string, change func(*config.Profile)) *plan.RunSet {
	selected, err := plan.Select(name, plan.Options{Guest: guest.Options{Root: "../.."}, Dir: dir, Profile: "smoke"})
	require.NoError(t, err)
	if change != nil {
		change(&selected.Profile)
	}
	set, err := plan.NewRunSet(selected.Measured, selected.Profile, 1)
	require.NoError(t, err)
	return set
}

// executorTest runs an executor without guests. It counts guests and replays, and lets
// runs fail or be invalid as the test says.
type executorTest struct {
	dir, results string
	jobs         int
	shard        plan.Shard
	build        func(context.Context, guest.Variant) (guest.Artifacts, error) // of another kernel; nil: it cannot be had
	load         func(context.Context, *plan.Run) (*guest.Program, error)      // nil: it cannot be had

	mu       sync.Mutex
	guests   int
	kept     []int          // for how many kinds of guests snapshots were to be kept, by guest
	replayed map[string]int // by label
	fail     map[string]int // how often a run is yet to fail, by label
	invalid  map[string]bool
	log      bytes.Buffer
}

func newExecutorTest(t *testing.T) *executorTest {
	t.Setenv("ALPS_CACHE", t.TempDir())
	return &executorTest{dir: exptest.Dir(t, "a", fmt.Sprintf(exptest.TwoLoads, "a")+"      - {name: cfs}\n      - {name: alps}\n      - {name: srpt, on: cfs}\n"),
		results: t.TempDir(), jobs: 2, fail: map[string]int{}, invalid: map[string]bool{}}
}

func (x *executorTest) run(t *testing.T, ctx context.Context) error {
	x.replayed = map[string]int{}
	p := guest.Artifacts{Accel: vm.VTime, CPUs: 1}
	b := newExecutor(runSetOf(t, config.All, x.dir, nil), plan.Options{Guest: guest.Options{Progress: progress.New(&x.log)}, Results: x.results, Jobs: x.jobs, Shard: x.shard, Artifacts: &p}, plan.OpenHistory())
	b.build = func(ctx context.Context, v guest.Variant) (guest.Artifacts, error) {
		if v.Kernel != "" {
			if x.build != nil {
				return x.build(ctx, v)
			}
			return guest.Artifacts{}, errors.New("its source cannot be had")
		}
		return p, nil
	}
	b.load = func(ctx context.Context, r *plan.Run) (*guest.Program, error) {
		if x.load != nil {
			return x.load(ctx, r)
		}
		return nil, errors.New("no compiler")
	}
	b.acquire = func(_ context.Context, a guest.Artifacts) (*guest.Guest, error) {
		x.guests++ // one at a time
		x.kept = append(x.kept, a.Kinds)
		return &guest.Guest{Artifacts: p}, nil
	}
	b.replay = func(_ context.Context, _ *guest.Guest, r *plan.Run, _ *progress.Step) (results.Result, error) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.replayed[r.Label()]++
		if x.fail[r.Label()] > 0 {
			x.fail[r.Label()]--
			return results.Result{}, errors.New("the guest is gone")
		}
		out := results.Result{Run: results.Run{Key: r.Key, Engine: results.EngineVM, Scheduler: r.Mode.Policy, Workload: r.Workload, Round: r.Round, FunctionCPUs: 1, Errors: []string{}}}
		for i := range 20 {
			at := int64(i) * 1e7
			out.Invocations = append(out.Invocations, results.Invocation{ID: i + 1, Function: "fib", Group: "G1", SendNS: at, ArriveNS: at, StartNS: at, EndNS: at + 5e7, CPUNS: 2e7, Status: results.OK})
		}
		if x.invalid[r.Label()] {
			out.Run.Lost = 3
		}
		out.Run.Judge()
		return out, nil
	}
	return b.run(ctx)
}

func TestAGuestThatFailsCostsItsRunOnly(t *testing.T) {
	x := newExecutorTest(t)
	const once, always, lossy = "alps on huawei at 90 %, round 1", "alps on huawei at 70 %, round 2", "cfs on huawei at 70 %, round 1"
	x.fail[once], x.fail[always], x.invalid[lossy] = 1, 100, true
	err := x.run(t, t.Context())
	require.EqualError(t, err, lossy+" is not valid: 3 events were lost\n"+always+": the guest is gone")
	require.Len(t, x.replayed, 8)
	require.Equal(t, 2, x.replayed[once])
	require.Equal(t, 2, x.replayed[always], "not for ever")
	require.GreaterOrEqual(t, x.guests, 2+1, "a fresh one for what failed")
	found, missing, err := results.NewPool(x.results, results.EngineVM).Plan("a")
	require.NoError(t, err)
	require.Len(t, found, 11, "two loads, two rounds, three series, but one")
	require.Len(t, missing, 1)
	require.ErrorContains(t, missing[0], "a: "+always+" is missing")
	for _, s := range found {
		base := s.Name + s.Workload + fmt.Sprint(s.Load, s.Round)
		if s.Name == "srpt" {
			require.Contains(t, s.Result.Run.Parameters["on"], fmt.Sprintf("cfs-huawei-%.0f-r%d-", 100*s.Load, s.Round), base)
			require.NotZero(t, s.Result.Invocations[19].EndNS)
			require.Equal(t, s.Load != 0.7 || s.Round != 1, s.Result.Run.Valid, "no better than what it is computed from")
		}
	}

	// When it runs again, it makes the runs that are missing or not valid.
	x.fail, x.invalid = nil, nil
	require.NoError(t, x.run(t, t.Context()))
	require.Equal(t, map[string]int{always: 1, lossy: 1}, x.replayed)
	require.Regexp(t, `6 of 8 steps are there already, about \S+ left`, x.log.String())
	series, err := results.ReadPlan(x.results, results.EngineVM, "a")
	require.NoError(t, err)
	for _, s := range series {
		require.True(t, s.Result.Run.Valid, "%s", s)
	}
	require.NoError(t, x.run(t, t.Context()))
	require.Empty(t, x.replayed)
}

func TestWhatIsInterruptedGoesOn(t *testing.T) {
	x := newExecutorTest(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, x.run(t, ctx), context.Canceled)
	require.Empty(t, x.replayed)
	_, missing, err := results.NewPool(x.results, results.EngineVM).Plan("a")
	require.NoError(t, err)
	require.Len(t, missing, 12, "what is planned is known from the start")

	// Two shards do it all, and neither does what the other does.
	total := 0
	for i := range 2 {
		x.shard = plan.Shard{Index: i + 1, Of: 2}
		require.NoError(t, x.run(t, t.Context()))
		require.Len(t, x.replayed, 4)
		total += len(x.replayed)
	}
	require.Equal(t, 8, total)
	_, err = results.ReadPlan(x.results, results.EngineVM, "a")
	require.NoError(t, err)
}

// A snapshot of every kind of guest is kept: else the next round would take each again, and
// would not be of the same calibration.
func TestSnapshotsOfAllKindsAreKept(t *testing.T) {
	x := newExecutorTest(t)
	yaml := strings.Replace(fmt.Sprintf(exptest.TwoLoads, "a"), "    seed: 1\n", "    seed: 1\n    function_cpus: [1, 2, 4, 8]\n    deployments: [apart, paper]\n", 1)
	require.NoError(t, os.WriteFile(filepath.Join(x.dir, "a.yaml"), []byte(yaml+"      - {name: cfs}\n      - {name: stock, scheduler: cfs, kernel: 6.1-stock}\n"), 0o644))
	require.ErrorContains(t, x.run(t, t.Context()), "cannot be had")
	require.NotEmpty(t, x.kept)
	for _, n := range x.kept {
		require.Equal(t, 4*2, n, "not of a kernel that cannot be had")
	}
}

// Whoever interrupts the build of a kernel or of a scheduler finds the plan as it was,
// and what was measured stays published.
func TestAnInterruptedBuildLeavesThePlan(t *testing.T) {
	x := newExecutorTest(t)
	yaml := fmt.Sprintf(exptest.TwoLoads, "b") + "      - {name: cfs}\n      - {name: stock, scheduler: cfs, kernel: 6.1-stock}\n      - {name: simple, scheduler: {command: scx_simple}}\n"
	require.NoError(t, os.WriteFile(filepath.Join(x.dir, "b.yaml"), []byte(yaml), 0o644))
	built := func(_ context.Context, v guest.Variant) (guest.Artifacts, error) {
		a := guest.Artifacts{Accel: vm.VTime, CPUs: 1}
		a.Kernel.Key = v.Kernel
		return a, nil
	}
	loaded := func(context.Context, *plan.Run) (*guest.Program, error) { return &guest.Program{Name: "simple"}, nil }
	x.build, x.load = built, loaded
	require.NoError(t, x.run(t, t.Context()))
	before, missing, err := results.NewPool(x.results, results.EngineVM).Plan("b")
	require.NoError(t, err)
	require.Empty(t, missing)
	docs := t.TempDir()
	published, _, err := plan.Publish(x.results, docs)
	require.NoError(t, err)
	require.NotZero(t, published)

	interrupted := errors.New("interrupted")
	for name, interrupt := range map[string]func(context.CancelCauseFunc){
		"a kernel's build": func(cancel context.CancelCauseFunc) {
			x.build = func(ctx context.Context, _ guest.Variant) (guest.Artifacts, error) {
				cancel(interrupted)
				return guest.Artifacts{}, fmt.Errorf("make: %w", ctx.Err())
			}
		},
		"a program's build": func(cancel context.CancelCauseFunc) {
			x.load = func(ctx context.Context, _ *plan.Run) (*guest.Program, error) {
				cancel(interrupted)
				return nil, fmt.Errorf("make: %w", ctx.Err())
			}
		},
	} {
		x.build, x.load = built, loaded
		ctx, cancel := context.WithCancelCause(t.Context())
		interrupt(cancel)
		require.ErrorIs(t, x.run(t, ctx), interrupted, name)
		require.Empty(t, x.replayed)
		after, missing, err := results.NewPool(x.results, results.EngineVM).Plan("b")
		require.NoError(t, err)
		require.Empty(t, missing, name)
		require.Equal(t, before, after)
		still, gone, err := plan.Publish(x.results, docs)
		require.NoError(t, err)
		require.Equal(t, published, still)
		require.Zero(t, gone)
	}
}

// A kernel that cannot be had is missing where it was wanted, and nowhere else.
func TestAKernelThatCannotBeHad(t *testing.T) {
	x := newExecutorTest(t)
	yaml := fmt.Sprintf(exptest.TwoLoads, "b") + "      - {name: cfs}\n      - {name: stock, scheduler: cfs, kernel: 6.1-stock}\n"
	require.NoError(t, os.WriteFile(filepath.Join(x.dir, "b.yaml"), []byte(yaml), 0o644))
	err := x.run(t, t.Context())
	require.ErrorContains(t, err, "stock on huawei at 90 %, round 1, and whatever else needs the same, is missing: its source cannot be had")
	require.Equal(t, 1, strings.Count(err.Error(), "cannot be had"))
	_, missing, err := results.NewPool(x.results, results.EngineVM).Plan("b")
	require.NoError(t, err)
	require.Len(t, missing, 4)
	require.ErrorContains(t, missing[0], "b: stock on huawei at 90 %, round 1 is missing")
	_, err = results.ReadPlan(x.results, results.EngineVM, "a")
	require.NoError(t, err)
}

// A program that cannot be had is missing where it was wanted, and nowhere else.
func TestAProgramThatCannotBeHad(t *testing.T) {
	x := newExecutorTest(t)
	yaml := fmt.Sprintf(exptest.TwoLoads, "b") + "      - {name: cfs}\n      - {name: simple, scheduler: {command: scx_simple}}\n"
	require.NoError(t, os.WriteFile(filepath.Join(x.dir, "b.yaml"), []byte(yaml), 0o644))
	err := x.run(t, t.Context())
	require.ErrorContains(t, err, "simple on huawei at 90 %, round 1, and whatever else needs the same, is missing: no compiler")
	require.Equal(t, 1, strings.Count(err.Error(), "no compiler"))
	_, missing, err := results.NewPool(x.results, results.EngineVM).Plan("b")
	require.NoError(t, err)
	require.Len(t, missing, 4)
	_, err = results.ReadPlan(x.results, results.EngineVM, "a")
	require.NoError(t, err)
}

func TestALoadThatIsAnotherIsNamed(t *testing.T) {
	require.Equal(t, "load 0.93", loads(results.Run{LoadAsked: 0.9, LoadAchieved: 0.931}))
	require.Equal(t, "load 1.41, where 0.9 was asked for", loads(results.Run{LoadAsked: 0.9, LoadAchieved: 1.4145}))
	require.Equal(t, "load 0.00", loads(results.Run{}))
}
