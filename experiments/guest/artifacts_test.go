// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"os/exec"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFunctionCPUs(t *testing.T) {
	for cpus, want := range map[int]string{1: "0", 2: "1", 24: "1-23"} {
		require.Equal(t, want, Artifacts{CPUs: cpus}.functionCPUs())
	}
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
