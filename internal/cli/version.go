// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Version says which build of the command called name this is: the module's version
// or the commit, and what it was compiled with.
func Version(name string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return fmt.Sprintf("%s, unknown build, %s", name, runtime.Version())
	}
	return version(name, info)
}

func version(name string, info *debug.BuildInfo) string {
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	commit := ""
	if revision := settings["vcs.revision"]; revision != "" {
		commit = ", commit " + revision[:min(12, len(revision))]
		if settings["vcs.modified"] == "true" {
			commit += " with changes"
		}
	}
	return fmt.Sprintf("%s %s%s, %s %s/%s", name, info.Main.Version, commit, info.GoVersion, runtime.GOOS, runtime.GOARCH)
}
