// SPDX-License-Identifier: Apache-2.0

package scx_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/bpf/scx"
	"github.com/ds2-lab/alps/internal/cgrouptest"
	"github.com/ds2-lab/alps/internal/pagetest"
	"github.com/ds2-lab/alps/internal/ring"
)

// The tests named TestGuest… run in a guest whose kernel has sched_ext: the test
// binary is copied there by package guest's test. Everything that competes is
// bound to the last CPU (package cgrouptest).

func TestMain(m *testing.M) {
	cgrouptest.Main()
	if os.Getenv("ALPS_PLAY") == "scheduler" {
		playScheduler()
	}
	os.Exit(m.Run())
}

// load puts the scheduler in charge until the test ends.
func load(t *testing.T, o scx.Options) *scx.Scheduler {
	err := scx.Supported()
	ring.Need(t, ring.SchedExt, err == nil && os.Geteuid() == 0, "cannot load here: %v", err)
	s, err := scx.Load(o)
	require.NoError(t, err)
	t.Cleanup(func() {
		st, err := s.Stats()
		require.NoError(t, err)
		t.Logf("%s: %+v", s.API, st)
		require.NoError(t, s.Close())
		require.Equal(t, "disabled", state(t))
	})
	return s
}

func state(t *testing.T) string {
	data, err := os.ReadFile("/sys/kernel/sched_ext/state")
	require.NoError(t, err)
	return strings.TrimSpace(string(data))
}

func function(t *testing.T, dir string) bpf.Function {
	id, err := bpf.CgroupOf(dir)
	require.NoError(t, err)
	return bpf.Function{ID: id, UID: filepath.Base(dir), Cgroup: dir}
}

// rule makes the cgroups functions of a pool.
func rule(t *testing.T, s *scx.Scheduler, pool string, rules map[string]scx.Rule) {
	byID := map[bpf.CgroupID]scx.Rule{}
	var all []bpf.Function
	for dir, r := range rules {
		f := function(t, dir)
		all, byID[f.ID] = append(all, f), r
	}
	require.NoError(t, s.SetFunctions(all, []bpf.Function{function(t, pool)}))
	require.NoError(t, s.SetRules(byID, scx.Rule{Bias: time.Second, Slice: 10 * time.Millisecond}))
}

// always is a rule by which an invocation is always worth the same.
func always(index, quantum time.Duration) scx.Rule {
	var r scx.Rule
	for i := range scx.MaxSteps {
		from := time.Duration(i) * quantum
		r.Steps = append(r.Steps, scx.Step{From: from, Index: index, End: from + quantum})
	}
	r.Seen = time.Hour
	return r
}

func write(t *testing.T, dir, file, text string) {
	require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644))
}

// limits tells of cpu.max where the kernel does not.
func limits(t *testing.T, s *scx.Scheduler) {
	if s.NeedsLimits() {
		l, err := scx.ReadLimits("/sys/fs/cgroup")
		require.NoError(t, err)
		require.NoError(t, s.SetLimits(l))
	}
}

// part is the part of a CPU that a cgroup gets in d.
func part(t *testing.T, dir string, d time.Duration) float64 {
	before, begun := cgrouptest.Usage(t, dir), time.Now()
	time.Sleep(d)
	return float64(cgrouptest.Usage(t, dir)-before) / float64(time.Since(begun))
}

// What the scheduler promises, one after the other: loading takes its time.
func TestGuestScx(t *testing.T) {
	s := load(t, scx.Options{ServerAge: serverAge, ServerSleeps: serverSleeps})
	require.Equal(t, "enabled", state(t))
	_, err := scx.Load(scx.Options{})
	require.ErrorContains(t, err, "the sched_ext scheduler alps")
	for name, test := range map[string]func(*testing.T, *scx.Scheduler){
		"index": orders, "oldest": guards, "cpu.max": throttles, "weights": weighs, "other tasks": yields, "server": serves,
	} {
		t.Run(name, func(t *testing.T) {
			test(t, s)
			require.NoError(t, s.SetFunctions(nil, nil))
			end, ended := s.Ended()
			require.False(t, ended, "%v", end)
		})
	}
}

// A short invocation goes before long ones if its index is lower, and waits for
// them if it is higher: a second per octave, each time it has used 10 ms.
func orders(t *testing.T, s *scx.Scheduler) {
	p := cgrouptest.NewParent(t)
	long, short := p.Group("long"), p.Group("short")
	rule(t, s, p.Dir, map[string]scx.Rule{long: always(10*time.Second, 100*time.Millisecond), short: always(10*time.Millisecond, time.Second)})
	for range 3 {
		p.Start(long, "forked hog").Scan()
	}
	server := p.Start(short, "parent")
	took := func() time.Duration {
		server.Invoke(t, 1)
		begun := time.Now()
		server.Invoke(t, 2)
		return time.Since(begun) / 2
	}
	first := took()
	rule(t, s, p.Dir, map[string]scx.Rule{long: always(10*time.Millisecond, 100*time.Millisecond), short: always(20*time.Millisecond, time.Second)})
	time.Sleep(500 * time.Millisecond) // a long one is queued by its new index
	last := took()
	t.Logf("an invocation of %s beside three long ones: first %s, last %s", cgrouptest.ShortCPU, first, last)
	require.Less(t, first, last/2)
}

// grants are how many times the guard has to let the oldest invocation go first, in its test.
const grants = 6

// docs/sched_ext.md says the same as that test.
func TestPageSaysWhatTheGuardIsTestedWith(t *testing.T) {
	pagetest.Says(t, "docs/sched_ext.md", fmt.Sprintf("`TestGuestScx/oldest` holds %d ms of CPU time to it", grants*25))
}

// The oldest invocation gets 25 ms every 500 ms, however little it is worth, and
// also if its threads sleep at once when they get the CPU: one of B CPU time ends
// within the bound of docs/sched_ext.md.
func guards(t *testing.T, s *scx.Scheduler) {
	const (
		tick = 10 * time.Millisecond // at HZ 100, the longest there is
		look = 20 * time.Millisecond // between two looks at what it has used
	)
	for _, part := range []string{"forked hog", "forked restless"} {
		t.Run(part, func(t *testing.T) {
			p := cgrouptest.NewParent(t)
			old, rest := p.Group("old"), p.Group("rest")
			rule(t, s, p.Dir, map[string]scx.Rule{old: always(100*time.Second, time.Second), rest: always(time.Millisecond, 10*time.Second)})
			p.Start(old, part).Scan()
			for range 2 {
				p.Start(rest, "forked hog").Scan()
			}
			time.Sleep(time.Second)
			shares := cgrouptest.Shares(t, []string{old, rest}, 6*time.Second)
			t.Logf("the oldest has %.3f", shares[0])
			require.Less(t, shares[0], 0.12)

			const b = grants * 25 * time.Millisecond
			bound := grants*(500*time.Millisecond+tick) + 25*time.Millisecond + tick + look
			took := func() time.Duration {
				before, begun := cgrouptest.Usage(t, old), time.Now()
				for cgrouptest.Usage(t, old)-before < b && time.Since(begun) < 2*bound {
					time.Sleep(look)
				}
				return time.Since(begun)
			}
			// The fastest counts, because an emulated guest is stopped by its host now and then.
			took3 := []time.Duration{took(), took(), took()}
			t.Logf("%s of the oldest took %s: at most %s", b, took3, bound)
			require.Less(t, slices.Min(took3), bound)
		})
	}
}

// cpu.max holds for functions and others, also where an outer cgroup has less.
func throttles(t *testing.T, s *scx.Scheduler) {
	p := cgrouptest.NewParent(t)
	outer := p.Group("outer")
	inner := p.Group("outer/inner")
	write(t, inner, "cpu.max", "50000 100000")
	p.Hog(inner)
	limits(t, s)
	half := part(t, inner, 3*time.Second)
	write(t, outer, "cpu.max", "20000 100000")
	limits(t, s)
	time.Sleep(200 * time.Millisecond)
	nested := part(t, inner, 3*time.Second)
	rule(t, s, p.Dir, map[string]scx.Rule{inner: always(time.Millisecond, 10*time.Second)})
	time.Sleep(200 * time.Millisecond)
	asFunction := part(t, inner, 3*time.Second)
	write(t, outer, "cpu.max", "max")
	write(t, inner, "cpu.max", "max")
	limits(t, s)
	time.Sleep(200 * time.Millisecond)
	free := part(t, inner, 2*time.Second)
	t.Logf("cpu.max 50 %%: %.3f; 20 %% around it: %.3f; as a function: %.3f; lifted: %.3f", half, nested, asFunction, free)
	require.InDelta(t, 0.5, half, 0.07)
	require.InDelta(t, 0.2, nested, 0.05)
	require.InDelta(t, 0.2, asFunction, 0.05)
	require.Greater(t, free, 0.7)
}

// Weights share the CPU among other tasks, and between them and all functions.
func weighs(t *testing.T, s *scx.Scheduler) {
	p := cgrouptest.NewParent(t)
	pool, light, heavy := p.Group("pool"), p.Group("light"), p.Group("heavy")
	write(t, heavy, "cpu.weight", "300")
	p.Hog(light)
	p.Hog(heavy)
	others := cgrouptest.Shares(t, []string{light, heavy}, 3*time.Second)
	function := p.Group("pool/function")
	rule(t, s, pool, map[string]scx.Rule{function: always(time.Millisecond, 10*time.Second)})
	for range 3 {
		p.Start(function, "forked hog").Scan()
	}
	all := cgrouptest.Shares(t, []string{light, heavy, pool}, 5*time.Second)
	t.Logf("light and heavy: %.3f; with functions: %.3f", others, all)
	require.InDelta(t, 0.25, others[0], 0.06)
	for i, want := range []float64{0.2, 0.6, 0.2} {
		require.InDelta(t, want, all[i], 0.06)
	}
}

// Another task that wakes up does not wait for the end of a function's slice.
func yields(t *testing.T, s *scx.Scheduler) {
	p := cgrouptest.NewParent(t)
	pool, other := p.Group("pool"), p.Group("other")
	function := p.Group("pool/function")
	rule(t, s, pool, map[string]scx.Rule{function: always(time.Millisecond, 10*time.Second)})
	p.Start(function, "forked hog").Scan()
	short := p.Start(other, "short")
	short.Turnaround(t, 2)
	took := short.Turnaround(t, 7)
	t.Logf("another task of %s beside a function: %s", cgrouptest.ShortCPU, took)
	require.Less(t, took, 3*cgrouptest.ShortCPU)
}

// Whoever has waited for Rescue runs for a tick, however little its invocation is worth and
// however many such tasks there are: within the bound of docs/sched_ext.md.
func TestGuestScxLetsNobodyWait(t *testing.T) {
	const (
		rescue = time.Second
		waits  = 10 // more than one look lets run
		looks  = 500*time.Millisecond + 100*time.Millisecond
		ticks  = waits * 10 * time.Millisecond // at HZ 100, the longest there are
	)
	s := load(t, scx.Options{Rescue: rescue, GuardWait: time.Hour})
	p := cgrouptest.NewParent(t)
	first := p.Group("first")
	alike := map[string]scx.Rule{first: always(time.Millisecond, 10*time.Second)}
	var last []string
	for i := range waits {
		last = append(last, p.Group(fmt.Sprintf("last%d", i)))
		alike[last[i]] = alike[first]
	}
	rule(t, s, p.Dir, alike)
	for dir := range alike {
		p.Start(dir, "forked hog").Scan()
	}
	ranked := map[string]scx.Rule{first: alike[first]}
	for _, dir := range last {
		ranked[dir] = always(100*time.Second, time.Second)
	}
	rule(t, s, p.Dir, ranked)
	usage := func() (used []time.Duration) {
		for _, dir := range append([]string{first}, last...) {
			used = append(used, cgrouptest.Usage(t, dir))
		}
		return used
	}
	time.Sleep(rescue + looks)
	for range 3 {
		before := usage()
		time.Sleep(rescue + looks + ticks)
		for i, after := range usage() {
			require.Greater(t, after, before[i], "function %d had no CPU for %s", i, rescue+looks+ticks)
		}
	}
	all := cgrouptest.Shares(t, append([]string{first}, last...), 3*time.Second)
	t.Logf("the first has %.3f, the others %.3f", all[0], all[1:])
	require.Greater(t, all[0], 0.8, "they run for a tick, no longer")
}

// A scheduler whose daemon is silent ends, and says so; one whose process is
// killed, too; and the watchdog ends one that lets a task starve.
func TestGuestScxEnds(t *testing.T) {
	s := load(t, scx.Options{Watchdog: 2 * time.Second, Rescue: time.Hour, GuardWait: time.Hour})
	p := cgrouptest.NewParent(t)
	old, rest := p.Group("old"), p.Group("rest")
	rule(t, s, p.Dir, map[string]scx.Rule{old: always(100*time.Second, time.Second), rest: always(time.Millisecond, 10*time.Second)})
	for _, dir := range []string{rest, old} {
		p.Start(dir, "forked hog")
	}
	end := ends(t, s)
	require.Equal(t, "runnable task stall", end.Reason)
	require.Contains(t, end.Message, "failed to run for")
	require.False(t, end.ByUser)

	s = load(t, scx.Options{})
	require.NoError(t, s.KeepAlive(300*time.Millisecond))
	end = ends(t, s)
	require.Contains(t, end.Error(), "silent for too long")

	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), "ALPS_PLAY=scheduler")
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	buf := make([]byte, 100)
	n, err := out.Read(buf)
	require.NoError(t, err)
	require.Equal(t, "<nil>\n", string(buf[:n]))
	require.Equal(t, "enabled", state(t))
	require.NoError(t, c.Process.Kill())
	_ = c.Wait()
	require.Eventually(t, func() bool { return state(t) == "disabled" }, 10*time.Second, 50*time.Millisecond, strconv.Itoa(c.Process.Pid))
}

// ends waits until the kernel has ended the scheduler.
func ends(t *testing.T, s *scx.Scheduler) (end scx.End) {
	require.Eventually(t, func() bool {
		var ended bool
		end, ended = s.Ended()
		return ended
	}, 30*time.Second, 50*time.Millisecond)
	require.Equal(t, "disabled", state(t))
	return end
}
