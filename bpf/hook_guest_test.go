package bpf_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/bpf"
)

// These tests run in a guest with the patched kernel: the test binary is
// copied there by experiments/runner's guest test. Elsewhere they skip, unless
// MUST_RUN names the ring.

// play makes this binary also the processes under test.
func TestMain(m *testing.M) {
	switch os.Getenv("ALPS_PLAY") {
	case "hog":
		pin()
		fmt.Println("pinned")
		for {
			burn(time.Second)
		}
	case "short":
		// A task of 50 ms every 150 ms: prints each one's turnaround in ns.
		pin()
		for {
			begun := time.Now()
			burn(shortCPU)
			fmt.Println(time.Since(begun).Nanoseconds())
			time.Sleep(100 * time.Millisecond)
		}
	case "once":
		pin()
		burn(shortCPU)
		os.Exit(0)
	case "parent":
		// A function's warm process: forks invocations, prints pid and rusage.
		for range 5 {
			c := exec.Command("/proc/self/exe")
			c.Env = append(os.Environ(), "ALPS_PLAY=once")
			if err := c.Run(); err != nil {
				panic(err)
			}
			ru := c.ProcessState.SysUsage().(*syscall.Rusage)
			fmt.Println(c.ProcessState.Pid(), ru.Utime.Nano()+ru.Stime.Nano(), ru.Nvcsw, ru.Nivcsw)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const shortCPU = 50 * time.Millisecond

// pin keeps the calling process on the last CPU.
func pin() {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(runtime.NumCPU() - 1)
	if n, err := strconv.Atoi(os.Getenv("ALPS_CPU")); err == nil {
		set.Zero()
		set.Set(n)
	}
	_ = unix.SchedSetaffinity(0, &set)
}

// burn uses d of this thread's CPU time.
func burn(d time.Duration) {
	now := func() int64 {
		var ts unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
		return ts.Nano()
	}
	x := 0
	for end := now() + int64(d); now() < end; {
		for i := range 20000 {
			x ^= i
		}
	}
	_ = x
}

func load(t *testing.T) *bpf.Backend {
	b, err := bpf.Load()
	if err != nil {
		if strings.Contains(os.Getenv("MUST_RUN"), "hook") {
			t.Fatal(err)
		}
		if errors.Is(err, bpf.ErrNoHooks) || os.Geteuid() != 0 {
			t.Skip(err)
		}
		t.Skipf("cannot load here: %v", err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// group makes a cgroup below one parent for the whole test.
type family struct {
	t    *testing.T
	root string
}

func newFamily(t *testing.T) family {
	const root = "/sys/fs/cgroup"
	_ = os.WriteFile(root+"/cgroup.subtree_control", []byte("+cpu"), 0o644)
	dir := filepath.Join(root, "alpstest"+strconv.Itoa(os.Getpid()))
	require.NoError(t, os.Mkdir(dir, 0o755))
	t.Cleanup(func() { os.Remove(dir) })
	require.NoError(t, os.WriteFile(dir+"/cgroup.subtree_control", []byte("+cpu"), 0o644))
	return family{t, dir}
}

func (f family) group(name string) (string, bpf.CgroupID) {
	dir := filepath.Join(f.root, name)
	require.NoError(f.t, os.Mkdir(dir, 0o755))
	f.t.Cleanup(func() {
		for range 50 {
			if os.Remove(dir) == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	id, err := bpf.CgroupOf(dir)
	require.NoError(f.t, err)
	return dir, id
}

// start runs this binary as part in the cgroup at dir.
func (f family) start(dir, part string) *bufio.Scanner {
	fd, err := os.Open(dir)
	require.NoError(f.t, err)
	defer fd.Close()
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), "ALPS_PLAY="+part, "GOMAXPROCS=1", "GOGC=off")
	c.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(fd.Fd()), Pdeathsig: syscall.SIGKILL}
	out, err := c.StdoutPipe()
	require.NoError(f.t, err)
	require.NoError(f.t, c.Start())
	f.t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	return bufio.NewScanner(out)
}

// hog starts a CPU-bound process and returns when it is where it stays.
func (f family) hog(dir string) {
	require.True(f.t, f.start(dir, "hog").Scan())
}

// turnarounds reads n of a short task's lines and returns their median.
func turnarounds(t *testing.T, sc *bufio.Scanner, n int) time.Duration {
	var all []int
	for len(all) < n && sc.Scan() {
		v, err := strconv.Atoi(sc.Text())
		require.NoError(t, err)
		all = append(all, v)
	}
	require.Len(t, all, n)
	slices.Sort(all)
	return time.Duration(all[n/2]).Round(time.Millisecond)
}

// usage is a cgroup's CPU time.
func usage(t *testing.T, dir string) time.Duration {
	data, err := os.ReadFile(dir + "/cpu.stat")
	require.NoError(t, err)
	var us int64
	_, err = fmt.Sscanf(string(data), "usage_usec %d", &us)
	require.NoError(t, err)
	return time.Duration(us) * time.Microsecond
}

// shares lets the hogs run for d and returns each one's part.
func shares(t *testing.T, dirs []string, d time.Duration) []float64 {
	before := make([]time.Duration, len(dirs))
	for i, dir := range dirs {
		before[i] = usage(t, dir)
	}
	time.Sleep(d)
	var total time.Duration
	used := make([]time.Duration, len(dirs))
	for i, dir := range dirs {
		used[i] = usage(t, dir) - before[i]
		total += used[i]
	}
	out := make([]float64, len(dirs))
	for i := range dirs {
		out[i] = float64(used[i]) / float64(total)
	}
	return out
}

func TestGuestHooksSteer(t *testing.T) {
	b := load(t)
	f := newFamily(t)
	var hogs []string
	policy := map[bpf.CgroupID]bpf.Entry{}
	for i := range 3 {
		dir, id := f.group("hog" + strconv.Itoa(i))
		f.hog(dir)
		hogs = append(hogs, dir)
		policy[id] = bpf.Entry{BiasUS: 2_000_000, SliceUS: 100_000}
	}
	shortDir, short := f.group("short")
	lines := f.start(shortDir, "short")
	policy[short] = bpf.Entry{BiasUS: 1_000, SliceUS: 200_000}

	turnarounds(t, lines, 2) // start-up
	cfs := turnarounds(t, lines, 7)
	require.NoError(t, b.AttachHooks())
	attachedEmpty := turnarounds(t, lines, 7)
	require.NoError(t, b.SetPolicy(policy))
	turnarounds(t, lines, 1)
	ranked := turnarounds(t, lines, 15)
	require.NoError(t, b.SetPolicy(nil))
	turnarounds(t, lines, 1)
	back := turnarounds(t, lines, 7)
	fair := shares(t, hogs, 2*time.Second)
	t.Logf("short task of %s: CFS %s, attached without entries %s, preferred %s, entries gone %s; hogs' shares then %.2f",
		shortCPU, cfs, attachedEmpty, ranked, back, fair)

	// Four busy groups share one CPU; a preferred one waits for at most a slice.
	require.Greater(t, cfs, 5*shortCPU/2)
	require.Greater(t, attachedEmpty, 5*shortCPU/2)
	// A running hog may finish its 100 ms.
	require.Less(t, ranked, shortCPU+120*time.Millisecond)
	require.Less(t, ranked, cfs*8/10)
	require.Greater(t, back, 5*shortCPU/2)
	for _, s := range fair {
		require.InDelta(t, 1.0/3, s, 0.05)
	}
}

func TestGuestHeartbeatEndsThePolicy(t *testing.T) {
	b := load(t)
	f := newFamily(t)
	favoured, a := f.group("a")
	other, o := f.group("b")
	f.hog(favoured)
	f.hog(other)
	require.NoError(t, b.AttachHooks())
	require.NoError(t, b.SetPolicy(map[bpf.CgroupID]bpf.Entry{
		a: {BiasUS: 1, SliceUS: 500_000}, o: {BiasUS: 1_000_000_000, SliceUS: 4_000}}))
	require.NoError(t, b.KeepAlive(3*time.Second))
	time.Sleep(300 * time.Millisecond)
	preferred := shares(t, []string{favoured, other}, 1500*time.Millisecond)
	time.Sleep(2 * time.Second) // nobody renews it
	silent := shares(t, []string{favoured, other}, 2*time.Second)
	t.Logf("share of the favoured group: %.2f, after the daemon fell silent %.2f", preferred[0], silent[0])
	// The waiting group's runtime threads, which are not pinned, use a little.
	require.Greater(t, preferred[0], 0.75)
	require.InDelta(t, 0.5, silent[0], 0.07)
}

func TestGuestObserver(t *testing.T) {
	b := load(t)
	f := newFamily(t)
	dir, id := f.group("function")
	require.NoError(t, b.SetFunctions([]bpf.CgroupID{id}))
	require.NoError(t, b.AttachObserver())
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var events []bpf.Event
	done := make(chan error, 1)
	go func() {
		done <- b.Events(ctx, func(e bpf.Event) {
			mu.Lock()
			defer mu.Unlock()
			// Go's runtime forks once to see whether pidfds work.
			if e.Exec != 0 {
				events = append(events, e)
			}
		})
	}()
	type line struct{ pid, cpu, vol, invol int64 }
	want := map[uint32]line{}
	sc := f.start(dir, "parent")
	for sc.Scan() {
		var l line
		_, err := fmt.Sscan(sc.Text(), &l.pid, &l.cpu, &l.vol, &l.invol)
		require.NoError(t, err)
		want[uint32(l.pid)] = l
	}
	require.Len(t, want, 5)
	require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(events) >= 5 }, 10*time.Second, 10*time.Millisecond)
	time.Sleep(200 * time.Millisecond)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	require.Len(t, events, 5, "one event per invocation, none for the warm process")
	for _, e := range events {
		w, ok := want[e.PID]
		require.True(t, ok, "unknown pid %d", e.PID)
		require.Equal(t, id, e.Cgroup)
		require.Equal(t, e.PID, e.NSPID)
		require.InDelta(t, float64(w.cpu), float64(e.CPU.Nanoseconds()), 0.1*float64(w.cpu)+4e6)
		require.True(t, e.Arrive <= e.Start && e.Start <= e.Exec && e.Exec < e.End, "%+v", e)
		require.GreaterOrEqual(t, time.Duration(e.End-e.Arrive), shortCPU)
	}
	lost, err := b.Lost()
	require.NoError(t, err)
	require.Zero(t, lost)
}
