// SPDX-License-Identifier: Apache-2.0

package ghost

import (
	"fmt"
	"testing"

	"github.com/ds2-lab/alps/internal/pagetest"
)

func TestThePageNamesTheTimesOfTheAgent(t *testing.T) {
	pagetest.Says(t, "docs/delegation.md",
		fmt.Sprintf("(%d ms latency, %g ms granularity, %d ms for a wake-up to preempt;", latency.Milliseconds(), granularity.Seconds()*1000, wakeup.Milliseconds()),
		fmt.Sprintf("A task that has waited for %g s gets", patience.Seconds()),
		"the agent asks it once a second")
	if poll.Seconds() != 1 {
		t.Errorf("docs/delegation.md says once a second, poll is %s", poll)
	}
}
