// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/pagetest"
)

// docs/findings.md has the means that this command prints for the guest, with and without the lock of a function's server.
func TestFindingsHaveTheMeansOfTheSimulatedGuest(t *testing.T) {
	for kind, lock := range map[string][]string{"with a process for each request": {"-platform-lock=0"}, "with a server that has a lock": nil} {
		row := "| simulated, " + kind + " |"
		for _, series := range [][]string{{"cfs"}, {"sfs"}, {"alps"}, {"alps", "-order=fifo"}, {"steady"}} {
			code, out, errs := sims(append(append([]string{"-json", "-machine=guest", "-load=0.931", "-n=5000", "-scheduler=" + series[0]}, series[1:]...), lock...)...)
			require.Zero(t, code, errs)
			var rows []simRow
			require.NoError(t, json.Unmarshal([]byte(out), &rows), out)
			require.Len(t, rows, 1)
			groups := rows[0].Groups
			all := groups[len(groups)-1]
			require.Equal(t, 5000, all.N)
			row += fmt.Sprintf(" %.0f, %.0f |", all.Mean, all.EndToEnd)
		}
		pagetest.Says(t, "docs/findings.md", row)
	}
}
