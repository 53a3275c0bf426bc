// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	alpsclient "github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/experiments/loadgen"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/internal/ring"
	"github.com/ds2-lab/alps/internal/tree"
	"github.com/ds2-lab/alps/kernel/peers"
	"github.com/ds2-lab/alps/vm"
)

// guestArtifacts are the artifacts with the kernel that the target test:guest has built.
// Tests that call it are of the ring guest.
func guestArtifacts(t *testing.T) Artifacts {
	ring.Need(t, ring.Guest, os.Getenv("ALPS_KERNEL") != "", "run the target test:guest, which sets ALPS_KERNEL")
	root, err := tree.Root()
	require.NoError(t, err)
	p, err := Prepare(t.Context(), Options{Root: root, Kernel: os.Getenv("ALPS_KERNEL_NAME"), Src: os.Getenv("ALPS_KERNEL_SRC"), Progress: progress.New(os.Stderr)})
	require.NoError(t, err)
	return p
}

// In the guest the test binary of package bpf tests hooks, observer and heartbeat, and
// that of package daemon tests death and restart of the daemon: in virtual time where
// there is no KVM, so that a busy host changes nothing, with one CPU and with several,
// between which the kernel balances. Each package has a guest of its own for each number of CPUs; they run side by side.
func TestGuestHooks(t *testing.T) {
	t.Parallel()
	p := guestArtifacts(t)
	ring.Need(t, ring.Hooks, hasHooks(t, p), "this kernel has no hooks: TestGuestObserver")
	binaries := testBinaries(t, p, "alps/daemon", "bpf")
	for _, cpus := range []int{4, 1} { // the longer ones first
		for _, b := range binaries {
			t.Run(fmt.Sprintf("%d CPUs, %s", cpus, path.Base(b.pkg)), func(t *testing.T) {
				t.Parallel()
				runInside(t, p, cpus, "hook,trace,docker", b)
			})
		}
	}
}

// The observer is the same on a kernel without hooks.
func TestGuestObserver(t *testing.T) {
	p := guestArtifacts(t)
	ring.Need(t, ring.NoHooks, !hasHooks(t, p), "this kernel has hooks: TestGuestHooks")
	runInside(t, p, 2, "trace", testBinaries(t, p, "bpf", "alps/cost")...)
}

// The schedulers that a kernel without hooks can load, and what they cost beside those
// of others.
func TestGuestSchedExt(t *testing.T) {
	p := guestArtifacts(t)
	ring.Need(t, ring.NoHooks, !hasHooks(t, p), "this kernel has hooks: TestGuestHooks")
	if p.Kernel.Name == peers.Kernel {
		p.Tools = peersDisk(t)
	}
	runInside(t, p, 2, "schedext", testBinaries(t, p, "bpf/ghost", "bpf/scx", "alps/cost", "alps/daemon")...)
}

// The attack on steady with four CPUs.
func TestGuestSteadyUnderAttackWith4CPUs(t *testing.T) {
	p := guestArtifacts(t)
	ring.Need(t, ring.Long, ring.Must(ring.Long), "takes minutes: the target test:weekly")
	t.Setenv("ALPS_GUEST_TESTS", "TestGuestSteadyUnderAttack")
	runInside(t, p, 4, "hook,trace,docker,long", testBinaries(t, p, "alps/daemon")...)
}

// runInside runs test binaries in a guest, where these rings must run.
func runInside(t *testing.T, p Artifacts, cpus int, rings string, binaries ...testBinary) {
	p, err := p.InVirtualTime(t.Context())
	require.NoError(t, err)
	cfg := p.VMConfig()
	cfg.CPUs = cpus
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Minute, errors.New("the guest froze or is far too slow"))
	defer cancel()
	m, err := vm.Start(ctx, cfg)
	require.NoError(t, err)
	defer m.Close()
	for _, b := range binaries {
		require.NoError(t, m.Run(ctx, vm.Cmd{Line: "cat > /tmp/test && chmod +x /tmp/test", Stdin: bytes.NewReader(b.text)}))
		var log bytes.Buffer
		out := io.MultiWriter(&log, &labelled{fmt.Sprintf("%d CPUs, %s: ", cpus, path.Base(b.pkg)), os.Stdout, nil}) // a test that hangs shows where
		err = m.Run(ctx, vm.Cmd{Line: "MUST_RUN=" + rings + " /tmp/test -test.v -test.run '" + guestTests() + "' -test.timeout 20m", Stdout: out, Stderr: out})
		require.NoError(t, err, "%d CPUs, %s, the tests that failed:\n%s", cpus, b.pkg, failed(log.String()))
		require.Contains(t, log.String(), "--- PASS: TestGuest")
	}
	kernelLog, err := m.Output(ctx, "dmesg | grep -E 'WARNING|BUG:|Oops|INFO: rcu' | head || true")
	require.NoError(t, err)
	require.Empty(t, kernelLog)
}

// labelled writes lines with a label before each, so that those of guests side by side
// can be told apart. An unfinished last line is not written.
type labelled struct {
	label string
	w     io.Writer
	rest  []byte
}

func (l *labelled) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	var out []byte
	for line := range bytes.Lines(l.rest) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		out = append(append(out, l.label...), line...)
		l.rest = l.rest[len(line):]
	}
	_, err := l.w.Write(out)
	return len(p), err
}

func TestLinesAreLabelled(t *testing.T) {
	var b strings.Builder
	l := labelled{"4 CPUs: ", &b, nil}
	for _, s := range []string{"ab", "c\nd", "\n\ne"} {
		n, err := io.WriteString(&l, s)
		require.NoError(t, err)
		require.Len(t, s, n)
	}
	require.Equal(t, "4 CPUs: abc\n4 CPUs: d\n4 CPUs: \n", b.String())
}

// guestTests chooses among the tests in the guest; ALPS_GUEST_TESTS narrows it.
func guestTests() string {
	return cmp.Or(os.Getenv("ALPS_GUEST_TESTS"), "TestGuest")
}

// testBinary is a package's tests, built for the guest.
type testBinary struct {
	pkg  string // below the module's root
	text []byte
}

// testBinaries builds those of packages that have a test of guestTests. It is an error if none has.
func testBinaries(t *testing.T, p Artifacts, packages ...string) []testBinary {
	names, _, _ := strings.Cut(guestTests(), "/") // what follows chooses among subtests
	var found []testBinary
	for _, pkg := range packages {
		file := buildTests(t, p, pkg)
		list, err := exec.Command(file, "-test.list", names).Output()
		require.NoError(t, err, pkg)
		if len(list) == 0 {
			continue
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		found = append(found, testBinary{pkg, text})
	}
	require.NotEmpty(t, found, "no test of %s is called %s", strings.Join(packages, ", "), names)
	return found
}

// buildTests builds a package's tests for the guest, as a file.
func buildTests(t *testing.T, p Artifacts, pkg string) string {
	file := filepath.Join(t.TempDir(), path.Base(pkg)+".test")
	build := exec.Command("go", "test", "-c", "-ldflags=-s -w", "-o", file, "./"+pkg)
	build.Dir, build.Env = p.opts.Root, append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return file
}

// One invocation of every function through worker, container, observer and
// daemon; then ALPS learns and publishes; then CFS again.
func TestGuestRig(t *testing.T) {
	p := guestArtifacts(t)
	ring.Need(t, ring.Hooks, hasHooks(t, p), "this kernel has no hooks: TestGuestWithoutHooksIsObserved")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Minute, errors.New("the guest froze or is far too slow"))
	defer cancel()
	ports := []string{"5002", "5008", "5009", "5010", "5014", "5020"} // one of each function
	begun := time.Now()
	rig, err := p.Boot(ctx, ports)
	require.NoError(t, err)
	defer rig.Close()
	t.Logf("boot, daemon and %d containers: %s; guest %+v", len(ports), progress.Round(time.Since(begun)), rig.Info)

	hello, err := rig.VM.Output(ctx, `curl -s -X POST localhost:5002/run/fib -d '{"n":"20","id":"20","job":"fib"}'`)
	require.NoError(t, err)
	lines := strings.Split(hello, "\n")
	require.Equal(t, "6765", lines[0])
	require.Regexp(t, `^20 [0-9.]+ [0-9.]+ [0-9]+ 20 fib$`, lines[1])

	var reqs []loadgen.Request
	names := map[string]string{"5002": "fib", "5008": "graphBfs", "5009": "graphMst", "5010": "graphPagerank", "5014": "featureExtractor", "5020": "floatOperation"}
	uids := map[string]string{"5002": "3", "5008": "8", "5009": "9", "5010": "10", "5014": "14", "5020": "20"}
	for i := range 24 {
		port := ports[i%len(ports)]
		fn := names[port]
		reqs = append(reqs, loadgen.Request{ID: i + 1, Function: fn, UID: uids[port], Group: "G1", N: 1, Port: port, Size: loadgen.Unit[fn], Rounds: 20, Due: time.Duration(i) * 400 * time.Millisecond})
	}
	replay := func(mode alpsclient.Mode) (loadgen.Outcome, []results.Invocation) {
		var in, out bytes.Buffer
		require.NoError(t, loadgen.WriteTrace(&in, reqs))
		wire, err := json.Marshal(mode)
		require.NoError(t, err)
		require.NoError(t, rig.VM.Run(ctx, vm.Cmd{Line: "alps-loadgen replay '" + string(wire) + "'", Stdin: &in, Stdout: &out}))
		head, body, _ := bytes.Cut(out.Bytes(), []byte("\n"))
		var o loadgen.Outcome
		require.NoError(t, json.Unmarshal(head, &o))
		require.Empty(t, o.Broken, "%+v", mode)
		inv, err := results.ReadCSV("out", bytes.NewReader(body))
		require.NoError(t, err)
		return o, inv
	}
	o, inv := replay(alpsclient.Mode{Policy: "alps"})
	require.Zero(t, o.Failed, "%v", o.Errors)
	require.Zero(t, o.Lost)
	require.Len(t, inv, len(reqs))
	fib := time.Hour // CPU time of an invocation of fib
	for _, i := range inv {
		require.Equal(t, results.OK, i.Status)
		require.Positive(t, i.CPUNS)
		if i.Function == "fib" {
			fib = min(fib, time.Duration(i.CPUNS))
		}
		require.True(t, i.SendNS <= i.ArriveNS && i.ArriveNS <= i.StartNS && i.StartNS <= i.EndNS, "%+v", i)
	}
	policy, err := rig.VM.Output(ctx, "alps policy")
	require.NoError(t, err)
	t.Logf("policy after %s:\n%s", o.Took, policy)
	for _, uid := range uids {
		require.Regexp(t, `(?m)^ *`+uid+` `, policy, "function %s has no entry", uid)
	}
	_, _ = replay(alpsclient.Mode{Policy: "cfs"})
	policy, err = rig.VM.Output(ctx, "alps policy")
	require.NoError(t, err)
	require.Len(t, strings.Split(policy, "\n"), 1, "CFS again: the map must be empty:\n%s", policy)

	// Under FIFO the short invocation, which comes later, waits for the long one. Only
	// the function's server, the client and the worker take the CPU from the long one.
	// Afterwards no thread is real-time any more.
	long := int(2 * time.Second / (fib / time.Duration(reqs[0].Rounds)))
	for i, rounds := range []int{long, 20} {
		reqs[i].Function, reqs[i].UID, reqs[i].Port, reqs[i].Size = "fib", "3", "5002", loadgen.Unit["fib"]
		reqs[i].Rounds, reqs[i].Due = rounds, time.Duration(i)*200*time.Millisecond
	}
	reqs = reqs[:2]
	o, inv = replay(alpsclient.Mode{Policy: "fifo"})
	require.Zero(t, o.Failed, "%v", o.Errors)
	t.Logf("FIFO: %+v", inv)
	require.Less(t, inv[1].ArriveNS, inv[0].EndNS, "%d rounds are not long enough for the other to come meanwhile", long)
	require.Less(t, inv[0].EndNS, inv[1].EndNS)
	require.LessOrEqual(t, inv[0].SwitchesInvol, 10)
	left, err := rig.VM.Output(ctx, "ps -eLo cls,rtprio,ppid,args | grep -E '^ *(FF|RR)' | grep -vE '^ *[A-Z]+ +[0-9]+ +2 ' || true")
	require.NoError(t, err)
	require.Empty(t, left)

	again, err := rig.VM.Output(ctx, "ol functions delete && docker ps -aq")
	if err != nil {
		state, _ := rig.VM.Output(ctx, "tail -n 40 /run/ol/worker.out; docker ps -a; ps -eLo pid,ppid,cls,stat,wchan:24,args; "+
			"dmesg | tail -n 20; cat /proc/sys/kernel/sched_alps")
		t.Log(state)
	}
	require.NoError(t, err)
	require.Empty(t, again)
}
