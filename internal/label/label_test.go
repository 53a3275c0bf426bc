// SPDX-License-Identifier: Apache-2.0

package label

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Other platforms and containers that run already have them: they never change.
func TestLabelsAreTheDocumentedOnes(t *testing.T) {
	require.Equal(t, []string{"alps.function.uid", "alps.function.name", "alps.function.source", "alps.function.concurrency",
		"alps.function.idle"}, []string{UID, Name, Source, Concurrency, Idle})
}
