// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"fmt"
	"testing"

	"github.com/ds2-lab/alps/internal/pagetest"
	"github.com/ds2-lab/alps/openlambda/artifact"
)

func TestPagesNameWhatThePlatformTakes(t *testing.T) {
	ms := func(d float64) string { return fmt.Sprintf("%.4g ms", 1000*d) }
	pagetest.Says(t, "docs/rig.md",
		fmt.Sprintf("ours (%s), and %s of CPU time that the container uses", ms(platformTime.Seconds()), ms(platformShare.Seconds())),
		fmt.Sprintf("needs about %s per request", ms((platformTime+platformShare).Seconds())))
	number := map[int]string{14: "fourteen", 15: "fifteen", 16: "sixteen"}
	pagetest.Says(t, "docs/virtual-time.md", fmt.Sprintf("starts the daemon and all %s functions", number[len(artifact.Functions)]))
}
