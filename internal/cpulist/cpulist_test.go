// SPDX-License-Identifier: Apache-2.0

package cpulist

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	for in, want := range map[string][]int{"": nil, "1": {1}, "0": {0}, "1-3,5": {1, 2, 3, 5}, "4-4": {4}, "8191": {8191}} {
		got, err := Parse(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for _, in := range []string{"x", "3-1", "-1", "1-", "1,,2", ",", "1-2-3", " 1", "8192", "99999999999999999999"} {
		_, err := Parse(in)
		require.ErrorContains(t, err, "want a list such as 1-3,5", in)
	}
}
