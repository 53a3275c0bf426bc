// SPDX-License-Identifier: Apache-2.0

// Package socket connects to unix sockets whose path is longer than the 107 bytes
// that a socket's address holds.
package socket

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// maxPath is how long a path in an address may be (unix(7), sun_path).
const maxPath = 107

// Dial connects to the socket at path, however long that is.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	if len(path) > maxPath {
		dir, err := os.Open(filepath.Dir(path))
		if err != nil {
			return nil, err
		}
		defer dir.Close()
		path = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	}
	return (&net.Dialer{}).DialContext(ctx, "unix", path)
}
