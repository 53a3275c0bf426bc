// SPDX-License-Identifier: Apache-2.0

package cost

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/ring"
)

func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

// The program that sees threads wake is called only while some function has busy
// periods, and then for every thread that there is.
func TestGuestObserverCost(t *testing.T) {
	ring.Need(t, ring.Trace, ring.Must(ring.Trace), "runs in the guest of the target test:guest")
	phases, err := Observer(20_000)
	require.NoError(t, err)
	var out strings.Builder
	require.NoError(t, ReportObserver(&out, phases))
	t.Logf("\n%s", &out)
	for _, p := range phases {
		for i, program := range p.Programs {
			if program.Name == "observer: wakeup" {
				require.Equal(t, strings.HasPrefix(p.State, "busy"), p.PerSwitch(i) > 0.9, p.State)
			}
		}
	}
}
