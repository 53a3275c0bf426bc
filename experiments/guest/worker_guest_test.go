// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/loadgen"
	"github.com/ds2-lab/alps/internal/ring"
	"github.com/ds2-lab/alps/openlambda/image"
	"github.com/ds2-lab/alps/vm"
)

// workerTests runs the worker's own tests that match pattern in a guest; must is one
// that has to pass. tars are files of this host for the guest's /tmp. cpus 0 is the
// usual number.
func workerTests(t *testing.T, accel vm.Accel, cpus int, pattern, must string, tars ...string) {
	p := guestArtifacts(t)
	if accel == vm.VTime {
		var err error
		p, err = p.InVirtualTime(t.Context())
		require.NoError(t, err)
	}
	data, err := os.ReadFile(buildTests(t, p, "openlambda/cmd/ol"))
	require.NoError(t, err)
	cfg := p.VMConfig()
	if cpus > 0 {
		cfg.CPUs = cpus
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 15*time.Minute, errors.New("the guest froze or is far too slow"))
	defer cancel()
	m, err := vm.Start(ctx, cfg)
	require.NoError(t, err)
	defer m.Close()
	require.NoError(t, m.WaitDocker(ctx, 3*time.Minute))
	require.NoError(t, m.Run(ctx, vm.Cmd{Line: "cat > /tmp/openlambda.test && chmod +x /tmp/openlambda.test", Stdin: bytes.NewReader(data)}))
	for _, tar := range tars {
		f, err := os.Open(tar)
		require.NoError(t, err)
		err = m.Run(ctx, vm.Cmd{Line: "cat > /tmp/" + filepath.Base(tar), Stdin: f})
		require.NoError(t, errors.Join(err, f.Close()))
	}
	var log bytes.Buffer
	err = m.Run(ctx, vm.Cmd{Line: "MUST_RUN=docker /tmp/openlambda.test -test.v -test.run '" + pattern + "' -test.timeout 12m 2>&1", Stdout: &log})
	t.Logf("in the guest:\n%s", log.String())
	require.NoError(t, err)
	require.Contains(t, log.String(), "--- PASS: "+must)
}

// The worker on Docker itself: limits, faults, policies, load.
func TestGuestWorker(t *testing.T) {
	t.Parallel()
	workerTests(t, vm.VTime, 2, "TestGuest(Container|NoProcessLeft|Faults|ImageMissing|DiskFull|WorkerKilled|Sched|Load)", "TestGuestLoad")
}

// OpenLambda's own test scenarios, and ALPS beside a worker, with the defaults of both.
func TestGuestWorkerScenarios(t *testing.T) {
	t.Parallel()
	workerTests(t, vm.VTime, 2, "TestGuest(Scenarios|BesideALPS)", "TestGuestBesideALPS")
}

// The frameworks of OpenLambda's examples, from an image that has them.
func TestGuestWorkerExamples(t *testing.T) {
	ring.Need(t, ring.Long, ring.Must(ring.Long), "builds an image of its own: the target test:weekly")
	i, err := image.Build(t.Context(), image.Options{Tag: "lambda-web:latest", Packages: []string{"python3-flask", "python3-fastapi"}})
	require.NoError(t, err)
	workerTests(t, "", 0, "TestGuestExamples", "TestGuestExamples", i.Path)
}

// What a process per invocation costs, in virtual time.
func TestGuestWorkerForkCost(t *testing.T) {
	t.Parallel()
	workerTests(t, vm.VTime, 1, "TestGuestForkCost", "TestGuestForkCost")
}

// OpenLambda's own binary in the rig, where OL_UPSTREAM names one: its
// containers are functions to the daemon, and every invocation is observed.
func TestGuestRigWithAnotherWorker(t *testing.T) {
	binary := os.Getenv("OL_UPSTREAM")
	ring.Need(t, ring.Upstream, binary != "", "OL_UPSTREAM names no ol of OpenLambda's")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Minute, errors.New("the guest froze or is far too slow"))
	defer cancel()
	p, err := guestArtifacts(t).Variant(ctx, Variant{Worker: binary})
	require.NoError(t, err)
	rig, err := p.Boot(ctx, []string{"5002", "5014"})
	require.NoError(t, err)
	defer rig.Close()
	processes, err := rig.VM.Output(ctx, "ps -eo args")
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(processes, otherWorker+" worker"), processes)
	var reqs []loadgen.Request
	for i := range 12 {
		r := loadgen.Request{ID: i + 1, Function: "fib", UID: "3", Group: "G1", N: 1, Port: "5002", Size: 15, Rounds: 3, Due: time.Duration(i) * 500 * time.Millisecond}
		if i%2 == 1 {
			r.Function, r.UID, r.Port, r.Size = "featureExtractor", "14", "5014", 1
		}
		reqs = append(reqs, r)
	}
	var in, out bytes.Buffer
	require.NoError(t, loadgen.WriteTrace(&in, reqs))
	require.NoError(t, rig.VM.Run(ctx, vm.Cmd{Line: `alps-loadgen replay '{"policy":"alps"}'`, Stdin: &in, Stdout: &out}))
	var o loadgen.Outcome
	head, _, _ := bytes.Cut(out.Bytes(), []byte("\n"))
	require.NoError(t, json.Unmarshal(head, &o))
	require.Zero(t, o.Failed, "%v", o.Errors)
	require.Zero(t, o.Lost)
	policy, err := rig.VM.Output(ctx, "alps policy")
	require.NoError(t, err)
	t.Log(policy)
	require.Len(t, strings.Split(policy, "\n"), 3, "both functions are ranked")
	left, err := rig.VM.Output(ctx, "ol functions delete && docker ps -aq")
	require.NoError(t, err)
	require.Empty(t, left)
}
