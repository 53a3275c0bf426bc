// SPDX-License-Identifier: Apache-2.0

package execute

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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

// Schedulers that are programs decide for a run each, from one snapshot of a
// guest with a kernel as it comes: a peer, and a program that is named by its path.
func TestGuestProgramsDecide(t *testing.T) {
	ring.Need(t, ring.Guest, os.Getenv("ALPS_KERNEL") != "", "run the target test:guest, which sets ALPS_KERNEL")
	ring.Need(t, ring.Peers, os.Getenv("ALPS_KERNEL_NAME") == guest.PeersKernel, "the peers are of another kernel: run test:guest -kernel=%s", guest.PeersKernel)
	root, err := tree.Root()
	require.NoError(t, err)
	log := progress.New(os.Stderr)
	simple, err := guest.LoadProgram(t.Context(), "scx_simple", "", log)
	require.NoError(t, err)
	dir := exptest.Dir(t, "a", `figure: a
title: t
parts:
  - engine: vm
    workloads: [huawei]
    loads: [0.9]
    function_cpus: [1]
    seed: 1
    series:
      - {name: eevdf, scheduler: cfs}
      - {name: simple, scheduler: {command: scx_simple -f}}
      - {name: path, scheduler: {command: ./mine}}
`)
	program := filepath.Join(dir, "mine")
	require.NoError(t, os.Symlink(simple.Path, program))
	o := plan.Options{Guest: guest.Options{Root: root, Kernel: guest.PeersKernel, Accel: vm.VTime, Progress: log}, Dir: dir, Engine: results.EngineVM,
		Profile: "tiny", Results: filepath.Join(t.TempDir(), "results"), Jobs: 1}
	require.NoError(t, Run(t.Context(), "a", o))
	found, err := results.ReadPlan(o.Results, results.EngineVM, "a")
	require.NoError(t, err)
	require.Len(t, found, 2*3)
	for _, s := range found {
		run := s.Result.Run
		require.True(t, run.Valid, "%s: %v", s, run.Invalid)
		require.Len(t, s.Result.Invocations, run.Invocations)
		t.Logf("%s: mean %.1f ms", s, results.Summarize(s.Result.Invocations)[len(results.Groups)].Mean)
		if s.Name == "eevdf" {
			require.Nil(t, run.Program)
			continue
		}
		require.Equal(t, "simple", run.Program.Ops)
		require.Equal(t, simple.Digest, run.Program.Digest)
		require.NotEmpty(t, run.Program.EnableSeq)
		t.Logf("%+v", run.Program)
		require.Equal(t, s.Name == "simple", strings.HasPrefix(run.Program.Source, "linux-source-7.3"), run.Program.Source)
	}
}
