// SPDX-License-Identifier: Apache-2.0

package loadgen

import (
	"fmt"
	"testing"

	"github.com/ds2-lab/alps/internal/pagetest"
)

func TestPagesNamePrioritiesAndTimes(t *testing.T) {
	pagetest.Says(t, "docs/rig.md",
		fmt.Sprintf("to the class at priority %d", serverPriority), fmt.Sprintf("lowers itself to priority %d", serverPriority-1),
		fmt.Sprintf("has RR at priority %d meanwhile", systemPriority))
	pagetest.Says(t, "docs/virtual-time.md", fmt.Sprintf("The trace begins %d ms after a whole multiple", setUpTime.Milliseconds()))
}
