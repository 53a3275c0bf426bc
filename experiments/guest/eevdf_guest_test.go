// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/loadgen"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/measured"
	"github.com/ds2-lab/alps/internal/ring"
	"github.com/ds2-lab/alps/kernel"
	"github.com/ds2-lab/alps/vm"
)

// hasHooks says whether the guest's kernel was built with a patch series.
func hasHooks(t *testing.T, p Artifacts) bool {
	list, err := kernel.List(filepath.Join(p.opts.Root, "kernel"))
	require.NoError(t, err)
	k, err := kernel.Find(list, p.Kernel.Name)
	require.NoError(t, err)
	return k.Patches.V != ""
}

// Invocations on a kernel without hooks (test:guest -kernel=6.12, EEVDF) are observed
// like on any other; a mode that needs the hooks is refused, with the reason.
func TestGuestWithoutHooksIsObserved(t *testing.T) {
	p := guestArtifacts(t)
	ring.Need(t, ring.NoHooks, !hasHooks(t, p), "this kernel has hooks: run test:guest -kernel=6.12")
	p, err := p.InVirtualTime(t.Context())
	require.NoError(t, err)
	p.CPUs = 1
	ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Minute, errors.New("the guest froze or is far too slow"))
	defer cancel()
	rig, err := p.Boot(ctx, []string{"5002", "5020"})
	require.NoError(t, err)
	defer rig.Close()

	replayInGuest(ctx, t, rig, "cfs")

	status, err := rig.VM.Output(ctx, "alps status; alps mode -policy alps 2>&1; alps status | head -1")
	require.NoError(t, err)
	t.Logf("%s: %s", rig.Info.KernelRelease, status)
	require.Regexp(t, "EEVDF|no ALPS hooks", status)
}

// replayInGuest replays twelve invocations of two functions under a policy, on
// a CPU that cannot serve them at once, and twelve more when the policy has had
// the time to learn.
func replayInGuest(ctx context.Context, t *testing.T, rig *Guest, policy string) []results.Invocation {
	var reqs []loadgen.Request
	for i := range 24 {
		due := time.Duration(i)*10*time.Millisecond + time.Duration(i/12)*12*time.Second
		r := loadgen.Request{ID: i + 1, Function: "fib", UID: "3", Group: "G1", N: 1, Port: "5002", Rounds: 20, Due: due}
		if i%2 == 1 {
			r.Function, r.UID, r.Port = "floatOperation", "20", "5020"
		}
		r.Size = loadgen.Unit[r.Function]
		reqs = append(reqs, r)
	}
	var in, out bytes.Buffer
	require.NoError(t, loadgen.WriteTrace(&in, reqs))
	require.NoError(t, rig.VM.Run(ctx, vm.Cmd{Line: `alps-loadgen replay '{"policy":"` + policy + `"}'`, Stdin: &in, Stdout: &out}))
	head, body, _ := bytes.Cut(out.Bytes(), []byte("\n"))
	var o loadgen.Outcome
	require.NoError(t, json.Unmarshal(head, &o))
	require.Zero(t, o.Failed, "%v", o.Errors)
	require.Zero(t, o.Lost)
	require.Empty(t, o.Broken)
	inv, err := results.ReadCSV("out", bytes.NewReader(body))
	require.NoError(t, err)
	require.Len(t, inv, len(reqs))
	for _, i := range inv {
		require.Equal(t, results.OK, i.Status)
		require.Positive(t, i.CPUNS)
		require.True(t, i.SendNS <= i.ArriveNS && i.ArriveNS <= i.StartNS && i.StartNS <= i.EndNS, "%+v", i)
		require.LessOrEqual(t, i.CPUNS, i.EndNS-i.StartNS)
	}
	return inv
}

// The functions are scheduled from user space, under CFS's order and by ranks;
// a guest whose agent dies measures nothing more.
func TestGuestAgentDecides(t *testing.T) {
	p := guestArtifacts(t)
	config, err := os.ReadFile(p.Kernel.Config)
	ring.Need(t, ring.SchedExt, err == nil && bytes.Contains(config, []byte("CONFIG_SCHED_CLASS_EXT=y")),
		"this kernel has no sched_ext: run test:guest -kernel=6.12")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Minute, errors.New("the guest froze or is far too slow"))
	defer cancel()
	p, err = p.InVirtualTime(t.Context())
	require.NoError(t, err)
	p.CPUs = 1
	p, err = p.Variant(ctx, Variant{Agent: true})
	require.NoError(t, err)
	rig, err := p.Boot(ctx, []string{"5002", "5020"})
	require.NoError(t, err)
	defer rig.Close()
	classes, err := rig.VM.Output(ctx, `for t in $(cat /sys/fs/cgroup/alps.slice/*/cgroup.threads); do cut -d' ' -f41 /proc/$t/stat; done | sort | uniq -c`)
	require.NoError(t, err)
	require.Regexp(t, `^ *[0-9]+ 7$`, classes, "every thread of the functions has the policy SCHED_EXT")
	switches := map[string]int{}
	for _, policy := range []string{"cfs", "alps"} {
		inv := replayInGuest(ctx, t, rig, policy)
		for _, i := range inv[len(inv)/2:] {
			n := int(i.SwitchesVol + i.SwitchesInvol)
			switches[policy] += n
			t.Logf("%s: %s waited %s, ran %s, %d switches", policy, i.Function, time.Duration(i.EndNS-i.StartNS-i.CPUNS), time.Duration(i.CPUNS), n)
		}
	}
	require.Less(t, 2*switches["alps"], switches["cfs"], "by ranks a function has its CPU for the slice that was learnt")
	state := "cat /sys/kernel/sched_ext/state; journalctl -u alps-ghost -o cat; dmesg | grep -E 'WARNING|BUG:|Oops|INFO: rcu' || true"
	busy, err := rig.VM.Output(ctx, state)
	require.NoError(t, err)
	require.Regexp(t, `^enabled\n`, busy)
	idle, err := rig.VM.Output(ctx, "systemctl stop alps-ghost; "+state)
	require.NoError(t, err)
	t.Log(idle)
	require.Regexp(t, `^disabled\n`, idle)
	require.Contains(t, idle, "bypassed=0")
	each := regexp.MustCompile(`cpu_each=(\S+)`).FindStringSubmatch(idle)
	require.NotNil(t, each, "the agent's last words")
	decision, err := time.ParseDuration(each[1])
	require.NoError(t, err)
	measured.PrintOf(t, rig.Info.KernelRelease, p.CPUs, "agent/decision", float64(decision), "instructions")
	require.NotRegexp(t, `WARNING|BUG|Oops|INFO: rcu`, idle)

	require.NoError(t, rig.startAgent(ctx))
	_ = rig.VM.Run(ctx, vm.Cmd{Line: "systemctl kill -s KILL alps-ghost; sleep 20"})
	_, err = rig.VM.Output(ctx, "true")
	require.Error(t, err, "the guest has ended")
}
