// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	alpsclient "github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/experiments/loadgen"
	"github.com/ds2-lab/alps/openlambda/artifact"
	"github.com/ds2-lab/alps/vm"
)

// Side by side in virtual time, two runs under ALPS on several CPUs are the same to
// the byte, and the functions use the CPU time that calibration says.
func TestGuestRepeats(t *testing.T) {
	rig := acquired(t)
	var reqs []loadgen.Request
	var want time.Duration
	for i := range 45 {
		f := artifact.Functions[7*i%len(artifact.Functions)]
		cost := rig.Costs[f.Name]
		cpu := 40 * time.Millisecond
		if i%15 == 0 {
			cpu = 500 * time.Millisecond
		}
		reqs = append(reqs, loadgen.Request{ID: i + 1, Function: f.Name, UID: f.UID, Group: "G1", Port: f.Port,
			Size: cost.Size, Rounds: cost.Rounds(cpu), Due: time.Duration(i) * 90 * time.Millisecond / time.Duration(rig.Artifacts.FunctionCPUs())})
		want += cost.CPU(cost.Rounds(cpu))
	}
	params := policy.Paper()
	params.Window = 250 * time.Millisecond // four updates
	mode, err := json.Marshal(alpsclient.Mode{Policy: "alps", Params: &params})
	require.NoError(t, err)
	var outs [2][]byte
	var g errgroup.Group
	for i := range outs {
		g.Go(func() (err error) {
			outs[i], err = rig.Do(t.Context(), "replay", string(mode), nil, reqs, rig.Artifacts.opts.Progress.Step("run", 0, 0))
			return err
		})
	}
	require.NoError(t, g.Wait())
	require.Equal(t, string(outs[0]), string(outs[1]))
	head, _, _ := bytes.Cut(outs[0], []byte("\n"))
	var o loadgen.Outcome
	require.NoError(t, json.Unmarshal(head, &o))
	require.Zero(t, o.Failed, "%v", o.Errors)
	require.InEpsilon(t, want, o.CPU, 0.1)
	t.Logf("took %s of virtual time, CPU %s of %s expected, latest request %s late", o.Took, o.CPU, want, o.LateMax)
}

// acquired makes the snapshot that all runs start from, if there is none.
func acquired(t *testing.T) *Guest {
	a, err := guestArtifacts(t).InVirtualTime(t.Context())
	require.NoError(t, err)
	a.CPUs = vm.DefaultCPUs(vm.VTime) // as the processes that run experiments have
	g, err := a.Acquire(t.Context(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { g.Close() })
	return g
}
