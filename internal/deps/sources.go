// SPDX-License-Identifier: Apache-2.0

package deps

import (
	"bytes"
	"os"
)

// DebianSources is the path of the host's own list of package sources if the host is the
// Debian release called suite; else it is empty, and mmdebstrap's default serves.
func DebianSources(suite string) string {
	release, err := os.ReadFile("/etc/os-release")
	if err != nil || !bytes.Contains(release, []byte("VERSION_CODENAME="+suite)) {
		return ""
	}
	for _, path := range []string{"/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"} {
		if data, err := os.ReadFile(path); err == nil && bytes.Contains(data, []byte(suite)) {
			return path
		}
	}
	return ""
}
