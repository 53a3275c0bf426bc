// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/tree"
)

// The documents name the sizes and limits of the code.
func TestDocumentsNameTheLimitsOfTheCode(t *testing.T) {
	root, err := tree.Root()
	require.NoError(t, err)
	unit, err := os.ReadFile("disk/guest/etc/systemd/system.conf.d/alps.conf")
	require.NoError(t, err)
	watchdog := regexp.MustCompile(`RuntimeWatchdogSec=(\d+)s`).FindSubmatch(unit)
	require.NotNil(t, watchdog)
	seconds, err := strconv.Atoi(string(watchdog[1]))
	require.NoError(t, err)
	for _, c := range []struct{ document, sentence string }{
		{"README.md", fmt.Sprintf("%d GiB and %d GB of disk is enough", wantMemory, wantDisk)},
		{"docs/virtual-time.md", fmt.Sprintf("A guest can have 1 to %d CPUs", maxCPUs)},
		{"docs/virtual-time.md", fmt.Sprintf("| privileged code | %d µs |", kernelLookaheadNS/1000)},
		{"docs/virtual-time.md", fmt.Sprintf("| user code | %d µs |", userLookaheadNS/1000)},
		{"docs/virtual-time.md", fmt.Sprintf("takes %d ns", pauseNS)},
		{"docs/rig.md", fmt.Sprintf("the watchdog (nothing ran in it for %d s;", seconds)},
	} {
		text, err := os.ReadFile(filepath.Join(root, c.document))
		require.NoError(t, err)
		require.Contains(t, string(text), c.sentence, c.document)
	}
}
