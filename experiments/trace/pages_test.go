// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/pagetest"
)

func TestThePageNamesWhatTheArtifactsClientSleeps(t *testing.T) {
	const huawei = 0.21 // as in workloads/huawei.yaml
	var factors, loads []string
	for _, load := range []float64{0.9, 0.8, 0.7} {
		factors = append(factors, strings.TrimPrefix(fmt.Sprintf("%.2f", huawei*artifactLoads[load]), "0"))
		loads = append(loads, fmt.Sprint(100*load))
	}
	pagetest.Says(t, "docs/rig.md", fmt.Sprintf("with k = %s for %s %%, and needs half a millisecond per request; that is for %d CPUs",
		strings.Join(factors, ", "), strings.Join(loads, ", "), artifactCPUs))
	require.EqualValues(t, 500, artifactPerRequest.Microseconds(), "docs/rig.md says half a millisecond")
	require.Len(t, artifactLoads, len(factors), "docs/rig.md says three loads")
}
