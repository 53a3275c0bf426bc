// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"testing"

	"github.com/ds2-lab/alps/internal/pagetest"
)

// The pages name the times of the code.
func TestPagesNameTheTimesOfTheDaemon(t *testing.T) {
	number := map[int]string{2: "two", 3: "three", 4: "four"}
	pagetest.Says(t, "docs/observer.md",
		fmt.Sprintf("%s looks, %g s apart", number[silentLooks], sourceEvery.Seconds()),
		fmt.Sprintf("looked for every %g s", pathsEvery.Seconds()),
		fmt.Sprintf("at most %g s later", sweepEvery.Seconds()),
		fmt.Sprintf("Every %g s the daemon removes entries", sweepEvery.Seconds()))
	pagetest.Says(t, "docs/kernel.md",
		fmt.Sprintf("Every %g s the daemon removes entries", sweepEvery.Seconds()),
		fmt.Sprintf("%s periods after its last update", number[validPeriods]),
		fmt.Sprintf("a rank outside 1 to %s is refused", pagetest.Thousands(maxRank)))
	pagetest.Says(t, "docs/host.md", fmt.Sprintf("%s of its periods", number[validPeriods]))
	pagetest.Says(t, "docs/policy.md", "for an hour after a function's last cgroup went")
	if keepAbsent.Hours() != 1 {
		t.Errorf("docs/policy.md says an hour, keepAbsent is %s", keepAbsent)
	}
}
