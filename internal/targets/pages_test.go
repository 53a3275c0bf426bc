// SPDX-License-Identifier: Apache-2.0

package targets

import (
	"fmt"
	"testing"

	"github.com/ds2-lab/alps/internal/pagetest"
)

func TestTheReadmeNamesWhatReproduceChooses(t *testing.T) {
	pagetest.Says(t, "README.md", fmt.Sprintf("there are %d CPUs or more, else `brief`", paperCPUs))
}
