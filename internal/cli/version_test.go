// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVersion(t *testing.T) {
	info := &debug.BuildInfo{GoVersion: "go1.26.0", Main: debug.Module{Version: "(devel)"}}
	on := " " + runtime.GOOS + "/" + runtime.GOARCH
	require.Equal(t, "alps (devel), go1.26.0"+on, version("alps", info), "go run leaves no commit")
	info.Settings = []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}}
	require.Equal(t, "alps (devel), commit 0123456789ab with changes, go1.26.0"+on, version("alps", info))
	require.Contains(t, Version("alps"), runtime.Version())
}
