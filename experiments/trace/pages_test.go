// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ds2-lab/alps/internal/pagetest"
)

func TestThePageNamesWhatTheArtifactsClientSleeps(t *testing.T) {
	var factors, loads []string
	for _, load := range []float64{0.9, 0.8, 0.7} {
		factors = append(factors, strings.TrimPrefix(fmt.Sprint(artifactFactors[load]), "0"))
		loads = append(loads, fmt.Sprint(100*load))
	}
	pagetest.Says(t, "docs/rig.md", fmt.Sprintf("with k = %s for %s %%, and needs half a millisecond per request; that is for %d CPUs",
		strings.Join(factors, ", "), strings.Join(loads, ", "), artifactCPUs))
	if artifactPerRequest.Microseconds() != 500 || len(artifactFactors) != len(factors) {
		t.Errorf("docs/rig.md says half a millisecond and three loads: %s, %v", artifactPerRequest, artifactFactors)
	}
}
