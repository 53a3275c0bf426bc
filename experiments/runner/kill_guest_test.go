package runner

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/vm"
)

// Killed at random moments, the host's process, QEMU and the guest in turn, an
// experiment in virtual time ends with the same invocations, to the nanosecond,
// as one that nobody disturbed. It takes half a minute per kill: the target
// testKill says how many.
func TestGuestKilledRunGoesOn(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("ALPS_KILLS"))
	if n == 0 {
		t.Skip("takes long: run the target testKill")
	}
	fig06, err := os.ReadFile("../fig06.yaml")
	require.NoError(t, err)
	dir := experimentsDir(t, "fig06", string(fig06))
	calm := child{Dir: dir, Name: "fig06", Results: filepath.Join(t.TempDir(), "results"), Guest: true}
	t.Logf("%s", calm.finish(t)) // builds and calibrates what is missing
	require.NoError(t, os.RemoveAll(calm.Results))
	begun := time.Now()
	t.Logf("%s", calm.finish(t))
	whole := time.Since(begun)

	killed := child{Dir: dir, Name: "fig06", Results: filepath.Join(t.TempDir(), "results"), Guest: true}
	moments := rand.New(rand.NewPCG(3, 4))
	kinds := []struct {
		name string
		kill func(*testing.T, *exec.Cmd)
	}{
		{"host process", func(t *testing.T, c *exec.Cmd) { require.NoError(t, syscall.Kill(-c.Process.Pid, syscall.SIGKILL)) }},
		{"QEMU", func(t *testing.T, c *exec.Cmd) {
			if st, ok := guestOf(t, c.Process.Pid); ok {
				require.NoError(t, syscall.Kill(st.PID, syscall.SIGKILL))
			}
		}},
		{"guest", func(t *testing.T, c *exec.Cmd) {
			if st, ok := guestOf(t, c.Process.Pid); ok {
				require.NoError(t, st.Reset(t.Context()))
			}
		}},
	}
	hit := map[string]int{}
	ended := 0
	for i := range n {
		kept := finished(t, killed.Results)
		if len(kept) == 6 {
			ended++
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
			kind.kill(t, cmd)
			hit[kind.name]++
			err := <-over
			t.Logf("%s killed after %s, %d runs kept: %v", kind.name, progress.Round(moment), len(kept), err)
		}
		now := finished(t, killed.Results)
		for run, when := range kept {
			require.Equal(t, when, now[run], "%s was there before and is gone or was made again", run)
		}
	}
	t.Logf("%s", killed.finish(t))
	t.Logf("killed: %v; complete in between: %d times", hit, ended)
	undisturbed, err := results.ReadPlan(calm.Results, results.EngineVM, "fig06")
	require.NoError(t, err)
	require.Len(t, undisturbed, 6)
	for _, a := range undisturbed {
		b, err := results.Read(results.Dir(killed.Results, results.EngineVM, a.Key))
		require.NoError(t, err)
		require.Equal(t, a.Result.Invocations, b.Invocations, a.Key)
		require.Equal(t, a.Result.Slices, b.Slices, a.Key)
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
