// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"testing"

	"github.com/ds2-lab/alps/internal/pagetest"
)

func TestThePageNamesHowOftenTheGuestLooks(t *testing.T) {
	pagetest.Says(t, "docs/virtual-time.md", fmt.Sprintf("the guest looks into it every %g s of its clock", lookEvery.Seconds()),
		fmt.Sprintf("a whole multiple of %g s (elsewhere: %g s)", lookEvery.Seconds(), beginEvery.Seconds()))
}
