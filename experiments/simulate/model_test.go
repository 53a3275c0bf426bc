// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The digest of the simulator covers every package that it is made of.
func TestTheModelIsAllThatTheSimulatorImports(t *testing.T) {
	const module = "github.com/ds2-lab/alps/"
	list := exec.Command("go", "list", "-deps", "./alps/sim")
	list.Dir = "../.."
	out, err := list.Output()
	require.NoError(t, err)
	var folders []string
	for path := range strings.Lines(string(out)) {
		if folder, ours := strings.CutPrefix(strings.TrimSpace(path), module); ours {
			folders = append(folders, folder)
		}
	}
	slices.Sort(folders)
	require.Equal(t, modelFolders, folders)
}
