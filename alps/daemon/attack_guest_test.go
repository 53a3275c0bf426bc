// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/internal/cgrouptest"
	"github.com/ds2-lab/alps/internal/ring"
)

// shell runs a script in the cgroup at dir.
func shell(t *testing.T, dir, script string) *exec.Cmd {
	fd, err := os.Open(dir)
	require.NoError(t, err)
	defer fd.Close()
	c := exec.Command("/bin/sh", "-c", script)
	c.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(fd.Fd()), Pdeathsig: syscall.SIGKILL}
	require.NoError(t, c.Start())
	return c
}

// Under steady, functions that want to hurt the others do not: a fork bomb, five
// hundred functions with one invocation each, and policies that are switched all
// the while. Nobody waits beyond the bound of docs/kernel.md, and the daemon goes on.
func TestGuestSteadyUnderAttack(t *testing.T) {
	ring.Need(t, ring.Hook, ring.Must(ring.Hook), "runs in the guest of the target test:guest")
	// A bomb keeps every CPU busy, and an emulated CPU that is busy costs the host's time.
	ring.Need(t, ring.Long, runtime.NumCPU() == 1 || ring.Must(ring.Long), "takes minutes with several CPUs: the target test:weekly")
	const (
		tick  = 4 * time.Millisecond
		tasks = 100
	)
	p := cgrouptest.NewParent(t)
	for _, dir := range []string{"/sys/fs/cgroup", p.Dir} {
		require.NoError(t, os.WriteFile(dir+"/cgroup.subtree_control", []byte("+pids"), 0o644))
	}
	bomb, victim, warm := p.Group("bomb"), p.Group("victim"), p.Group("warm")
	require.NoError(t, os.WriteFile(bomb+"/pids.max", []byte(fmt.Sprint(tasks)), 0o644))
	daemon, api := startDaemonProcess(t)
	params := policy.DefaultSteady()
	params.Period, params.Octave = 500*time.Millisecond, 100*time.Millisecond
	steady := client.Mode{Policy: "steady", Steady: &params}
	require.NoError(t, api.SetMode(t.Context(), steady))
	register := func(dir string) error {
		return api.Register(t.Context(), client.Function{UID: filepath.Base(dir), Cgroup: dir})
	}
	for _, dir := range []string{bomb, victim, warm} {
		require.NoError(t, register(dir))
	}
	waits := p.Start(victim, "gaps")
	require.True(t, waits.Scan())
	parent := p.Start(warm, "parent")
	parent.Invoke(t, 3)

	// The bomb: a function with as many invocations as it can have, none of which ends.
	shell(t, bomb, "while :; do (while :; do :; done) & done")
	t.Cleanup(func() { _ = os.WriteFile(bomb+"/cgroup.kill", []byte("1"), 0o644) })
	time.Sleep(time.Second)
	waits.Longest(t)
	begun := time.Now()
	parent.Invoke(t, 2)
	invocation := time.Since(begun) / 2
	time.Sleep(2 * time.Second)
	longest := waits.Longest(t)
	// The victim has no invocations: its index is the pool's, of 50 ms at most here.
	wait := time.Duration(float64(params.Octave) * math.Log2(50))
	bound := wait + 2*(params.GroupSlice+tick)
	bound += time.Duration(math.Ceil(float64(bound)/float64(params.GuardEvery))) * (params.GuardSlice + tick)
	t.Logf("beside a fork bomb of %d tasks an invocation takes %s, and a busy function waits %s at most; bound %s", tasks, invocation, longest, bound)
	require.Less(t, longest, bound)
	// Its processes hand over to each other all the time, and each time the function
	// waits for the slices of the others: some tens of milliseconds.
	require.Less(t, invocation, 10*time.Second)

	// Policies change all the while, and functions come and go.
	functions := 500
	if runtime.NumCPU() > 1 {
		functions = 50 // each second takes four times as long there
	}
	modes := []client.Mode{steady, {Policy: "alps"}, {Policy: "sfs"}, {Policy: "cfs"}, {Policy: "steady"}}
	begun = time.Now()
	for i := range functions {
		dir := filepath.Join(p.Dir, fmt.Sprint("one", i))
		require.NoError(t, os.Mkdir(dir, 0o755))
		require.NoError(t, register(dir))
		require.NoError(t, shell(t, dir, "(:); :").Wait())
		if n := functions / 10; i%n == n-1 {
			require.NoError(t, api.SetMode(t.Context(), modes[i/n%len(modes)]))
		}
		if i%2 == 0 { // the others stay
			assert.Eventually(t, func() bool { return os.Remove(dir) == nil }, 10*time.Second, 10*time.Millisecond)
		} else {
			t.Cleanup(func() { _ = os.Remove(dir) })
		}
	}
	require.NoError(t, api.SetMode(t.Context(), steady))
	s, err := api.Status(t.Context())
	require.NoError(t, err)
	t.Logf("%d functions with one invocation each in %s; then there are %d functions, lost %+v", functions, time.Since(begun).Round(time.Millisecond), len(s.Functions), s.Lost)
	require.GreaterOrEqual(t, len(s.Functions), functions/2)
	require.Zero(t, s.Lost.Invocations)
	require.Empty(t, s.LastError)
	waits.Longest(t)
	time.Sleep(2 * time.Second)
	longest = waits.Longest(t)
	t.Logf("after that a busy function waits %s at most", longest)
	require.Less(t, longest, bound)

	// The daemon dies under the bomb: two periods later all is as fair as CFS is.
	require.NoError(t, daemon.Process.Kill())
	daemon.Wait()
	time.Sleep(2*params.Period + 200*time.Millisecond)
	waits.Longest(t)
	time.Sleep(time.Second)
	longest = waits.Longest(t)
	t.Logf("without a daemon it waits %s at most", longest)
	require.Less(t, longest, 100*time.Millisecond)
}
