// SPDX-License-Identifier: Apache-2.0

package backend

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/bpf"
)

// The simulator, which knows no BPF, bounds slices as the kernel's map does.
func TestBoundsAreTheKernels(t *testing.T) {
	require.Equal(t, bpf.MaxSlice, model.MaxSlice)
	require.EqualValues(t, math.MaxInt32, micros(model.MaxBias))
}
