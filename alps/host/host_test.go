// SPDX-License-Identifier: Apache-2.0

package host

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAbsentCPUsAreRefused(t *testing.T) {
	h := Host{CPUs: filepath.Join(t.TempDir(), "online")}
	require.ErrorContains(t, h.CheckCPUs([]int{1}), "cannot tell which CPUs there are")
	require.NoError(t, os.WriteFile(h.CPUs, []byte("0-1\n"), 0o644))
	require.NoError(t, h.CheckCPUs(nil))
	require.NoError(t, h.CheckCPUs([]int{0, 1}))
	require.EqualError(t, h.CheckCPUs([]int{1, 9}), "CPU 9 is not there or offline: this host has 0-1")
}
