// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/pagetest"
)

// docs/findings.md has the means that this command prints for the two cgroups of the platform.
func TestFindingsHaveTheMeansOfBothPlatformCgroups(t *testing.T) {
	means := func(cgroup, scheduler string, more ...string) string {
		code, out, errs := sims(append(more, "-json", "-n", "5000", "-platform-cgroup", cgroup, "-scheduler", scheduler)...)
		require.Zero(t, code, errs)
		var rows []simRow
		require.NoError(t, json.Unmarshal([]byte(out), &rows), out)
		require.Len(t, rows, 1)
		groups := rows[0].Groups
		all := groups[len(groups)-1]
		require.Equal(t, 5000, all.N)
		return fmt.Sprintf("%.0f and %.0f", all.Mean, all.EndToEnd)
	}
	for cgroup, first := range map[string]string{"beside": " ms", "function": ""} {
		pagetest.Says(t, "docs/findings.md", fmt.Sprintf("CFS %s%s, `alps-artifact` %s, `alps` %s, `steady` %s", means(cgroup, "cfs"), first,
			means(cgroup, "alps", "-order=fifo"), means(cgroup, "alps"), means(cgroup, "steady")))
	}
}
