// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"testing"

	"github.com/ds2-lab/alps/internal/pagetest"
)

func TestThePageNamesTheBurst(t *testing.T) {
	requests := 0
	for _, c := range classes {
		requests += c.requests
	}
	pagetest.Says(t, "docs/rig.md", fmt.Sprintf("one burst of %d requests within %g s", requests, span.Seconds()))
	pagetest.Says(t, "README.md", "Debian's own kernel "+Kernel)
	if cpus != 2 {
		t.Errorf("docs/rig.md says one CPU for the functions: the guest has %d, and the system has one", cpus)
	}
}
