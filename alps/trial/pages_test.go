// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/figures/stats"
	"github.com/ds2-lab/alps/internal/pagetest"
)

// The page names the numbers of the code, and its table is one that was printed.
func TestThePageSaysHowATrialIs(t *testing.T) {
	c := Default()
	require.NoError(t, c.Check())
	pagetest.Says(t, "docs/host.md",
		fmt.Sprintf("between `%s` and `%s`", c.A, c.B),
		fmt.Sprintf("It takes %.0f minutes: %d rounds (`-rounds`), each with a period of %s (`-each`)", c.Takes().Minutes(), c.Rounds, c.Each),
		fmt.Sprintf("in the first %s of a period (`-settle`)", c.Settle),
		fmt.Sprintf("that has %d invocations or more in both periods. P99 is compared from %d on", MinInvocations, stats.MinP99))
	report, err := os.ReadFile("testdata/report.txt")
	require.NoError(t, err)
	table := strings.Split(string(report), "\n\n")[1]
	pagetest.Says(t, "docs/host.md", strings.Join(strings.Fields(table), " "))
}
