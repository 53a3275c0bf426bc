package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/experiments/spec"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/vm"
)

// benchTest is a bench without guests: it counts, and fails as told.
type benchTest struct {
	dir, results string
	jobs         int
	shard        Shard

	mu       sync.Mutex
	rigs     int
	replayed map[string]int // by label
	fail     map[string]int // so often, by label
	invalid  map[string]bool
}

func newBenchTest(t *testing.T) *benchTest {
	t.Setenv("ALPS_CACHE", t.TempDir())
	return &benchTest{dir: experimentsDir(t, "a", fmt.Sprintf(twoFigures, "a")+"      - {name: cfs}\n      - {name: alps}\n      - {name: srpt, on: cfs}\n"),
		results: t.TempDir(), jobs: 2, fail: map[string]int{}, invalid: map[string]bool{}}
}

func (x *benchTest) run(t *testing.T, ctx context.Context) error {
	x.replayed = map[string]int{}
	p := Parts{Accel: vm.VTime, CPUs: 1}
	b := newBench(batchOf(t, spec.All, x.dir, nil), Options{Results: x.results, Jobs: x.jobs, Shard: x.shard, Parts: &p}, openHistory())
	b.make = func(_ context.Context, at place) (Parts, error) {
		if at.kernel != "" {
			return Parts{}, errors.New("its source cannot be had")
		}
		return p, nil
	}
	b.ready = func(context.Context, Parts) (*Rig, error) {
		x.rigs++ // one at a time
		return &Rig{Parts: p}, nil
	}
	b.replay = func(_ context.Context, _ *Rig, r *run, _ *progress.Step) (results.Result, error) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.replayed[r.label()]++
		if x.fail[r.label()] > 0 {
			x.fail[r.label()]--
			return results.Result{}, errors.New("the guest is gone")
		}
		out := results.Result{Run: results.Run{Key: r.key, Engine: results.EngineVM, Scheduler: r.mode.Policy, Workload: r.workload, Round: r.round, FunctionCPUs: 1, Errors: []string{}}}
		for i := range 20 {
			at := int64(i) * 1e7
			out.Invocations = append(out.Invocations, results.Invocation{ID: i + 1, Function: "fib", Group: "G1", SendNS: at, ArriveNS: at, StartNS: at, EndNS: at + 5e7, CPUNS: 2e7, Status: results.OK})
		}
		if x.invalid[r.label()] {
			out.Run.Lost = 3
		}
		out.Run.Judge()
		return out, nil
	}
	return b.run(ctx)
}

func TestAGuestThatFailsCostsItsRunOnly(t *testing.T) {
	x := newBenchTest(t)
	const once, always, lossy = "alps on huawei at 90 %, round 1", "alps on huawei at 70 %, round 2", "cfs on huawei at 70 %, round 1"
	x.fail[once], x.fail[always], x.invalid[lossy] = 1, 100, true
	err := x.run(t, t.Context())
	require.EqualError(t, err, lossy+" is not valid: 3 events were lost\n"+always+": the guest is gone")
	require.Len(t, x.replayed, 8)
	require.Equal(t, 2, x.replayed[once])
	require.Equal(t, 2, x.replayed[always], "not for ever")
	require.GreaterOrEqual(t, x.rigs, 2+1, "a fresh one for what failed")
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

	// Run again it does what is missing, and what was not valid.
	x.fail, x.invalid = nil, nil
	require.NoError(t, x.run(t, t.Context()))
	require.Equal(t, map[string]int{always: 1, lossy: 1}, x.replayed)
	series, err := results.ReadPlan(x.results, results.EngineVM, "a")
	require.NoError(t, err)
	for _, s := range series {
		require.True(t, s.Result.Run.Valid, "%s", s)
	}
	require.NoError(t, x.run(t, t.Context()))
	require.Empty(t, x.replayed)
}

func TestWhatIsInterruptedGoesOn(t *testing.T) {
	x := newBenchTest(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, x.run(t, ctx), context.Canceled)
	require.Empty(t, x.replayed)
	_, missing, err := results.NewPool(x.results, results.EngineVM).Plan("a")
	require.NoError(t, err)
	require.Len(t, missing, 12, "what is planned is known from the start")

	// Two shares do it all, and neither does what the other does.
	total := 0
	for i := range 2 {
		x.shard = Shard{i + 1, 2}
		require.NoError(t, x.run(t, t.Context()))
		require.Len(t, x.replayed, 4)
		total += len(x.replayed)
	}
	require.Equal(t, 8, total)
	_, err = results.ReadPlan(x.results, results.EngineVM, "a")
	require.NoError(t, err)
}

// A kernel that cannot be had is missing where it was wanted, and nowhere else.
func TestAKernelThatCannotBeHad(t *testing.T) {
	x := newBenchTest(t)
	yaml := fmt.Sprintf(twoFigures, "b") + "      - {name: cfs}\n      - {name: stock, scheduler: cfs, kernel: 6.1-stock}\n"
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
