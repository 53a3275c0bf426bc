// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	_ "embed"
	"strconv"

	"github.com/ds2-lab/alps/openlambda/config"
)

// Server is the program that runs in every container. The worker brings its
// own, so it works with any image that has python3.
//
//go:embed server.py
var Server []byte

// Command runs Server in a container.
func Command(c config.Config) []string {
	args := []string{"python3", "/host/server.py", c.Invocation, c.Sched, strconv.Itoa(c.Concurrency), "/handler", "/host"}
	if c.PlatformUS > 0 {
		args = append(args, strconv.Itoa(c.PlatformUS))
	}
	return args
}
