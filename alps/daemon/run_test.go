// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/backend"
	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/policy"
)

// Where nothing can be steered, a daemon that nobody told a policy observes; one
// that was told a policy or a backend fails, and says why (observe.Supports).
func TestNobodysPolicyIsGivenUp(t *testing.T) {
	steady := client.Mode{Policy: client.PolicySteady}
	require.Equal(t, client.PolicyCFS, modeUnder(Config{}, backend.NameObserve).Policy)
	require.Equal(t, client.PolicyCFS, modeUnder(Config{Backend: backend.NameAuto}, backend.NameObserve).Policy)
	params := policy.DefaultSteady()
	tuned := Config{Mode: client.Mode{Steady: &params, FullSlices: true}}
	require.Equal(t, client.Mode{Policy: client.PolicyCFS, FullSlices: true}, modeUnder(tuned, backend.NameObserve), "parameters name no policy")
	require.Equal(t, tuned.Mode, modeUnder(tuned, backend.NameHooks))
	require.Zero(t, modeUnder(Config{}, backend.NameSchedExt))
	require.Zero(t, modeUnder(Config{Backend: backend.NameSchedExt}, backend.NameObserve))
	require.Equal(t, steady, modeUnder(Config{Mode: steady}, backend.NameObserve))
}
