// SPDX-License-Identifier: Apache-2.0

package bpf_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/internal/cgrouptest"
	"github.com/ds2-lab/alps/internal/ring"
)

// ended says whether a process is no more than a zombie.
func ended(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, state, _ := strings.Cut(string(data[strings.LastIndexByte(string(data), ')'):]), " ")
	return strings.HasPrefix(state, "Z") || strings.HasPrefix(state, "X")
}

// A process that is killed waits for no rank, neither the first in the order nor
// in the middle nor the last, and for no long slice: it is gone within ticks. In
// the order it would wait for a quarter of an hour.
func TestGuestWhoMustEndWaitsForNoRank(t *testing.T) {
	b := load(t, bpf.Options{})
	p := cgrouptest.NewParent(t)
	write := func(path, what string) { require.NoError(t, os.WriteFile(path, []byte(what), 0o644)) }
	write("/sys/fs/cgroup/cgroup.subtree_control", "+memory")
	write(p.Dir+"/cgroup.subtree_control", "+memory")
	kill := func(v cgrouptest.Process) { require.NoError(t, syscall.Kill(v.PID, syscall.SIGKILL)) }
	ways := []struct {
		name string
		end  func(dir string, v cgrouptest.Process)
	}{
		{"killed", func(_ string, v cgrouptest.Process) { kill(v) }},
		{"killed as a cgroup", func(dir string, _ cgrouptest.Process) { write(dir+"/cgroup.kill", "1") }},
		{"killed while frozen", func(dir string, v cgrouptest.Process) {
			write(dir+"/cgroup.freeze", "1")
			time.Sleep(100 * time.Millisecond)
			kill(v)
		}},
		{"out of memory", func(dir string, _ cgrouptest.Process) { write(dir+"/memory.max", fmt.Sprint(cgrouptest.Gluttony/4)) }},
	}
	first, last := p.Group("first"), p.Group("last")
	p.Hog(first)
	p.Hog(last)
	policy := map[string]bpf.Entry{first: {BiasUS: 1000, SliceUS: 5_000_000}, last: {BiasUS: 2_000_000_000, SliceUS: 5_000_000}}
	var dirs []string
	var victims []cgrouptest.Process
	for i := range ways {
		dir := p.Group(fmt.Sprint("victim", i))
		v := p.Start(dir, "glutton")
		require.True(t, v.Scan())
		if ways[i].name == "killed as a cgroup" { // an even number of processes, within a tick
			require.True(t, p.Start(dir, "glutton").Scan())
		}
		dirs, victims = append(dirs, dir), append(victims, v)
		policy[dir] = bpf.Entry{BiasUS: 1_000_000_000, SliceUS: 5_000_000}
	}
	require.NoError(t, b.AttachObserver())
	require.NoError(t, b.AttachHooks())
	rule(t, b, policy)
	for i, way := range ways {
		others := []string{first, last}
		goesFirst(t, append(others, dirs[i:]...))
		begun := time.Now()
		way.end(dirs[i], victims[i])
		require.Eventually(t, func() bool { return ended(victims[i].PID) }, 20*time.Second, 5*time.Millisecond, way.name)
		took := time.Since(begun)
		t.Logf("%s: gone after %s", way.name, took.Round(time.Millisecond))
		require.Less(t, took, time.Second, way.name)
	}
	// What ended is forgotten, and the order holds again.
	goesFirst(t, []string{first, last})
	s, err := b.Sweep()
	require.NoError(t, err)
	for _, u := range s.Usage {
		if u.Map == bpf.MapEnding {
			require.Zero(t, u.Used)
		}
	}
}

// Docker's own ways to end a container take as long as without an order: the
// grace it gives, and what it does itself.
func TestGuestContainersThatMustEndWaitForNoRank(t *testing.T) {
	ring.Need(t, ring.Docker, ring.Must(ring.Docker), "runs in the guest of the target test:guest, with its Docker")
	b := load(t, bpf.Options{})
	docker := func(args ...string) string {
		out, err := exec.Command("docker", args...).CombinedOutput()
		require.NoError(t, err, "docker %s: %s", strings.Join(args, " "), out)
		return strings.TrimSpace(string(out))
	}
	require.Eventually(t, func() bool { return exec.Command("docker", "info").Run() == nil }, time.Minute, 200*time.Millisecond)
	hog := func() (id, dir string) {
		id = docker("run", "-d", "--network=none", "--cgroup-parent=alps.slice", fmt.Sprint("--cpuset-cpus=", runtime.NumCPU()-1),
			"lambda", "python3", "-c", "while True: pass")
		t.Cleanup(func() { _ = exec.Command("docker", "rm", "-f", id).Run() })
		return id, "/sys/fs/cgroup/alps.slice/docker-" + id + ".scope"
	}
	const grace = 2 * time.Second
	_, first := hog()
	policy, dirs := map[string]bpf.Entry{first: {BiasUS: 1000, SliceUS: 5_000_000}}, []string{first}
	ways := [][]string{{"stop", "-t", fmt.Sprint(grace.Seconds())}, {"kill"}, {"rm", "-f"}}
	var victims []string
	for range ways {
		id, dir := hog()
		victims, dirs = append(victims, id), append(dirs, dir)
		policy[dir] = bpf.Entry{BiasUS: 1_000_000_000, SliceUS: 5_000_000}
	}
	require.NoError(t, b.AttachObserver())
	require.NoError(t, b.AttachHooks())
	rule(t, b, policy)
	for i, way := range ways {
		goesFirst(t, append(dirs[:1:1], dirs[1+i:]...))
		begun := time.Now()
		docker(append(way, victims[i])...)
		took := time.Since(begun)
		t.Logf("docker %s: %s", strings.Join(way, " "), took.Round(time.Millisecond))
		require.Less(t, took, grace+4*time.Second, way)
	}
}

// goesFirst waits until the first of these cgroups has the CPU: who had it when the
// policy came, or when another ended, keeps it for his slice of 5 s.
func goesFirst(t *testing.T, dirs []string) {
	t.Helper()
	var shares []float64
	for begun := time.Now(); time.Since(begun) < 10*time.Second; {
		if shares = cgrouptest.Shares(t, dirs, 500*time.Millisecond); shares[0] > 0.9 {
			return
		}
	}
	require.Fail(t, "the order has no effect", "parts of the CPU time: %.3f", shares)
}
