// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/vm"
)

func TestFunctionCPUs(t *testing.T) {
	for cpus, want := range map[int]string{1: "0", 2: "1", 24: "1-23"} {
		require.Equal(t, want, Artifacts{CPUs: cpus}.functionCPUs())
	}
}

// Runs start from a snapshot that was made in the same way: another program, command or
// QEMU command line is another snapshot.
func TestSnapshotsFollowEveryInput(t *testing.T) {
	seen := map[string]string{}
	for name, change := range map[string]func(*Artifacts){
		"nothing":            func(*Artifacts) {},
		"tools":              func(a *Artifacts) { a.ToolsDigest = "other" },
		"CPUs":               func(a *Artifacts) { a.CPUs = 4 },
		"memory":             func(a *Artifacts) { a.opts.MemMiB = 4096 },
		"backend":            func(a *Artifacts) { a.variant.Backend = config.BackendSCX },
		"agent":              func(a *Artifacts) { a.variant.Agent = true },
		"worker":             func(a *Artifacts) { a.variant.Worker = "ol" },
		"deployment":         func(a *Artifacts) { a.variant.Deployment = config.AsPaper },
		"platform's 13 ms":   func(a *Artifacts) { a.variant.Deployment, a.PlatformModelled = config.AsPaper, 13*time.Millisecond },
		"platform's 13.4 ms": func(a *Artifacts) { a.variant.Deployment, a.PlatformModelled = config.AsPaper, 13400*time.Microsecond },
	} {
		a := Artifacts{Accel: vm.VTime, CPUs: 5, ToolsDigest: "tools"}
		a.Kernel.BzImage, a.Image.Path, a.QEMU.Path = "bzImage", "disk.qcow2", "qemu"
		change(&a)
		_, p, err := a.snapshot()
		require.NoError(t, err)
		require.Empty(t, seen[p.Key], name)
		seen[p.Key] = name
	}
	a, err := Artifacts{}.Variant(t.Context(), Variant{Deployment: config.AsPaper})
	require.NoError(t, err)
	require.Equal(t, platformShare, a.PlatformModelled)
}

// What is measured is keyed by the guest's programs: no experiment, workload or
// trace may be in them, nor the simulator.
func TestGuestHasNoExperimentInIt(t *testing.T) {
	list := func(commands ...string) string {
		cmd := exec.Command("go", slices.Concat([]string{"list", "-deps", "-f", "{{.ImportPath}}{{range .EmbedFiles}} {{$.ImportPath}}/{{.}}{{end}}"}, commands)...)
		cmd.Dir = "../.."
		out, err := cmd.Output()
		require.NoError(t, err)
		return string(out)
	}
	left := []string{"experiments/workloads/huawei.yaml", "experiments/traces/huawei.csv", "/experiments/config\n", "/experiments/simulate\n", "/alps/sim\n"}
	simulator, guest := list("./alps/cmd/alps-sim"), list(guestCommands...)
	for _, x := range left {
		require.Contains(t, simulator, x, "else the test looks for what is nowhere")
		require.NotContains(t, guest, x)
	}
	require.NotContains(t, guest, ".yaml")
}
