// SPDX-License-Identifier: Apache-2.0

package cost

import (
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/bpf/scx"
	"github.com/ds2-lab/alps/internal/measured"
	"github.com/ds2-lab/alps/internal/ring"
)

// What a context switch between two cgroups costs under the kernel's own scheduler,
// under ALPS by sched_ext, for functions and for others, and under other sched_ext
// schedulers that the guest has. In a guest in virtual time a nanosecond is an
// instruction; docs/sched_ext.md has the numbers.
func TestGuestSchedExtCost(t *testing.T) {
	ring.Need(t, ring.SchedExt, ring.Must(ring.SchedExt), "runs in the guest of the target test:guest")
	const n = 20_000
	measure := func(name string, prepare func(b *Bench)) Switches {
		b, err := NewBench()
		require.NoError(t, err)
		defer func() { require.NoError(t, b.Close()) }()
		prepare(b)
		_, err = b.Run(n / 10) // the first are slower: caches, and scheduler's accounts
		require.NoError(t, err)
		s, err := b.Run(n)
		require.NoError(t, err)
		t.Logf("%s: %d ns a system call", name, s.Syscall)
		measured.Print(t, "switch/"+name, float64(s.Switch), "instructions")
		require.Positive(t, s.Switch, name)
		return s
	}
	require.Empty(t, scx.InCharge())
	measure("eevdf", func(*Bench) {})
	require.Empty(t, scx.InCharge())

	s, err := scx.Load(scx.Options{})
	require.NoError(t, err)
	measure("alps-others", func(*Bench) {})
	queued := func() uint64 {
		st, err := s.Stats()
		require.NoError(t, err)
		return st.Counts["queued"]
	}
	before := queued()
	functions := measure("alps-functions", func(b *Bench) {
		var functions []bpf.Function
		rules := map[bpf.CgroupID]scx.Rule{}
		for _, dir := range b.Groups {
			id, err := bpf.CgroupOf(dir)
			require.NoError(t, err)
			functions = append(functions, bpf.Function{ID: id, Cgroup: dir})
			r := scx.Rule{Seen: time.Hour}
			for i := range scx.MaxSteps { // as many as a table can have
				from := time.Duration(i) * time.Millisecond
				r.Steps = append(r.Steps, scx.Step{From: from, Index: time.Duration(i+1) * time.Millisecond, End: from + time.Millisecond})
			}
			rules[id] = r
		}
		require.NoError(t, s.SetFunctions(functions, nil))
		require.NoError(t, s.SetRules(rules, scx.Rule{Bias: time.Second}))
	})
	require.GreaterOrEqual(t, queued()-before, uint64(functions.Count), "each switch is a decision of the scheduler")
	end, ended := s.Ended()
	require.False(t, ended, "%v", end)
	require.NoError(t, s.Close())

	for program, ops := range map[string]string{"scx_simple": "simple", "scx_flatcg": "flatcg", "scx_userland": "userland"} {
		path, err := exec.LookPath(program)
		if err != nil {
			t.Logf("%s is not in this guest", program)
			continue
		}
		c := exec.Command(path)
		require.NoError(t, c.Start())
		require.Eventually(t, func() bool { return scx.InCharge() == ops }, time.Minute, 10*time.Millisecond, program)
		measure(ops, func(*Bench) {})
		require.Equal(t, ops, scx.InCharge(), "it decided all the time")
		require.NoError(t, c.Process.Signal(syscall.SIGINT))
		_ = c.Wait() // how it ends is its own affair
		require.Eventually(t, func() bool { return scx.InCharge() == "" }, time.Minute, 10*time.Millisecond, program)
	}
}
