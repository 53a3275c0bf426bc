// SPDX-License-Identifier: Apache-2.0

package execute

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/experiments/internal/exptest"
	"github.com/ds2-lab/alps/experiments/plan"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/internal/ring"
	"github.com/ds2-lab/alps/internal/tree"
	"github.com/ds2-lab/alps/vm"
)

// An experiment in virtual time whose process on the host, QEMU and guest are killed in
// turn, at random moments, ends with the same invocations, to the nanosecond, as one
// that nobody disturbed. The test takes half a minute per kill: ALPS_KILLS, which the
// target testKill sets, says how many.
func TestGuestKilledRunGoesOn(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("ALPS_KILLS"))
	ring.Need(t, ring.Long, n > 0, "run the target testKill")
	dir := fig06(t)
	calm := child{Dir: dir, Name: "fig06", Results: filepath.Join(t.TempDir(), "results"), Guest: true}
	ready(t)
	begun := time.Now()
	t.Logf("%s", calm.finish(t))
	whole := time.Since(begun)

	killed := child{Dir: dir, Name: "fig06", Results: filepath.Join(t.TempDir(), "results"), Guest: true}
	moments := rand.New(rand.NewPCG(3, 4))
	kinds := []struct {
		name string
		kill func(*testing.T, *exec.Cmd) bool // false: there was nothing to kill
	}{
		{"host process", func(t *testing.T, c *exec.Cmd) bool {
			require.NoError(t, syscall.Kill(-c.Process.Pid, syscall.SIGKILL))
			return true
		}},
		{"QEMU", func(t *testing.T, c *exec.Cmd) bool {
			st, ok := guestOf(t, c.Process.Pid)
			if ok {
				require.NoError(t, syscall.Kill(st.PID, syscall.SIGKILL))
			}
			return ok
		}},
		{"guest", func(t *testing.T, c *exec.Cmd) bool {
			st, ok := guestOf(t, c.Process.Pid)
			if ok {
				require.NoError(t, st.Reset(t.Context()))
			}
			return ok
		}},
	}
	hit := map[string]int{}
	ended := 0
	for i := range n {
		kept := finished(t, killed.Results)
		if len(kept) == tinyRuns {
			ended++
			same(t, calm.Results, killed.Results)
			require.NoError(t, os.RemoveAll(killed.Results))
			kept = nil
		}
		cmd, out := killed.start(t)
		over := make(chan error, 1)
		go func() { over <- cmd.Wait() }()
		moment := time.Duration(moments.Float64() * float64(whole))
		kind := kinds[i%len(kinds)]
		select {
		case err := <-over:
			require.NoError(t, err, "%s", out)
		case <-time.After(moment):
			what := "nothing to kill"
			if kind.kill(t, cmd) {
				hit[kind.name]++
				what = "killed"
			}
			err := <-over
			t.Logf("%s: %s after %s, %d runs kept: %v", kind.name, what, progress.Round(moment), len(kept), err)
		}
		now := finished(t, killed.Results)
		for run, when := range kept {
			require.Equal(t, when, now[run], "%s was there before and is gone or was made again", run)
		}
	}
	t.Logf("%s", killed.finish(t))
	t.Logf("killed: %v; complete in between: %d times", hit, ended)
	require.NotEmpty(t, hit)
	same(t, calm.Results, killed.Results)
}

// The results of two shards that two processes measure side by side are those of one
// process that measures all.
func TestGuestShardsAreTheWhole(t *testing.T) {
	ring.Need(t, ring.Long, os.Getenv("ALPS_KILLS") != "", "run the target testKill")
	ready(t)
	dir, out := fig06(t), t.TempDir()
	at := func(name string) string { return filepath.Join(out, name) }
	whole := child{Dir: dir, Name: "fig06", Results: at("whole"), Guest: true}
	t.Logf("%s", whole.finish(t))
	var shards []string
	var waits []func()
	for _, shard := range []string{"1/2", "2/2"} {
		c := child{Dir: dir, Name: "fig06", Results: at(strings.Replace(shard, "/", "of", 1)), Shard: shard, Guest: true}
		shards = append(shards, c.Results)
		cmd, log := c.start(t)
		waits = append(waits, func() { require.NoError(t, cmd.Wait(), "%s", log) })
	}
	for _, wait := range waits {
		wait()
	}
	require.ErrorContains(t, plan.Merge(at("merged"), shards[:1], nil), "2 runs are missing", "a round is")
	require.NoError(t, plan.Merge(at("merged"), shards[1:], nil))
	same(t, whole.Results, at("merged"))
}

// ready makes the snapshot that all runs start from, if there is none.
func ready(t *testing.T) *guest.Guest {
	ring.Need(t, ring.Guest, os.Getenv("ALPS_KERNEL") != "", "run the target test:guest, which sets ALPS_KERNEL")
	root, err := tree.Root()
	require.NoError(t, err)
	p, err := guest.Prepare(t.Context(), guest.Options{Root: root, Kernel: os.Getenv("ALPS_KERNEL_NAME"), Src: os.Getenv("ALPS_KERNEL_SRC"), Progress: progress.New(os.Stderr)})
	require.NoError(t, err)
	p, err = p.InVirtualTime(t.Context())
	require.NoError(t, err)
	p.CPUs = vm.DefaultCPUs(vm.VTime) // as the processes that run experiments have
	begun := time.Now()
	rig, err := p.Acquire(t.Context(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { rig.Close() })
	t.Logf("ready after %s", progress.Round(time.Since(begun)))
	return rig
}

// tinyRuns are two schedulers in two rounds.
const tinyRuns = 4

// fig06 is a directory of experiments with that one, in short runs.
func fig06(t *testing.T) string {
	text, err := os.ReadFile("../fig06.yaml")
	require.NoError(t, err)
	return exptest.Dir(t, "fig06", string(text))
}

// same requires that all that was measured of fig06 is the same in two
// directories of results.
func same(t *testing.T, a, b string) {
	found, err := results.ReadPlan(a, results.EngineVM, "fig06")
	require.NoError(t, err)
	require.Len(t, found, tinyRuns)
	for _, x := range found {
		y, err := results.Read(results.Dir(b, results.EngineVM, x.Key))
		require.NoError(t, err)
		require.Equal(t, x.Result.Invocations, y.Invocations, x.Key)
		require.Equal(t, x.Result.Slices, y.Slices, x.Key)
	}
}

// guestOf is the guest that a process has started.
func guestOf(t *testing.T, owner int) (vm.State, bool) {
	list, err := vm.List()
	require.NoError(t, err)
	for _, st := range list {
		if st.Owner == owner {
			return st, true
		}
	}
	return vm.State{}, false // not yet, or not any more
}
