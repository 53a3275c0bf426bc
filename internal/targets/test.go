// SPDX-License-Identifier: Apache-2.0

package targets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/internal/deps"
	"github.com/ds2-lab/alps/internal/ring"
	"github.com/ds2-lab/alps/internal/tree"
	"github.com/ds2-lab/alps/kernel"
	"github.com/ds2-lab/alps/kernel/peers"
)

// The rings of tests (package ring) and the targets that run them. With CI=true a
// target's rings run or fail. No target runs ring.Upstream: it needs a binary of
// OpenLambda's, which OL_UPSTREAM names.

// Aliases are other names of targets.
var Aliases = map[string]any{"test": Test.All, "testVM": Test.Guest}

// must is the environment in which tests of these rings fail rather than skip.
func must(rings ...ring.Ring) []string {
	var names []string
	for _, r := range rings {
		names = append(names, string(r))
	}
	return []string{ring.EnvMustRun + "=" + strings.Join(names, ",")}
}

// inCI is must where CI runs; elsewhere what is missing is skipped.
func inCI(rings ...ring.Ring) []string {
	if os.Getenv("CI") != "true" {
		return nil
	}
	return must(rings...)
}

// raceLimit is how long a package's tests may take under the race detector on a busy host.
const raceLimit = "-timeout=30m"

// goTest runs go test in the root, with env added to the environment.
func (h Host) goTest(ctx context.Context, env []string, args ...string) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"test"}, args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, h.Out, os.Stderr
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go test %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// packages lists the module's packages; those that keep says no to are left out.
func (h Host) packages(ctx context.Context, keep func(dir string) bool) ([]string, error) {
	root, err := tree.Root()
	if err != nil {
		return nil, err
	}
	out, err := command.Output(ctx, command.Cmd{Args: []string{"go", "list", "-f", "{{.Dir}}", "./..."}, Dir: root})
	if err != nil {
		return nil, err
	}
	var list []string
	for _, dir := range strings.Fields(string(out)) {
		rel, err := filepath.Rel(root, dir)
		if err != nil {
			return nil, err
		}
		if keep(rel) {
			list = append(list, "./"+rel)
		}
	}
	return list, nil
}

// ofFigures says which packages belong to test:figures.
func ofFigures(dir string) bool { return dir == "figures" || strings.HasPrefix(dir, "figures/") }

// beside is in the text of packages where something runs beside something else.
var beside = regexp.MustCompile(`(?m)^\s*go (func\b|[\w.]+\()|\bt\.Parallel\(|\bAfterFunc\(|"(sync|net/http|net/http/httptest|golang.org/x/sync/errgroup)"`)

// runsAlone reports whether a package, in a directory relative to root, starts no goroutine. The race detector
// finds nothing in it, and its tests take up to ten times as long with it.
func runsAlone(root, dir string) bool {
	files, err := fs.Glob(os.DirFS(filepath.Join(root, dir)), "*.go")
	return err == nil && !slices.ContainsFunc(files, func(name string) bool {
		text, err := os.ReadFile(filepath.Join(root, dir, name))
		return err != nil || beside.Match(text)
	})
}

// race runs go test in the root on packages, relative to it, with the race detector where anything runs beside anything.
func (h Host) race(ctx context.Context, env []string, packages []string) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	var alone, others []string
	for _, dir := range packages {
		if runsAlone(root, dir) {
			alone = append(alone, dir)
		} else {
			others = append(others, dir)
		}
	}
	return errors.Join(h.goTest(ctx, env, alone...), h.goTest(ctx, endsAtOnce(env), append([]string{"-race", raceLimit}, others...)...))
}

// endsAtOnce is env for programs with the race detector: without it each sleeps for a second before it ends, so that a
// race may still be caught then. Tests start hundreds of them.
func endsAtOnce(env []string) []string {
	return append(slices.Clone(env), "GORACE="+cmp.Or(os.Getenv("GORACE"), "atexit_sleep_ms=0"))
}

// All runs every test that needs no guest: unit, root and figures.
func (h Test) All(ctx context.Context) error {
	if err := h.Unit(ctx); err != nil {
		return err
	}
	switch {
	case os.Geteuid() == 0: // Unit has run the ring root
	case !sudoWorks(ctx) && os.Getenv("CI") != "true":
		h.Console.Printf("ring %s does not run: this is not root, and sudo asks for a password (sudo -v, then test:root)", ring.Root)
	default:
		if err := h.Root(ctx); err != nil {
			return err
		}
	}
	return h.Figures(ctx)
}

// Unit runs the tests that need neither root nor guest, with the race detector where anything runs beside anything.
func (h Test) Unit(ctx context.Context) error {
	if err := deps.Ensure(ctx, h.Console, deps.Race(), deps.BPF(), deps.Prebuilt(), deps.Functions(), deps.QEMU()); err != nil {
		return err
	}
	rings := []ring.Ring{ring.Python, ring.Clang, ring.QEMU, ring.Network}
	if _, err := os.Stat("/dev/kvm"); err == nil {
		rings = append(rings, ring.KVM)
	} else {
		h.Console.Printf("ring %s does not run: %v", ring.KVM, err)
	}
	if os.Geteuid() == 0 {
		rings = append(rings, ring.Root)
	}
	list, err := h.packages(ctx, func(dir string) bool { return !ofFigures(dir) })
	if err != nil {
		return err
	}
	return h.race(ctx, inCI(rings...), list)
}

// sudoWorks reports whether sudo runs commands without asking for a password.
func sudoWorks(ctx context.Context) bool {
	return command.Run(ctx, command.Cmd{Args: []string{"sudo", "-n", "true"}}) == nil
}

// Root runs the packages with tests that mount, set real-time policies or load BPF, as root; by sudo where this is another user.
func (h Test) Root(ctx context.Context) error {
	if err := deps.Ensure(ctx, h.Console, deps.Race(), deps.Functions()); err != nil {
		return err
	}
	root, err := tree.Root()
	if err != nil {
		return err
	}
	// Whole packages: a test of this ring is known by its call of ring.Need.
	list, err := h.packages(ctx, func(dir string) bool {
		files, err := fs.Glob(os.DirFS(filepath.Join(root, dir)), "*_test.go")
		return err == nil && slices.ContainsFunc(files, func(name string) bool {
			text, err := os.ReadFile(filepath.Join(root, dir, name))
			return err == nil && strings.Contains(string(text), "ring.Need(t, ring.Root,")
		})
	})
	if err != nil {
		return err
	}
	args := []string{"-race", raceLimit}
	if os.Geteuid() != 0 {
		if !sudoWorks(ctx) {
			return fmt.Errorf("ring %s does not run: this is not root, and sudo asks for a password: run sudo -v, then this again", ring.Root)
		}
		args = append(args, "-exec", "sudo -n -E env PATH="+os.Getenv("PATH"))
	}
	return h.goTest(ctx, endsAtOnce(must(ring.Root, ring.Python)), append(args, list...)...)
}

// Figures runs the tests of figures and report, also in a browser.
func (h Test) Figures(ctx context.Context) error {
	if err := deps.Ensure(ctx, h.Console, deps.Race(), deps.Browser()); err != nil {
		return err
	}
	list, err := h.packages(ctx, ofFigures)
	if err != nil {
		return err
	}
	return h.race(ctx, inCI(ring.Chromium), list)
}

// TestGuestFlags are the flags of test:guest.
type TestGuestFlags struct {
	Kernel string // in kernels.yaml
	Src    string // build it from this tree
	Run    string // only the tests that match, as go test -run takes it
	Inside string // of those that run inside a guest only these, such as TestGuestStarvationIsBounded
	Record bool   // put what they measure into docs/measured.tsv, if all pass
}

// Guest runs the tests in guests: boot, containers, hooks, orders.
func (h Test) Guest(ctx context.Context, f TestGuestFlags) error {
	o, err := h.rig(ctx, f.Kernel)
	if err != nil {
		return err
	}
	o.Src = f.Src
	p, err := guest.Prepare(ctx, o)
	if err != nil {
		return err
	}
	run := func(h Host) error {
		return h.testIn(ctx, p, o, nil, []string{"ALPS_GUEST_TESTS=" + f.Inside}, "-timeout=1h", "-run="+cmp.Or(f.Run, "Guest"), "./vm", "./experiments/guest", "./experiments/execute")
	}
	if f.Record {
		return h.record(ctx, p, o.Root, run)
	}
	return run(h.Host)
}

// guestTests builds the kernel and the disk, and runs tests that boot guests of them. The tests of the rings more
// must run, too.
func (h Host) guestTests(ctx context.Context, o guest.Options, more []ring.Ring, env []string, args ...string) error {
	p, err := guest.Prepare(ctx, o)
	if err != nil {
		return err
	}
	return h.testIn(ctx, p, o, more, env, args...)
}

// testIn is guestTests with a kernel and a disk that are there.
func (h Host) testIn(ctx context.Context, p guest.Artifacts, o guest.Options, more []ring.Ring, env []string, args ...string) error {
	// Inside the guest these tests ask for ring.Docker, ring.Hook, ring.Trace, ring.Window and ring.SMP.
	rings := append([]ring.Ring{ring.Guest}, more...)
	kernels, err := kernel.List(filepath.Join(o.Root, "kernel"))
	if err != nil {
		return err
	}
	k, err := kernel.Find(kernels, p.Kernel.Name)
	if err != nil {
		return err
	}
	if k.Patches.V != "" {
		rings = append(rings, ring.Hooks)
	} else {
		rings = append(rings, ring.NoHooks, ring.SchedExt)
	}
	if k.Name.V == peers.Kernel {
		rings = append(rings, ring.Peers)
	}
	env = append(env, must(rings...)...)
	env = append(env, "ALPS_KERNEL="+p.Kernel.BzImage, "ALPS_INITRD="+p.Kernel.Initrd, "ALPS_DISK="+p.Image.Path, "ALPS_KERNEL_NAME="+p.Kernel.Name, "ALPS_KERNEL_SRC="+o.Src)
	return h.goTest(ctx, env, append([]string{"-count=1", "-p=1", "-v"}, args...)...)
}

// longRing is for tests that take long: test:weekly, testKill and kernel:soak run them.
var longRing = []ring.Ring{ring.Long}

// TestWeeklyFlags are the flags of test:weekly.
type TestWeeklyFlags struct {
	Kills int    // 5 without it
	Src   string // of Linux 6.12, where the distribution has no package of it
}

// Weekly runs what takes long (ring.Long, but for kernel:soak): ten minutes of handlers made at random, a guest with 24 CPUs, an attack on steady with four CPUs, web frameworks in a guest, runs that are killed, runs in shards, guests with kernel 6.12.
func (h Test) Weekly(ctx context.Context, f TestWeeklyFlags) error {
	if err := h.goTest(ctx, nil, "-run=^$", "-fuzz=^FuzzHandlers$", "-fuzztime=10m", "./openlambda/sandbox"); err != nil {
		return err
	}
	o, err := h.rig(ctx, "")
	if err != nil {
		return err
	}
	if err := h.guestTests(ctx, o, longRing, nil, "-timeout=2h", "-run=^TestGuestVirtualTimeWith24CPUs$", "./vm"); err != nil {
		return err
	}
	if err := h.guestTests(ctx, o, longRing, nil, "-timeout=1h", "-run=^(TestGuestWorkerExamples|TestGuestSteadyUnderAttackWith4CPUs)$", "./experiments/guest"); err != nil {
		return err
	}
	if err := h.TestKill(ctx, TestKillFlags{Kills: cmp.Or(f.Kills, 5)}); err != nil {
		return err
	}
	return h.Guest(ctx, TestGuestFlags{Kernel: "6.12", Src: f.Src})
}

// TestKillFlags are the flags of testKill.
type TestKillFlags struct {
	Kills  int    // 20 without it
	Kernel string // in kernels.yaml
}

// TestKill kills an experiment in virtual time at random moments, about a minute each, and compares what comes of it.
func (h Host) TestKill(ctx context.Context, f TestKillFlags) error {
	o, err := h.rig(ctx, f.Kernel)
	if err != nil {
		return err
	}
	return h.guestTests(ctx, o, longRing, []string{fmt.Sprint("ALPS_KILLS=", cmp.Or(f.Kills, 20))}, "-timeout=3h", "-run=TestGuestKilled|TestGuestShards", "./experiments/execute")
}

// Bench runs the benchmarks, with allocations.
func (h Host) Bench(ctx context.Context) error {
	return h.goTest(ctx, nil, "-run=^$", "-bench=.", "-benchmem", "./...")
}
